"""The shared data and its indexes, read and compiled once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quality.classes import Bench


@pytest.fixture(scope="session")
def bench(shared_data: Path) -> Bench:
    return Bench(shared_data / "data")
