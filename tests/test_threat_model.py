"""Each line of the threat model (docs/concepts/threat-model.md) names a test, and each of those tests is there."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).parent.parent
PAGE = REPO / "docs" / "concepts" / "threat-model.md"
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
ATTACKERS = ("upstream", "network", "stranger", "reader", "member", "thief of a token", "thief of the disk")


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[-1] != "test"]


def test_every_line_says_what_holds_and_names_its_test() -> None:
    for row in rows():
        assert len(row) == 3, row
        assert all(row), row
        assert all(TEST.fullmatch(name) for name in row[2].split(", ")), row


def test_every_test_that_is_named_is_there() -> None:
    named = {match for row in rows() for match in TEST.findall(row[2])}
    missing = [
        f"{file}::{test}"
        for file, test in sorted(named)
        if not (REPO / file).is_file() or f"def {test}(" not in (REPO / file).read_text("utf-8")
    ]
    assert missing == []


def test_every_attacker_has_lines() -> None:
    parts = PAGE.read_text("utf-8").split("\n## ")[1:]
    titles = {part.splitlines()[0]: part for part in parts}
    for attacker in ATTACKERS:
        (title,) = [title for title in titles if title.endswith(attacker)]
        assert "\n| " in titles[title], title
