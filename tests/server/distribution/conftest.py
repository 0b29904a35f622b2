"""Channel files that are asked without a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.distribution.stand import Stand


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(tmp_path / "blobs", monkeypatch)
