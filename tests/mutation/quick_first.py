"""A plugin for the tests of a mutant: the quickest run first, and nobody looks for the smallest example that fails.

What functions remember is forgotten before each test: mutmut forks for each mutant behind a first run of all tests, and
in that one it sees which test reaches what.
"""

from __future__ import annotations

import functools
import gc
import json
from pathlib import Path

import pytest
from hypothesis import Phase, settings

STATS = Path("mutmut-stats.json")  # what mutmut measured, in the folder in which the tests run
REMEMBERING = pytest.StashKey[list["functools._lru_cache_wrapper[object]"]]()


def pytest_configure() -> None:
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    settings.register_profile("mutation", settings.get_profile("antivenom"), phases=phases, database=None)
    settings.load_profile("mutation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if STATS.exists():
        took = json.loads(STATS.read_text())["duration_by_test"]
        items.sort(key=lambda item: took.get(item.nodeid, 0))


def pytest_collection_finish(session: pytest.Session) -> None:
    session.stash[REMEMBERING] = [it for it in gc.get_objects() if type(it) is functools._lru_cache_wrapper]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for remembering in item.session.stash[REMEMBERING]:
        remembering.cache_clear()
