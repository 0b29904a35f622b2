"""A form whose answer takes seconds tells what it does meanwhile.

`app.js` sends such a form (`<button data-progress>`) with the header `x-progress` and reads lines of JSON while the
handler works: {"phase", "done", "total"} when there is news, at last {"page": HTML} or {"location": address}. Without a
script the same form is an ordinary one. Nothing is kept between requests, so any number of processes may serve.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

log = logging.getLogger("antivenom.web")
TELL_EVERY_S = 0.2

OnProgress = Callable[[str, int, int], None]


def progress_of(request: Request) -> OnProgress:
    """Where a handler says what it is doing; nobody listens to an ordinary request."""
    listening: _Listening | None = getattr(request.state, "listening", None)
    return listening.note if listening else _nobody_listens


def _nobody_listens(phase: str, done: int, total: int) -> None:
    del phase, done, total


class _Listening:
    """Keeps the latest news until it is told."""

    def __init__(self) -> None:
        self._latest: dict[str, Any] | None = None

    def note(self, phase: str, done: int, total: int) -> None:
        self._latest = {"phase": phase, "done": done, "total": total}

    def take(self) -> dict[str, Any] | None:
        latest, self._latest = self._latest, None
        return latest


def wants_progress(request: Request) -> bool:
    return "x-progress" in request.headers


async def tell_progress(request: Request, answer: Callable[[], Awaitable[Response]]) -> StreamingResponse:
    """The lines for one request: what `answer` does, then what it answers. Who goes away ends the work."""
    await request.body()  # kept in the request: a streaming response takes what still arrives for a sign of going away
    listening = _Listening()
    request.state.listening = listening

    async def lines() -> AsyncIterator[bytes]:
        working = asyncio.ensure_future(answer())
        try:
            while not working.done():
                await asyncio.wait({working}, timeout=TELL_EVERY_S)
                if news := listening.take():
                    yield _line(news)
            yield _line(_outcome(working))
        finally:
            working.cancel()

    return StreamingResponse(lines(), media_type="application/x-ndjson", headers={"cache-control": "no-store"})


def _outcome(working: asyncio.Future[Response]) -> dict[str, Any]:
    """The last line. What nobody expected is left to an ordinary request, which the script sends then."""
    if error := working.exception():
        log.warning("%s while a form was answered: the browser is asked to send it plainly", type(error).__name__)
        return {"plain": True}
    response = working.result()
    location = response.headers.get("location")
    return {"location": location} if location else {"page": bytes(response.body).decode()}


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"
