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
    rows: list[dict[str, Any]] = []
    channels = await service.list_channel_summaries(ctx, page_size=PAGE_SIZE_MAX)
    for channel in channels.items:
        if channel.publication is None:
            continue
        found = await service.filter_channel_findings(ctx, channel.name)
        mine = (row for row in found if wanted.intersection(any_id.casefold() for any_id in row["ids"]))
        rows += ({**row, "channel": channel.name} for row in mine)
    rows.sort(key=lambda row: (-row["risk"], row["channel"], row["name"], row["version"]))
    return slice_page(rows, page, page_size)
