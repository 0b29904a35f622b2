"""Retires publications that nobody goes back to any more; a collection then deletes what only they named.

Source: CEP 16 (shards stay for at least a week after they left the index: clients may still use an older one).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from antivenom.server.channels.models import Channel
from antivenom.server.channels.queries import find_channel_by_id
from antivenom.server.context import Context
from antivenom.server.events.service import record
from antivenom.server.publications import queries
from antivenom.server.publications.models import Publication

KEEP_FOR = timedelta(days=14)
KEEP_AT_LEAST = 10  # publications of each channel, whatever their age


async def retire_publications(ctx: Context, channel_id: int) -> int:
    """Retire a channel's long superseded publications: they can no longer be served. Answers how many.

    The channel is locked, so that no rollback goes back to one of them meanwhile.
    """
    channel = await find_channel_by_id(ctx.session, channel_id, lock=True)
    if channel is None:
        return 0
    _, drop = divide(await queries.list_retained(ctx.session, channel_id), channel, ctx.now - KEEP_FOR)
    for publication in drop:
        publication.collected_at = ctx.now
    if drop:
        numbers = sorted(publication.number for publication in drop)
        await record(ctx, "publication.retired", subject=f"channel:{channel.name}", numbers=numbers)
    return len(drop)


def divide(
    publications: list[Publication], channel: Channel, before: datetime
) -> tuple[list[Publication], list[Publication]]:
    """Divide a channel's publications (newest first) into kept and dropped ones.

    Keeps the current one, the newest ten, and those made since `before`.
    """
    keep: list[Publication] = []
    drop: list[Publication] = []
    for position, publication in enumerate(publications):
        if publication.collected_at is not None:
            continue
        old = publication.created_at < before
        kept = position < KEEP_AT_LEAST or publication.id == channel.publication_id or not old
        (keep if kept else drop).append(publication)
    return keep, drop
