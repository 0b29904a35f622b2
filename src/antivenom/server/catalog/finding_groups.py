"""Groups findings for people: a vulnerability in a package is one row, with all versions that it affects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from antivenom.core.conda.specs import version_order
from antivenom.server.catalog.rows import ChannelFinding, EvidenceRanges, FindingEvidence, MergedFinding, rank_of
from antivenom.server.db.paging import Page, slice_page


def merge_versions(rows: Iterable[ChannelFinding], channel: str = "") -> list[MergedFinding]:
    """One row for each package, vulnerability and status, in the order in which they first occur.

    A merged row has the sums of `records` and `withheld`, every subdir and fixed version, and one entry of evidence for
    each source and identity.

    Args:
        rows: Findings of single versions, all of one channel.
        channel: The channel that the merged rows name.
    """
    return [_merge(group, channel) for group in _groups(rows)]


def page_merged_versions(rows: Iterable[ChannelFinding], page: int, page_size: int) -> Page[MergedFinding]:
    """One page of `merge_versions(rows)`. Merges only the rows of that page: there may be 150,000."""
    found = slice_page(_groups(rows), page, page_size)
    return Page([_merge(group, "") for group in found.items], found.total, page, page_size)


def _groups(rows: Iterable[ChannelFinding]) -> list[list[ChannelFinding]]:
    groups: dict[tuple[str, str, str], list[ChannelFinding]] = defaultdict(list)
    for row in rows:
        groups[row.name, row.ids[0], row.status].append(row)
    return list(groups.values())


def _merge(group: list[ChannelFinding], channel: str) -> MergedFinding:
    return MergedFinding(
        channel=channel,
        worst=max(group, key=rank_of),
        versions=newest_first({row.version for row in group}),
        records=sum(row.records for row in group),
        withheld=sum(row.withheld for row in group),
        subdirs=sorted({subdir for row in group for subdir in row.subdirs}),
        fixed_versions=list(dict.fromkeys(fixed for row in group for fixed in row.fixed_versions)),
        evidence=_join_ranges(item for row in group for item in row.evidence),
    )


def newest_first(versions: Collection[str]) -> list[str]:
    """Versions in conda's order, reversed; versions that conda cannot order come last."""
    if len(versions) == 1:
        return list(versions)
    orders = {version: order for version in versions if (order := version_order(version)) is not None}
    ordered = sorted(orders.items(), key=lambda item: item[1], reverse=True)
    return [version for version, _ in ordered] + sorted(version for version in versions if version not in orders)


def _join_ranges(evidence: Iterable[FindingEvidence]) -> list[EvidenceRanges]:
    """One entry for each source and identity, with each of its ranges once."""
    joined: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in evidence:
        ranges = joined[item.source, item.via]
        if item.range not in ranges:
            ranges.append(item.range)
    return [EvidenceRanges(source, via, ranges) for (source, via), ranges in joined.items()]
