"""Which process of pytest-xdist runs which tests.

The tests of a file stay together and in order, and so do files that share an expensive server: it is started once.
Groups that take long come first, so that no process is left with one of them while the others are idle.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

# Of a node id's beginning; from long to short, measured. What is not named here is a group by its file, and comes last.
GROUPS = {
    "tests/browser/": "browser",
    "tests/e2e/": "up",
    "tests/cli/": "up",
    "tests/server/mirrors/test_editing.py": "up",
    "tests/server/runtime/test_up.py": "up",
    "tests/quality/": "quality",
    "tests/server/advisories/test_killed.py": "killed",
    "tests/server/mirrors/test_crashes.py": "crashes",
    "tests/server/adapters/test_blobs.py": "s3",
    "tests/server/distribution/test_s3.py": "s3",
    "tests/server/": "",
}
TURNS = {start: turn for turn, start in enumerate(GROUPS)}


def _start_of(nodeid: str) -> str | None:
    return next((start for start in GROUPS if nodeid.startswith(start)), None)


def turn_of(item: pytest.Item) -> int:
    """Where an item stands in the order of groups."""
    start = _start_of(item.nodeid)
    return len(GROUPS) if start is None else TURNS[start]


class GroupScheduling(LoadScopeScheduling):
    """Deals out whole groups, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return GROUPS.get(_start_of(nodeid) or "") or nodeid.partition("::")[0]
