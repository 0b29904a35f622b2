"""A mirror of an upstream that behaves oddly, and somebody who asks for its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from antivenom.server.adapters import http
from antivenom.server.mirrors import downloads
from tests.reports.odd_upstream import OddUpstream
from tests.server.mirrors.conftest import ask, person  # noqa: F401  # fixtures


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[OddUpstream]:
    folder = tmp_path / "odd"
    folder.mkdir()
    with OddUpstream(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried again at once."""
    monkeypatch.setattr(downloads, "PAUSE_S", 0.0)
    monkeypatch.setattr(http, "BACKOFF_FIRST_S", 0.0)
