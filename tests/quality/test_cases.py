"""Components that were answered wrongly once, made by hand from public reports (../shared/cases/matching.jsonl).

Asked with every shared feed and map. Classes of mistakes have tables of their own: tests/core/matching/test_classes.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from antivenom.core.matching.match import ComponentKey, MatchIndex
from tests.quality.classes import Bench


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[dict[str, Any]]:
    path = shared_data / "cases" / "matching.jsonl"
    if not path.is_file():
        pytest.skip("the shared cases of matching are not here")
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def test_every_shared_case_is_answered_as_it_says(rows: list[dict[str, Any]], bench: Bench) -> None:
    index = bench.index(held_out=False, curated=True)
    wrong = [f"{row['component']}: {reason}" for row in rows if (reason := judge(row, index))]
    assert len(rows) > 20
    assert wrong == []


def judge(row: dict[str, Any], index: MatchIndex) -> str:
    """What is wrong with our answer to a case; "" when nothing is."""
    asked = row["component"]
    key = (
        ComponentKey("purl", asked["purl"], "")
        if "purl" in asked
        else ComponentKey(asked["type"], asked["name"], asked["version"], subdir=asked.get("subdir", ""))
    )
    [answer] = index.assess([key], asked.get("channel", ""))
    found = {i for f in answer.findings for i in f.ids}
    missed, too_many = set(row["must_find"]) - found, set(row["must_not_find"]) & found
    return f"missed {sorted(missed)}, too many {sorted(too_many)}" if missed or too_many else ""
