"""A plugin for the tests of a mutant: the quickest run first, and nobody looks for the smallest example that fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import Phase, settings

STATS = Path("mutmut-stats.json")  # what mutmut measured, in the folder in which the tests run


def pytest_configure() -> None:
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    settings.register_profile("mutation", settings.get_profile("antivenom"), phases=phases, database=None)
    settings.load_profile("mutation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if STATS.exists():
        took = json.loads(STATS.read_text())["duration_by_test"]
        items.sort(key=lambda item: took.get(item.nodeid, 0))
