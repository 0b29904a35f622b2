"""Which packages of which published channels a vulnerability affects now."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from antivenom.server.catalog import service
from antivenom.server.catalog.finding_groups import merge_versions
from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Page, check_sort, slice_page
from antivenom.server.publications import service as publications

SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "risk": lambda row: row["risk"],
    "name": lambda row: row["name"],
    "channel": lambda row: row["channel"],
    "served": lambda row: row["records"] - row["withheld"],
}


async def list_affected_packages(
    ctx: Context,
    ids: Collection[str],
    *,
    q: str = "",
    sort: str = "-risk",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[dict[str, Any]]:
    """Findings of all published channels that bear one of `ids`: one row a channel and package, as merging makes them.

    `q` is found in the package's or the channel's name; `sort` is one of SORTS, "-" before it for the largest first.

    Raises:
        InvalidInputError: An unknown sort, or a page that cannot be.
    """
    key = SORTS[check_sort(sort, SORTS)]
    wanted = {any_id.casefold() for any_id in ids}
    is_meant: dict[tuple[str, ...], bool] = {}  # hundreds of rows share their ids, and there may be 150k rows
    rows: list[dict[str, Any]] = []
    channels = await publications.list_channel_summaries(ctx, page_size=PAGE_SIZE_MAX)
    for channel in channels.items:
        if channel.publication is None:
            continue
        found = await service.filter_channel_findings(ctx, channel.name)
        for row in found:
            row_ids = tuple(row["ids"])
            if row_ids not in is_meant:
                is_meant[row_ids] = not wanted.isdisjoint(any_id.casefold() for any_id in row_ids)
            if is_meant[row_ids] and (q.lower() in row["name"] or q.lower() in channel.name):
                rows.append({**row, "channel": channel.name})
    merged = sorted(merge_versions(rows), key=lambda row: (row["channel"], row["name"]))
    merged.sort(key=key, reverse=sort.startswith("-"))
    return slice_page(merged, page, page_size)
