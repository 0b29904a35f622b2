"""What another server answers: read within bounds, its Content-Encoding undone, kept in a file or in memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from antivenom.core.errors import StorageError, UpstreamError
from antivenom.server.adapters.content_coding import codings_of, decode_chunks, plain_test

if TYPE_CHECKING:
    import aiohttp

CODING_OVERHEAD_PART = 64  # data that cannot be compressed is sent a little longer than it is
CODING_OVERHEAD_BYTES = 1 << 16

OnProgress = Callable[[int, int | None], None]
"""(bytes so far, bytes in all if the server names them)."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. `headers` have lower-case names; `body` is empty when it went to `path`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    path: Path | None
    sha256: str
    size_bytes: int
    url: str

    @property
    def etag(self) -> str | None:
        """The ETag, if it is one that can be sent back."""
        return _validator(self.headers.get("etag"))

    @property
    def last_modified(self) -> str | None:
        """When the server says that the file was changed, if it is a text that can be sent back."""
        return _validator(self.headers.get("last-modified"))


def _validator(text: str | None) -> str | None:
    """A validator of printable ASCII; others cannot be stored or sent as they came (RFC 9110 has no others)."""
    return text if text and text.isascii() and text.isprintable() else None


@dataclass(frozen=True, slots=True)
class MinimumRate:
    """How slow an answer may be: on average over `window_s` of waiting for it, no less than `bytes_per_s`."""

    bytes_per_s: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body arrives while it is read, its Content-Encoding undone.

    There is no `content-length` where a Content-Encoding is: it would be that of other bytes.
    """

    status: int
    headers: Mapping[str, str]
    url: str
    chunks: AsyncIterator[bytes]


def read_answer(answer: aiohttp.ClientResponse, asked: str, max_bytes: int, url: str, minimum: MinimumRate) -> Stream:
    """The answer with its body to come.

    Args:
        asked: The path that was asked for; where it redirected to may have any name.
        max_bytes: Of the body, its Content-Encoding undone.
    """
    headers = {name.lower(): value for name, value in answer.headers.items()}
    coding = headers.get("content-encoding", "")
    if answer.status != 200 or not codings_of(coding):
        return Stream(answer.status, headers, url, _bounded(answer, max_bytes, url, minimum))
    headers.pop("content-length", None)
    sent_max_bytes = max_bytes + max_bytes // CODING_OVERHEAD_PART + CODING_OVERHEAD_BYTES
    chunks = _bounded(answer, sent_max_bytes, url, minimum)
    plain = plain_test(asked)
    return Stream(200, headers, url, decode_chunks(chunks, coding, max_bytes=max_bytes, is_plain=plain, subject=url))


async def _bounded(
    answer: aiohttp.ClientResponse, max_bytes: int, url: str, minimum: MinimumRate
) -> AsyncIterator[bytes]:
    declared = answer.content_length
    if declared is not None and declared > max_bytes:
        raise UpstreamError(f"{url} is {declared} bytes, more than the {max_bytes} that are accepted", permanent=True)
    total = 0
    async for chunk in _paced(answer.content.iter_any(), minimum, url):
        total += len(chunk)
        if total > max_bytes:
            raise UpstreamError(f"{url} is larger than the {max_bytes} bytes that are accepted", permanent=True)
        yield chunk


async def _paced(chunks: AsyncIterator[bytes], minimum: MinimumRate, url: str) -> AsyncIterator[bytes]:
    """The chunks, as long as they come fast enough. Only waiting for them counts: a slow reader is not their fault.

    Raises:
        UpstreamError: Too few came in a window. (The connection itself sees to it that no chunk is waited for longer.)
    """
    waited_s, received = 0.0, 0
    while True:
        started = time.monotonic()
        chunk = await anext(chunks, None)
        if chunk is None:
            return
        waited_s += time.monotonic() - started
        received += len(chunk)
        if waited_s >= minimum.window_s:
            if received < minimum.bytes_per_s * waited_s:
                raise UpstreamError(
                    f"{url} is too slow: {received} bytes in {waited_s:.0f} s, less than the"
                    f" {minimum.bytes_per_s} bytes per second of ANTIVENOM_OUTBOUND_MIN_RATE",
                    hint="it will be tried again",
                )
            waited_s, received = 0.0, 0
        yield chunk


async def collect(stream: Stream, to: Path | None, on_progress: OnProgress | None) -> Response:
    """The whole answer; the body of a 200 goes to `to`, if that is given.

    Raises:
        StorageError: `to` cannot be written.
    """
    length = stream.headers.get("content-length", "")
    expected = int(length) if length.isdigit() else None
    digest, done, parts = hashlib.sha256(), 0, []
    partial = to.with_name(f".{to.name}.{secrets.token_hex(6)}") if to is not None and stream.status == 200 else None
    file = None
    try:
        with _disk_errors(to):
            file = partial.open("wb") if partial is not None else None
        async for chunk in stream.chunks:
            digest.update(chunk)
            done += len(chunk)
            if file is None:
                parts.append(chunk)
            else:
                with _disk_errors(to):
                    file.write(chunk)
            if on_progress is not None:
                on_progress(done, expected)
        with _disk_errors(to):
            if file is not None and partial is not None and to is not None:
                file.close()
                os.replace(partial, to)
    finally:
        if file is not None:
            file.close()
        if partial is not None:
            partial.unlink(missing_ok=True)
    kept = to if partial is not None else None
    return Response(stream.status, stream.headers, b"".join(parts), kept, digest.hexdigest(), done, stream.url)


@contextlib.contextmanager
def _disk_errors(path: Path | None) -> Any:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}",
            hint="free some space on that disk, or check its permissions",
        ) from None
