"""Which packages of which published channels a vulnerability affects now."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Page, slice_page
from antivenom.server.publications import service


async def list_affected(
    ctx: Context, ids: Collection[str], *, page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[dict[str, Any]]:
    """Findings of all published channels that bear one of `ids`, by risk, then channel, name and version.

    Each row is one of `service.list_channel_findings` and the name of its `channel`.
    """
    wanted = {any_id.casefold() for any_id in ids}
    is_meant: dict[tuple[str, ...], bool] = {}  # hundreds of rows share their ids, and there may be 150k rows
    rows: list[dict[str, Any]] = []
    channels = await service.list_channel_summaries(ctx, page_size=PAGE_SIZE_MAX)
    for channel in channels.items:
        if channel.publication is None:
            continue
        found = await service.filter_channel_findings(ctx, channel.name)
        for row in found:
            row_ids = tuple(row["ids"])
            if row_ids not in is_meant:
                is_meant[row_ids] = not wanted.isdisjoint(any_id.casefold() for any_id in row_ids)
            if is_meant[row_ids]:
                rows.append({**row, "channel": channel.name})
    rows.sort(key=lambda row: (-row["risk"], row["channel"], row["name"], row["version"]))
    return slice_page(rows, page, page_size)
