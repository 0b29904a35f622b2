"""Reports progress to the browser while a form's handler works for seconds.

`app.js` sends such a form (`<button data-progress>`) with the header `x-progress` and reads lines of JSON while the
handler works: {"phase", "done", "total"} when there is news, at last {"page": HTML} or {"location": address}. Without a
script the same form is an ordinary one. Nothing is kept between requests, so any number of processes may serve.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

log = logging.getLogger("antivenom.web")
REPORT_EVERY_S = 0.2

OnProgress = Callable[[str, int, int], None]


def progress_reporter(request: Request) -> OnProgress:
    """What a handler reports its progress to; does nothing for an ordinary request."""
    progress: _LatestProgress | None = getattr(request.state, "progress", None)
    return progress.note if progress else _ignore_progress


def _ignore_progress(phase: str, done: int, total: int) -> None:
    del phase, done, total


class ProgressLine(msgspec.Struct, frozen=True):
    """What the handler is doing."""

    phase: str
    done: int
    total: int


class PageLine(msgspec.Struct, frozen=True):
    """The last line: the page to show, as HTML."""

    page: str


class LocationLine(msgspec.Struct, frozen=True):
    """The last line: the address to go to."""

    location: str


class PlainLine(msgspec.Struct, frozen=True):
    """The last line: the script is to send the form as an ordinary one."""

    plain: bool = True


class _LatestProgress:
    """Keeps the latest progress until it is sent."""

    def __init__(self) -> None:
        self._latest: ProgressLine | None = None

    def note(self, phase: str, done: int, total: int) -> None:
        self._latest = ProgressLine(phase, done, total)

    def take(self) -> ProgressLine | None:
        latest, self._latest = self._latest, None
        return latest


def wants_progress(request: Request) -> bool:
    return "x-progress" in request.headers


async def stream_progress(request: Request, answer: Callable[[], Awaitable[Response]]) -> StreamingResponse:
    """Streams the progress of `answer`, then its response. Cancels the work when the client disconnects."""
    await request.body()  # read now: a streaming response takes an unread body for a disconnect
    progress = _LatestProgress()
    request.state.progress = progress

    async def lines() -> AsyncIterator[bytes]:
        working = asyncio.ensure_future(answer())
        try:
            while not working.done():
                await asyncio.wait({working}, timeout=REPORT_EVERY_S)
                if latest := progress.take():
                    yield _encode(latest)
            yield _encode(_outcome(working))
        finally:
            working.cancel()

    return StreamingResponse(lines(), media_type="application/x-ndjson", headers={"cache-control": "no-store"})


def _outcome(working: asyncio.Future[Response]) -> PageLine | LocationLine | PlainLine:
    """The last line; for an unexpected error, PlainLine."""
    if error := working.exception():
        log.warning(
            "%s while a form was handled: the browser is asked to send it as an ordinary form",
            type(error).__name__,
            exc_info=error,
        )
        return PlainLine()
    response = working.result()
    location = response.headers.get("location")
    return LocationLine(location) if location else PageLine(bytes(response.body).decode())


def _encode(line: msgspec.Struct) -> bytes:
    return msgspec.json.encode(line) + b"\n"
