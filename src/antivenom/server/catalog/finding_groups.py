"""Findings as people read them: a vulnerability in a package once, with the versions that it affects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from antivenom.core.conda.specs import version_order
from antivenom.server.db.paging import Page, slice_page

Row = dict[str, Any]


def merge_versions(rows: Iterable[Row]) -> list[Row]:
    """One row a (channel, package, vulnerability, status) from rows that are one a version, in the order of the first.

    The row is that of the riskiest version, with `versions` (conda's order, the newest first), the sums of `records`
    and `withheld`, every subdir and fixed version, and `evidence` with all `ranges` of a source in one entry. `channel`
    may be absent.
    """
    return [_merge(group) for group in _groups(rows)]


def page_merged_versions(rows: Iterable[Row], page: int, page_size: int) -> Page[Row]:
    """One page of `merge_versions(rows)`; only what is on it is merged, for there may be 150,000 rows."""
    found = slice_page(_groups(rows), page, page_size)
    return Page([_merge(group) for group in found.items], found.total, page, page_size)


def _groups(rows: Iterable[Row]) -> list[list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.get("channel", ""), row["name"], row["ids"][0], row["status"]].append(row)
    return list(groups.values())


def _merge(group: list[Row]) -> Row:
    worst = max(group, key=lambda row: row["risk"])
    return {
        **worst,
        "versions": newest_first({row["version"] for row in group}),
        "records": sum(row["records"] for row in group),
        "withheld": sum(row["withheld"] for row in group),
        "subdirs": sorted({subdir for row in group for subdir in row["subdirs"]}),
        "fixed_versions": list(dict.fromkeys(fixed for row in group for fixed in row["fixed_versions"])),
        "evidence": _join_ranges(item for row in group for item in row["evidence"]),
    }


def newest_first(versions: Collection[str]) -> list[str]:
    """Versions in conda's order, turned; what conda cannot order comes last."""
    if len(versions) == 1:
        return list(versions)
    orders = {version: order for version in versions if (order := version_order(version)) is not None}
    ordered = sorted(orders.items(), key=lambda item: item[1], reverse=True)
    return [version for version, _ in ordered] + sorted(version for version in versions if version not in orders)


def _join_ranges(evidence: Iterable[dict[str, str]]) -> list[dict[str, Any]]:
    """One entry a (source, identity), with every range that it names once."""
    joined: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in evidence:
        ranges = joined[item["source"], item["via"]]
        if item["range"] not in ranges:
            ranges.append(item["range"])
    return [{"source": source, "via": via, "ranges": ranges} for (source, via), ranges in joined.items()]
