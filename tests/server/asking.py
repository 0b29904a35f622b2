"""Asking the whole application without a network: raw paths arrive as they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from antivenom.server.app import Application


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    challenges: list[str]
    body: bytes


class Asker:
    """Asks an application as an ASGI server would."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, path: str, *, method: str = "GET", **headers: str) -> Answered:
        messages: list[Any] = []

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            messages.append(message)

        fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http", "method": method, "path": unquote(path.partition("?")[0]), "raw_path": path.encode(),
            "query_string": b"", "headers": fields, "scheme": "http", "http_version": "1.1", "root_path": "",
            "server": ("antivenom.test", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        await self.application(scope, receive, send)
        start, body = messages[0], b"".join(m.get("body", b"") for m in messages[1:])
        found = [(name.decode().lower(), value.decode()) for name, value in start["headers"]]
        challenges = [value for name, value in found if name == "www-authenticate"]
        return Answered(start["status"], dict(found), challenges, body)
