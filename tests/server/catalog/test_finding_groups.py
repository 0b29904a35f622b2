"""Findings of single versions, merged for people."""

from __future__ import annotations

from typing import Any

from antivenom.server.catalog.finding_groups import merge_versions, newest_first, page_merged_versions


def row(name: str, version: str, vulnerability: str = "CVE-1", **changes: Any) -> dict[str, Any]:
    evidence = [{"source": "osv", "via": f"pypi/{name}", "range": "<2"}]
    return {
        "name": name, "version": version, "ids": [vulnerability], "status": "reported", "risk": 10.0, "records": 2,
        "withheld": 1, "subdirs": ["noarch"], "fixed_versions": ["2"], "evidence": evidence, **changes,
    }  # fmt: skip


def test_versions_of_a_package_become_one_row_with_sums() -> None:
    (merged,) = merge_versions(
        [
            row("a", "1.9"),
            row("a", "1.10", risk=50.0, subdirs=["linux-64"], fixed_versions=["2", "1.11"]),
            row("a", "1.9.post1", evidence=[{"source": "osv", "via": "pypi/a", "range": ">=3"}]),
        ]
    )
    assert merged["versions"] == ["1.10", "1.9.post1", "1.9"]
    assert (merged["risk"], merged["records"], merged["withheld"]) == (50.0, 6, 3)
    assert merged["subdirs"] == ["linux-64", "noarch"]
    assert merged["fixed_versions"] == ["2", "1.11"]
    assert merged["evidence"] == [{"source": "osv", "via": "pypi/a", "ranges": ["<2", ">=3"]}]


def test_packages_vulnerabilities_statuses_and_channels_stay_apart() -> None:
    rows = [
        row("a", "1"),
        row("b", "1"),
        row("a", "1", "CVE-2"),
        row("a", "1", status="cleared"),
        row("a", "1", channel="c"),
    ]
    assert len(merge_versions(rows)) == 5


def test_a_page_keeps_the_order_of_the_rows_and_counts_what_is_merged() -> None:
    rows = [row("b", "2"), row("a", "1"), row("b", "1"), row("c", "1")]
    found = page_merged_versions(rows, 1, 2)
    assert ([merged["name"] for merged in found.items], found.total) == (["b", "a"], 3)
    assert [merged["name"] for merged in page_merged_versions(rows, 2, 2).items] == ["c"]


def test_what_conda_cannot_order_comes_last() -> None:
    assert newest_first({"1.0", "what?!", "1!0.1"}) == ["1!0.1", "1.0", "what?!"]
