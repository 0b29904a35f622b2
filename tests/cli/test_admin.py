"""`antivenom admin gc` and `antivenom admin verify`: what they print and how they exit."""

from __future__ import annotations

import pytest

from antivenom.cli.admin import describe_lost, storage_row
from antivenom.cli.output import size_of

ROW = {"key": "pack/a", "problem": "missing", "needed_by": "main/noarch, publication 1", "plan": "fetched again"}


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_550_000, "1.6 MB"), (2e15, "2000.0 TB")]
)
def test_size_is_short(size_bytes: int, text: str):
    assert size_of(size_bytes) == text


@pytest.mark.parametrize(
    ("lost", "repair", "text"),
    [
        ([], False, "nothing is missing or damaged"),
        ([ROW], False, "1 blob missing or damaged; hint: antivenom admin verify --repair"),
        ([ROW], True, "1 blob missing or damaged; mending has begun"),
        (
            [ROW, {**ROW, "plan": ""}],
            True,
            "2 blobs missing or damaged; of which 1 blob cannot be mended: restore from a backup; mending has begun",
        ),
        (
            [{**ROW, "plan": ""}],
            False,
            "1 blob missing or damaged; of which 1 blob cannot be mended: restore from a backup",
        ),
    ],
)
def test_verification_says_what_is_left_to_do(lost: list[dict[str, str]], repair: bool, text: str):
    assert describe_lost({"lost": lost, "lost_count": len(lost)}, repair=repair) == text


def test_kind_that_is_only_freed_has_a_row():
    report = {"stored": {}, "freed": {"scratch": {"count": 2, "size_bytes": 5}}}
    assert storage_row("scratch", report) == {
        "kind": "scratch", "stored": 0, "size": "0 B", "freed": 2, "freed_size": "5 B",
    }  # fmt: skip
