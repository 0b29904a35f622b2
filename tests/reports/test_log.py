"""The log of public bug reports (docs/dev/bug-reports.md) speaks of reports and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).parent.parent.parent
LOG = REPO / "docs" / "dev" / "bug-reports.md"
REPORT = re.compile(r"[\w.-]+/[\w.-]+#\d+")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


def rows() -> list[list[str]]:
    lines = [line for line in LOG.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] != "report"]


def test_every_row_names_a_report_and_what_happens_here() -> None:
    for row in rows():
        assert len(row) == 4, row
        assert all(REPORT.fullmatch(report) for report in row[0].split(", ")), row
        assert row[2].startswith(("holds", "falls short", "not ours")), row
        assert (row[3] == "") == row[2].startswith(("falls short", "not ours")), row


def test_every_test_that_is_named_is_there() -> None:
    named = {match for row in rows() for match in TEST.findall(row[3])}
    assert named
    missing = [
        f"{file}::{test}"
        for file, test in sorted(named)
        if not (REPO / file).is_file() or f"def {test}(" not in (REPO / file).read_text("utf-8")
    ]
    assert missing == []


def test_no_report_is_logged_twice() -> None:
    reports = [report for row in rows() for report in REPORT.findall(row[0])]
    assert sorted(reports) == sorted(set(reports))
