"""Answers `demo://` addresses out of this package: mirrors and feeds read the demo as they read any upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from antivenom import demo
from antivenom.server.adapters.http import BasicAuth, OutboundClient
from antivenom.server.adapters.http_answers import Stream


class DemoOutboundClient(OutboundClient):
    """The outbound client, which also answers `demo://` addresses, without a request to anybody."""

    def check_address(self, url: str) -> None:
        if not _is_demo(url):
            super().check_address(url)

    @asynccontextmanager
    async def _open(
        self, url: str, headers: dict[str, str], basic_auth: BasicAuth | None, max_bytes: int
    ) -> AsyncIterator[Stream]:
        if _is_demo(url):
            yield _read(url)
            return
        async with super()._open(url, headers, basic_auth, max_bytes) as stream:
            yield stream


def _is_demo(url: str) -> bool:
    return url.startswith(f"{demo.SCHEME}://")


def _read(url: str) -> Stream:
    parts = urlsplit(url)
    body = demo.read(parts.netloc + parts.path)

    async def chunks() -> AsyncIterator[bytes]:
        yield body or b""

    return Stream(404 if body is None else 200, {"content-length": str(len(body or b""))}, url, chunks())
