"""The packages of all published channels that a vulnerability affects now."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from antivenom.server.catalog import service
from antivenom.server.catalog.finding_groups import merge_versions
from antivenom.server.catalog.rows import ChannelFinding, MergedFinding, rank_of
from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Page, check_sort, slice_page
from antivenom.server.publications import service as publications

SORTS: dict[str, Callable[[MergedFinding], Any]] = {
    "risk": lambda row: rank_of(row.worst),
    "name": lambda row: row.worst.name,
    "channel": lambda row: row.channel,
    "served": lambda row: row.records - row.withheld,
}


async def list_affected_packages(
    ctx: Context,
    ids: Collection[str],
    *,
    q: str = "",
    sort: str = "-risk",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[MergedFinding]:
    """Findings of all published channels that have one of `ids`: one row for each channel and package.

    `q` is searched in the names of package and channel; `sort` is one of SORTS, with "-" for descending order.

    Raises:
        InvalidInputError: An unknown sort, or a page that cannot be.
    """
    key = SORTS[check_sort(sort, SORTS)]
    wanted = {any_id.casefold() for any_id in ids}
    is_wanted: dict[tuple[str, ...], bool] = {}  # hundreds of rows share their ids, and there may be 150,000 rows
    merged: list[MergedFinding] = []
    channels = await publications.list_channel_summaries(ctx, page_size=PAGE_SIZE_MAX)
    for channel in channels.items:
        if channel.publication is None:
            continue
        rows: list[ChannelFinding] = []
        for row in await service.filter_channel_findings(ctx, channel.name):
            if row.ids not in is_wanted:
                is_wanted[row.ids] = not wanted.isdisjoint(any_id.casefold() for any_id in row.ids)
            if is_wanted[row.ids] and (q.lower() in row.name or q.lower() in channel.name):
                rows.append(row)
        merged += merge_versions(rows, channel.name)
    merged.sort(key=lambda row: (row.channel, row.worst.name))
    merged.sort(key=key, reverse=sort.startswith("-"))
    return slice_page(merged, page, page_size)
