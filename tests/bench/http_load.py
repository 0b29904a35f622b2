"""A small HTTP/1.1 load generator for machines without wrk; runs as a process of its own.

    python -m tests.bench.http_load URL CONNECTIONS SECONDS [HEADER …]      prints {"requests": …, "bytes": …}

Every connection asks again as soon as it has the whole answer. Slower than wrk: the server's CPU time is what counts,
and that is measured outside.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit


class Asker(asyncio.BufferedProtocol):
    """One connection. Bodies are counted and not looked at."""

    def __init__(self, request: bytes, until: float) -> None:
        self._request, self._until = request, until
        self._buffer = memoryview(bytearray(1 << 18))
        self._head = b""
        self._left = 0
        self.requests = self.bytes = 0
        self.error = ""
        self.is_over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.bytes += nbytes
        if self._left == 0:
            nbytes = self._read_head(bytes(self._buffer[:nbytes]))
        self._left -= nbytes
        if self._left == 0 and not self._head:
            self._next()

    def _read_head(self, data: bytes) -> int:
        """How many bytes of the body came with the end of the head; sets what is left of it."""
        self._head += data
        head, found, body = self._head.partition(b"\r\n\r\n")
        if not found:
            return 0
        lines = head.lower().split(b"\r\n")
        if not lines[0].startswith(b"http/1.1 200"):
            self._end(lines[0].decode("latin-1"))
            return 0
        self._left = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        self._head = b""
        return len(body)

    def _next(self) -> None:
        self.requests += 1
        if time.monotonic() < self._until:
            self._transport.write(self._request)
        else:
            self._end("")

    def _end(self, error: str) -> None:
        self.error = error
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_over.done():
            self.is_over.set_result(None)


async def load(url: str, connections: int, seconds: float, headers: list[str]) -> dict[str, int]:
    """Ask one URL over and over; answers that are still on their way at the end count by the bytes that came.

    Raises:
        RuntimeError: An answer was not a 200.
    """
    parts = urlsplit(url)
    lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", *headers]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    until = time.monotonic() + seconds
    loop = asyncio.get_running_loop()
    askers = [
        (await loop.create_connection(lambda: Asker(request, until), parts.hostname, parts.port))[1]
        for _ in range(connections)
    ]
    _, late = await asyncio.wait([asker.is_over for asker in askers], timeout=max(0.0, until - time.monotonic()) + 1.0)
    for asker in askers:
        if asker.is_over in late:
            asker._end("")
    if error := next((asker.error for asker in askers if asker.error), ""):
        raise RuntimeError(f"{url} answered: {error}")
    return {"requests": sum(a.requests for a in askers), "bytes": sum(a.bytes for a in askers)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(load(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))))
