"""What clients are told whose requests the end of this process cuts short."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from antivenom.core.errors import UnavailableError
from antivenom.server.web.problems import PROBLEM_JSON, problem_document, problem_headers

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
STOPPING = UnavailableError("this server is stopping", hint="try again in some seconds")


async def answer_when_stopped(app: Any, scope: Any, receive: Any, send: Send) -> None:
    """Let `app` answer; when it is cancelled before its first byte, answer 503.

    After the first byte the connection is closed: the server does that to an answer that ends too early.
    """
    has_begun = False

    async def note_and_send(message: MutableMapping[str, Any]) -> None:
        nonlocal has_begun
        has_begun = True
        await send(message)

    try:
        await app(scope, receive, note_and_send)
    except asyncio.CancelledError:
        if has_begun:
            return
        headers = {"content-type": PROBLEM_JSON, "connection": "close", **problem_headers(STOPPING)}
        await send(
            {
                "type": "http.response.start",
                "status": STOPPING.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        body = json.dumps(problem_document(STOPPING, scope["path"])).encode()
        await send({"type": "http.response.body", "body": body})
