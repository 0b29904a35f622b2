"""uvicorn's HTTP protocol with two shortcuts for channel files; docs/dev/serving.md has the measurements.

1. It answers a GET of a cached channel file where it arrives, if the whole head came in one piece and there is no body:
   no task, no header list, one write. Everything else goes through uvicorn's own parser, byte for byte.
2. It offers the ASGI extension `http.response.zerocopysend`: the kernel sends the file (sendfile.py).

And with what uvicorn leaves to a proxy: a head that does not arrive within HEAD_MAX_S, and a body slower than
BODY_BYTES_PER_S, end their connection with 408; a body that is too large with 413, before it is read, on every route.

It overrides private members of uvicorn. tests/server/web/test_uvicorn_contract.py lists them, and pyproject.toml admits
only versions that have them.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Protocol, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from antivenom.server.web.answers import NO_HEADERS, ZERO_COPY, RequestHeaders, problem
from antivenom.server.web.sendfile import FileSender

NOT_PLAIN = None
HEAD_MAX_S = 30.0
BODY_WINDOW_S = 30.0
BODY_BYTES_PER_S = 500  # on average over a window, while we read
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\x20-\x7e\x80-\xff\t]*)")
_UNUSUAL = frozenset(
    (
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"te",
        b"trailer",
        b"range",
        b"if-range",
        b"if-modified-since",
    )
)


class AnswersFromCache(Protocol):
    """What the protocol needs from ChannelFiles."""

    def answer_from_cache(self, path: bytes, request: RequestHeaders) -> tuple[bytes, bytes] | None:
        """Status line, and what follows the server's own headers on the wire; None when the application must answer."""


def serve_with(files: AnswersFromCache, request_max_bytes: int) -> type[asyncio.Protocol]:
    """The protocol factory for `uvicorn.Config(http=…)` that answers from the cache of `files`."""
    return cast("type[asyncio.Protocol]", functools.partial(ChannelProtocol, files, FileSender(), request_max_bytes))


class ChannelProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        files: AnswersFromCache,
        sender: FileSender,
        request_max_bytes: int,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._find_cached_answer = files.answer_from_cache
        self._sender = sender
        self._in_message = False
        self._head_tail = b""  # the last head without its first line: clients send the same one again
        self._head_fields: RequestHeaders | None = NOT_PLAIN
        self._own_headers: list[tuple[bytes, bytes]] = []
        self._own_wire = b""
        self._answered_at = 0.0
        self._request_max_bytes = request_max_bytes
        self._arrival_timer: asyncio.TimerHandle | None = None  # for a head or a body that has begun
        self._body_bytes = 0
        self._body_seen_bytes = 0  # at the last look
        self._is_refused = False

    def data_received(self, data: bytes) -> None:
        if self._answer_from_cache(data):
            return
        super().data_received(data)
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self._arrival_timer is None and self.timeout_keep_alive_task is None:
            self._await_arrival(HEAD_MAX_S, self._end_late_head)  # it was an empty line, which begins no request

    # -- how long a request may take to arrive, and how large it may be ------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_arrival(HEAD_MAX_S, self._end_late_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_arrival()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._in_message = True
        self._body_bytes = self._body_seen_bytes = 0
        self._note_arrival()
        self._await_arrival(HEAD_MAX_S, self._end_late_head)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._is_refused:
            return
        self._note_arrival()
        declared = next((value for name, value in self.headers if name == b"content-length"), b"")
        if declared.isdigit() and int(declared) > self._request_max_bytes:
            self._refuse_large()
            return
        self._await_arrival(BODY_WINDOW_S, self._look_at_body)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._is_refused:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._request_max_bytes:
            self._refuse_large()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._note_arrival()
        if not self._is_refused:
            super().on_message_complete()

    def _await_arrival(self, delay_s: float, late: Callable[[], None]) -> None:
        self._arrival_timer = self.loop.call_later(delay_s, late)

    def _note_arrival(self) -> None:
        if self._arrival_timer is not None:
            self._arrival_timer.cancel()
            self._arrival_timer = None

    def _end_late_head(self) -> None:
        self._refuse(408, f"the head of a request did not arrive within {HEAD_MAX_S:g} s")

    def _look_at_body(self) -> None:
        """End a body that hardly arrives. While we do not read, it is our own fault."""
        arrived = self._body_bytes - self._body_seen_bytes
        if not self.flow.read_paused and arrived < BODY_BYTES_PER_S * BODY_WINDOW_S:
            self._refuse(408, f"the body of the request arrives at less than {BODY_BYTES_PER_S} bytes per second")
            return
        self._body_seen_bytes = self._body_bytes
        self._await_arrival(BODY_WINDOW_S, self._look_at_body)

    def _refuse_large(self) -> None:
        self._refuse(413, f"the request is larger than {self._request_max_bytes} bytes")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer the request that is arriving and close the connection; just close it when an answer has begun."""
        self._note_arrival()
        self._is_refused = True
        if self.transport.is_closing():
            return
        cycle = self.cycle
        is_earlier = cycle is not None and cycle.scope is not self.scope  # that of a request before this one
        may_answer = cycle is None or (cycle.response_complete if is_earlier else not cycle.response_started)
        if self._in_message and may_answer and not self.pipeline:
            answer = problem(status, detail)
            phrase = HTTPStatus(status).phrase.encode()
            lines = [b"HTTP/1.1 %d %b\r\n" % (status, phrase), self._render_own_headers()]
            lines += [b"%b: %b\r\n" % header for header in answer.headers]
            self.transport.write(b"".join((*lines, b"connection: close\r\n\r\n", answer.body)))
        self.transport.close()

    def _answer_from_cache(self, data: bytes) -> bool:
        """Answer a plain GET of a cached file. Returns False, having done nothing, for any other request."""
        if not data.startswith((b"GET /conda/", b"GET /t/")) or self._in_message:
            return False
        if (self.cycle is not None and not self.cycle.response_complete) or self.flow.write_paused:
            return False
        end = data.find(b"\r\n")
        if data[end - 9 : end] != b" HTTP/1.1" or self.transport.is_closing():
            return False
        tail = data[end:]
        if tail != self._head_tail:
            self._head_tail, self._head_fields = tail, parse_plain_head(tail)
        if self._head_fields is NOT_PLAIN:
            return False
        answer = self._find_cached_answer(data[4 : end - 9], self._head_fields)
        if answer is None:
            return False
        self._note_arrival()
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._arm_keep_alive(self.timeout_keep_alive)
        self.server_state.total_requests += 1
        self.transport.write(b"".join((answer[0], self._render_own_headers(), answer[1])))
        return True

    def _render_own_headers(self) -> bytes:
        """The server's own headers (Date), rendered once a second: uvicorn replaces its list then."""
        if self.server_state.default_headers is not self._own_headers:
            self._own_headers = self.server_state.default_headers
            self._own_wire = b"".join(b"%b: %b\r\n" % header for header in self._own_headers)
        return self._own_wire

    def _arm_keep_alive(self, delay_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(delay_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection. Cached answers do not reset the timer, so it is extended here by what they used."""
        left_s = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._arm_keep_alive(left_s)
        else:
            super().timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.scheme == "https" or not hasattr(os, "sendfile"):
            super()._start_asgi_task(cycle, app)
            return
        cast("MutableMapping[str, Any]", cycle.scope).setdefault("extensions", {})[ZERO_COPY] = {}

        async def app_with_files(scope: Any, receive: Any, send: Any) -> None:
            async def send_with_files(message: Any) -> None:
                if message["type"] == ZERO_COPY:
                    await self._send_file(cycle, message)
                else:
                    await send(message)

            await app(scope, receive, send_with_files)

        super()._start_asgi_task(cycle, cast("Any", app_with_files))

    async def _send_file(self, cycle: RequestResponseCycle, message: Any) -> None:
        """Send `count` bytes of `file` from `offset` as the whole body, and end the response."""
        count = message["count"]
        await self._drain()
        self.flow.pause_reading()  # a request that arrives now must not be answered into the body
        try:
            if not cycle.disconnected:
                await self._sender.send(self.transport, message["file"].fileno(), message["offset"], count)
        except ConnectionError:
            cycle.disconnected = True
            self.transport.abort()
        except asyncio.CancelledError:
            self.transport.abort()  # the length was promised: only a broken connection tells the client
            raise
        cycle.expected_content_length -= count
        await cycle.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        """Wait until the head has been sent: the file bypasses the transport's buffer."""
        self.transport.set_write_buffer_limits(high=0)
        await self.flow.drain()
        self.transport.set_write_buffer_limits()


def parse_plain_head(tail: bytes) -> RequestHeaders | None:
    """The fields of a request head (after its first line); NOT_PLAIN when uvicorn's parser must read it.

    A plain head is complete, has nothing behind it, well-formed lines, one Host, no body and no range, and keeps the
    connection alive.
    """
    if tail.find(b"\r\n\r\n") != len(tail) - 4:
        return NOT_PLAIN
    found: dict[bytes, bytes] = {}
    for line in tail[2:-4].split(b"\r\n"):
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            return NOT_PLAIN
        name = match[1].lower()
        if name in _UNUSUAL or name in found:
            return NOT_PLAIN
        found[name] = match[2].strip(b" \t")
    if b"host" not in found or found.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return NOT_PLAIN
    if b"authorization" not in found and b"if-none-match" not in found:
        return NO_HEADERS
    return RequestHeaders(
        authorization=found.get(b"authorization", b""), if_none_match=found.get(b"if-none-match", b"")
    )
