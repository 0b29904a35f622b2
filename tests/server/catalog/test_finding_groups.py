"""Findings of single versions, merged for people."""

from __future__ import annotations

from typing import Any

from antivenom.server.catalog.finding_groups import merge_versions, newest_first, page_merged_versions
from antivenom.server.catalog.rows import ChannelFinding, EvidenceRanges, FindingEvidence
from tests.server.catalog.samples import channel_finding


def row(name: str, version: str, vulnerability: str = "CVE-1", **changes: Any) -> ChannelFinding:
    facts: dict[str, Any] = {
        "ids": (vulnerability,), "status": "reported", "risk": 10.0, "records": 2, "withheld": 1,
        "fixed_versions": ("2",), "evidence": [FindingEvidence("osv", f"pypi/{name}", "<2")],
    }  # fmt: skip
    return channel_finding(name=name, version=version, **facts | changes)


def test_versions_of_a_package_become_one_row_with_sums() -> None:
    (merged,) = merge_versions(
        [
            row("a", "1.9"),
            row("a", "1.10", risk=50.0, subdirs=["linux-64"], fixed_versions=("2", "1.11")),
            row("a", "1.9.post1", evidence=[FindingEvidence("osv", "pypi/a", ">=3")]),
        ]
    )
    assert merged.versions == ["1.10", "1.9.post1", "1.9"]
    assert (merged.worst.risk, merged.records, merged.withheld) == (50.0, 6, 3)
    assert merged.subdirs == ["linux-64", "noarch"]
    assert merged.fixed_versions == ["2", "1.11"]
    assert merged.evidence == [EvidenceRanges("osv", "pypi/a", ["<2", ">=3"])]


def test_packages_vulnerabilities_and_statuses_stay_apart() -> None:
    rows = [
        row("a", "1"),
        row("b", "1"),
        row("a", "1", "CVE-2"),
        row("a", "1", status="cleared"),
    ]
    merged = merge_versions(rows, "main")
    assert len(merged) == 4
    assert {found.channel for found in merged} == {"main"}


def test_a_page_keeps_the_order_of_the_rows_and_counts_what_is_merged() -> None:
    rows = [row("b", "2"), row("a", "1"), row("b", "1"), row("c", "1")]
    found = page_merged_versions(rows, 1, 2)
    assert ([merged.worst.name for merged in found.items], found.total) == (["b", "a"], 3)
    assert [merged.worst.name for merged in page_merged_versions(rows, 2, 2).items] == ["c"]


def test_what_conda_cannot_order_comes_last() -> None:
    assert newest_first({"1.0", "what?!", "1!0.1"}) == ["1!0.1", "1.0", "what?!"]
