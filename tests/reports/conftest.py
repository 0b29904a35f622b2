"""A mirror of an upstream that behaves oddly, and somebody who asks for its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from antivenom.server.adapters import http
from antivenom.server.app import Application
from antivenom.server.mirrors import downloads
from tests.reports.odd_upstream import OddUpstream
from tests.server.asking import Answered, Asker
from tests.server.mirrors.conftest import person  # noqa: F401  # a fixture
from tests.server.test_pages import member_client, stranger  # noqa: F401  # fixtures


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[OddUpstream]:
    folder = tmp_path / "odd"
    folder.mkdir()
    with OddUpstream(folder) as server:
        yield server


class FollowingAsker(Asker):
    """Asks when the application has followed what was published before."""

    async def __call__(self, path: str, *, method: str = "GET", **headers: Any) -> Answered:
        await self.application.files._directory.refresh()
        return await super().__call__(path, method=method, **headers)


@pytest.fixture
async def ask(app: Application) -> FollowingAsker:
    return FollowingAsker(app)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried again at once."""
    monkeypatch.setattr(downloads, "PAUSE_S", 0.0)
    monkeypatch.setattr(http, "BACKOFF_FIRST_S", 0.0)
