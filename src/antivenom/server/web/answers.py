"""Turns a content and a request into an HTTP answer (conditions, ranges, headers) and sends it over ASGI.

Source: RFC 9110 (13 conditional requests, 14 ranges), RFC 9457 (problems), ASGI extension "http.response.zerocopysend".
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

Headers = list[tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ZERO_COPY = "http.response.zerocopysend"
READ_BYTES = 1 << 20  # chunk size when the server cannot send the file itself
WHOLE_FILE_BYTES = 1 << 16  # files up to this size are read and sent in one piece

JSON = b"application/json"
ZSTD = b"application/zstd"
PROBLEM = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class FilePart:
    """`length` bytes of a local file from `offset` on."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Content:
    """The current representation of one URL: its bytes (in memory, in a file, or read from elsewhere) and its headers.

    Exactly one of `body`, `file` and `read` is given. `read(offset, length)` yields the bytes of a range.
    `size` is None when it is not known before the end; such a content has no ranges, and `read` gets (0, -1).
    `etag` is quoted and strong. `last_modified` is an HTTP date or b"".
    """

    etag: bytes
    content_type: bytes
    cache_control: bytes
    size: int | None
    body: bytes | None = None
    file: FilePart | None = None
    read: Callable[[int, int], AsyncIterator[bytes]] | None = None
    last_modified: bytes = b""


@dataclass(slots=True)
class Answer:
    """A response that is ready to send; at most one of `body`, `file` and `stream` is set."""

    status: int
    headers: Headers
    body: bytes = b""
    file: FilePart | None = None
    stream: AsyncIterator[bytes] | None = None


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """The request headers that decide the answer, as sent; b"" when absent."""

    authorization: bytes = b""
    if_none_match: bytes = b""
    if_modified_since: bytes = b""
    range: bytes = b""
    if_range: bytes = b""

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> RequestHeaders:
        """Read ASGI headers (lower-case names). Joins If-None-Match lines to one list; takes the first of others."""
        found: dict[str, bytes] = {}
        for name, value in headers:
            if (attribute := _WANTED.get(name)) is not None:
                if attribute == "if_none_match" and attribute in found:
                    found[attribute] += b", " + value
                else:
                    found.setdefault(attribute, value)
        return cls(**found)


_WANTED = {
    b"authorization": "authorization",
    b"if-none-match": "if_none_match",
    b"if-modified-since": "if_modified_since",
    b"range": "range",
    b"if-range": "if_range",
}
NO_HEADERS = RequestHeaders()


NOSNIFF = (b"x-content-type-options", b"nosniff")
"""An artifact or a document of somebody else's is never read as a page."""


def content_headers(content: Content) -> Headers:
    """The headers that 200, 206 and 304 have in common."""
    headers = [(b"etag", content.etag), (b"cache-control", content.cache_control), NOSNIFF]
    if content.last_modified:
        headers.append((b"last-modified", content.last_modified))
    return headers


def is_unchanged(content: Content, request: RequestHeaders) -> bool:
    """Whether the client already has this content. If-None-Match takes precedence over If-Modified-Since.

    A date matches only when it equals the one that was sent: after a rollback the content is older than the client's.
    """
    if request.if_none_match:
        return etag_matches(content.etag, request.if_none_match)
    return bool(content.last_modified) and request.if_modified_since == content.last_modified


def etag_matches(etag: bytes, field_value: bytes) -> bool:
    """Weak comparison of an entity tag with the list of an If-None-Match."""
    if field_value == etag or field_value.strip() == b"*":
        return True
    return any(candidate.strip().removeprefix(b"W/") == etag for candidate in field_value.split(b","))


def answer_content(content: Content, method: str, request: RequestHeaders) -> Answer:
    """The answer to GET or HEAD: 200, 206, 304 or 416."""
    headers = content_headers(content)
    if is_unchanged(content, request):
        return Answer(304, headers)
    headers.append((b"content-type", content.content_type))
    if content.size is None:
        return Answer(200, headers) if method == "HEAD" else Answer(200, headers, stream=_read(content, 0, -1))
    headers.append((b"accept-ranges", b"bytes"))
    start, length, status = 0, content.size, 200
    if method == "GET" and request.range and _range_applies(content, request):
        wanted = parse_range(request.range, content.size)
        if wanted == UNSATISFIABLE:
            return problem(
                416, "the range is outside the file", headers=[(b"content-range", b"bytes */%d" % content.size)]
            )
        if wanted is not None:
            (start, length), status = wanted, 206
            headers.append((b"content-range", b"bytes %d-%d/%d" % (start, start + length - 1, content.size)))
    headers.append((b"content-length", b"%d" % length))
    return _with_bytes(Answer(status, headers), content, method, start, length)


