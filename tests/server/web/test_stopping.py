"""A server that stops tells those who still wait for their first byte, and no one else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from antivenom.server.web.stopping import answer_when_stopped

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}


async def cut_short(*before: Any) -> list[Any]:
    """What is sent for a request that is cancelled after the application sent `before`."""
    sent: list[Any] = []
    waits = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        for message in before:
            await send(message)
        waits.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(answer_when_stopped(application, {"path": "/conda/main/x"}, None, send))
    await waits.wait()
    task.cancel()
    await task
    return sent


async def test_request_without_an_answer_gets_503_and_when_to_come_again() -> None:
    """Found by the soak: uvicorn made a bare 500 and a traceback of it."""
    start, body = await cut_short()
    headers = dict(start["headers"])
    assert (start["status"], headers[b"retry-after"], headers[b"connection"]) == (503, b"5", b"close")
    assert json.loads(body["body"])["code"] == "unavailable"


@pytest.mark.parametrize("count", [1, 2], ids=["head", "part of the body"])
async def test_answer_that_has_begun_is_not_made_to_look_whole(count: int) -> None:
    messages = [HEAD, {"type": "http.response.body", "body": b"ab", "more_body": True}][:count]
    assert await cut_short(*messages) == messages