def _with_bytes(answer: Answer, content: Content, method: str, start: int, length: int) -> Answer:
    if method == "HEAD":
        return answer
    if content.body is not None:
        answer.body = content.body if length == len(content.body) else content.body[start : start + length]
    elif content.file is not None:
        answer.file = replace(content.file, offset=content.file.offset + start, length=length)
    else:
        answer.stream = _read(content, start, length)
    return answer


def _read(content: Content, start: int, length: int) -> AsyncIterator[bytes]:
    if content.read is None:
        raise ValueError("this content has no bytes")
    return content.read(start, length)


def _range_applies(content: Content, request: RequestHeaders) -> bool:
    return not request.if_range or request.if_range in (content.etag, content.last_modified)


UNSATISFIABLE = (-1, 0)
_RANGE = re.compile(rb"\s*+bytes\s*+=\s*+(\d{0,19})\s*+-\s*+(\d{0,19})\s*+", re.IGNORECASE)


def parse_range(field_value: bytes, size: int) -> tuple[int, int] | None:
    """(start, length) of a byte range, or UNSATISFIABLE; None for a field to ignore (several ranges, other units)."""
    match = _RANGE.fullmatch(field_value)
    if match is None or match[1] == match[2] == b"":
        return None
    if match[1] == b"":
        length = min(int(match[2]), size)
        return (size - length, length) if length else UNSATISFIABLE
    start = int(match[1])
    end = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < start:
        return None
    return (start, end - start + 1) if start < size else UNSATISFIABLE


def problem(
    status: int,
    detail: str,
    *,
    code: str = "",
    title: str = "",
    headers: Headers | None = None,
    extension: Mapping[str, Any] | None = None,
) -> Answer:
    """An RFC 9457 answer whose `detail` reaches the user: conda prints `detail`; 24.7 `message` and `reason`."""
    code = code or HTTPStatus(status).phrase.lower().replace(" ", "-")
    document = {
        "type": f"urn:antivenom:error:{code}",
        "title": title or code.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "message": detail,
        "reason": title or HTTPStatus(status).phrase,
        "code": code,
        **(extension or {}),
    }
    body = json.dumps(document).encode()
    fields = [(b"content-type", PROBLEM), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    return Answer(status, fields + (headers or []), body)


async def send_answer(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer over ASGI; the kernel sends a file if the server offers that."""
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
    if scope["method"] == "HEAD":
        await send(start)
        await send({"type": "http.response.body", "body": b""})
    elif answer.file is not None:
        await _send_file(answer.file, start, scope, send)
    elif answer.stream is not None:
        await _send_stream(answer.stream, start, receive, send)
    else:
        await send(start)
        await send({"type": "http.response.body", "body": answer.body})


async def _send_file(part: FilePart, start: dict[str, Any], scope: Scope, send: Send) -> None:
    with part.path.open("rb", buffering=0) as file:
        await send(start)
        if part.length <= WHOLE_FILE_BYTES:
            await send({"type": "http.response.body", "body": os.pread(file.fileno(), part.length, part.offset)})
        elif ZERO_COPY in (scope.get("extensions") or {}):
            await send({"type": ZERO_COPY, "file": file, "offset": part.offset, "count": part.length})
        else:
            for offset in range(part.offset, part.offset + part.length, READ_BYTES):
                count = min(READ_BYTES, part.offset + part.length - offset)
                chunk = await asyncio.to_thread(os.pread, file.fileno(), count, offset)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def _send_stream(stream: AsyncIterator[bytes], start: dict[str, Any], receive: Receive, send: Send) -> None:
    """Send a stream. Awaits the first chunk before the status, so that an early failure can still become a problem.

    Stops when the client disconnects: an ASGI server silently drops what is sent after that.
    """
    gone = asyncio.create_task(disconnected(receive))
    has_started = False
    try:
        while (chunk := await _next_or_none(stream, gone)) is not None:
            if not has_started:
                has_started = True
                await send(start)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if gone.done():
            return
        if not has_started:
            await send(start)
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        if hasattr(stream, "aclose"):
            await stream.aclose()


async def _next_or_none(stream: AsyncIterator[bytes], gone: asyncio.Task[None]) -> bytes | None:
    """The next chunk; None at the end, or when the client leaves, who may leave while an upstream keeps us waiting."""
    chunk = asyncio.ensure_future(anext(stream, None))
    try:
        await asyncio.wait({chunk, gone}, return_when=asyncio.FIRST_COMPLETED)
        return chunk.result() if chunk.done() and not gone.done() else None
    finally:
        if not chunk.done():
            chunk.cancel()
            await asyncio.gather(chunk, return_exceptions=True)


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone; what it sent of a body is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass
