"""Channels with what they serve, their publications, and moving the pointer."""

from __future__ import annotations

from datetime import timedelta

from antivenom.core.errors import ConflictError, NotFoundError
from antivenom.server.channels import service as channels
from antivenom.server.channels.models import Channel
from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page
from antivenom.server.events.service import record
from antivenom.server.members.authorization import require
from antivenom.server.publications import queries
from antivenom.server.publications.models import Publication
from antivenom.server.publications.summaries import ChannelSummary, PublicationView, TrendPoint

# -- channels with what they serve ----------------------------------------


async def list_channel_summaries(
    ctx: Context, *, q: str = "", sort: str = "name", page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[ChannelSummary]:
    """Channels by name or what else `sort` (queries.CHANNEL_SORTS) says, each with its current publication's numbers.

    `q` is found in name, description, upstream or policy.

    Raises:
        InvalidInputError: An unknown sort, or a page that cannot be.
    """
    require(ctx, "channels:read", subject="channel:*")
    found = await queries.page_channels(ctx.session, q=q, sort=sort, page=page, page_size=page_size)
    return Page([summarize_channel(*row) for row in found.items], found.total, page, page_size)


async def get_channel_summary(ctx: Context, channel: str) -> ChannelSummary:
    """One channel with its current publication's numbers."""
    row = await channels.get_channel(ctx, channel)
    overview = await queries.channel_overview(ctx.session, [row.id])
    return summarize_channel(*overview[row.id])


def summarize_channel(
    channel: Channel, publication: Publication | None, policy: str | None, revision: int | None
) -> ChannelSummary:
    counts = publication.counts if publication else {}
    return ChannelSummary(
        name=channel.name,
        description=channel.description,
        privacy=channel.privacy,
        closure=channel.closure,
        upstream=channel.upstream,
        created_at=channel.created_at,
        demo=channel.is_demo,
        publication=publication.number if publication else None,
        published_at=publication.created_at if publication else None,
        cause=publication.cause if publication else "",
        policy=policy,
        policy_revision=revision,
        subdirs=sorted(publication.subdirs) if publication else [],
        records=counts.get("records", 0),
        kept=counts.get("kept", 0),
        withheld=counts.get("withheld", 0),
        warned=counts.get("warned", 0),
        counts=counts,
    )


# -- history, rollback ----------------------------------------


async def list_history(
    ctx: Context,
    channel: str,
    *,
    cause: str = "",
    sort: str = "-number",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[PublicationView]:
    """Publications of a channel, newest first unless `sort` (queries.HISTORY_SORTS) says otherwise.

    Raises:
        InvalidInputError: An unknown sort, or a page that cannot be.
    """
    row = await channels.get_channel(ctx, channel)
    found = await queries.page_history(ctx.session, row.id, cause=cause, sort=sort, page=page, page_size=page_size)
    items = [_publication_view(row, publication, policy, revision) for publication, policy, revision in found.items]
    return Page(items, found.total, page, page_size)


def _publication_view(
    channel: Channel, publication: Publication, policy: str | None, revision: int | None
) -> PublicationView:
    return PublicationView(
        number=publication.number,
        current=publication.id == channel.publication_id,
        served=publication.collected_at is None,
        created_at=publication.created_at,
        created_by=publication.created_by,
        cause=publication.cause,
        policy=policy,
        policy_revision=revision,
        records=publication.counts.get("records", 0),
        kept=publication.counts.get("kept", 0),
        withheld=publication.counts.get("withheld", 0),
        warned=publication.counts.get("warned", 0),
        counts=publication.counts,
    )


async def rollback(ctx: Context, channel: str, number: int | None = None) -> Publication:
    """Serve an earlier publication again: one pointer moves. The next change publishes anew from the newest sources.

    Args:
        number: Which; None is the one before the current.

    Raises:
        NotFoundError: There is no such publication, or its blobs were thrown away.
        ConflictError: It is the current one.
    """
    row = await channels.get_channel(ctx, channel, permission="channels:write", lock=True)
    serving = await queries.find_publication(ctx.session, row.publication_id)
    if number is None:
        number = serving.number - 1 if serving else 0
    target = await queries.find_publication_by_number(ctx.session, row.id, number)
    if target is None or target.collected_at is not None:
        raise NotFoundError(
            f"channel {channel!r} has no publication {number} to go back to",
            hint=f"see what there is with: antivenom channel history {channel}",
        )
    if target.id == row.publication_id:
        raise ConflictError(f"publication {number} is the one that channel {channel!r} serves now")
    row.publication_id = target.id
    await record(ctx, "publication.rolled_back", subject=f"channel:{channel}", number=number)
    return target


async def get_trend(ctx: Context, channel: str, days: int = 30) -> list[TrendPoint]:
    """Kept and withheld records of each publication of the last `days`, oldest first."""
    row = await channels.get_channel(ctx, channel)
    since = ctx.now - timedelta(days=days)
    found = [p for p in await queries.list_retained(ctx.session, row.id) if p.created_at >= since]
    return [
        TrendPoint(
            at=p.created_at,
            number=p.number,
            records=p.counts.get("records", 0),
            kept=p.counts.get("kept", 0),
            withheld=p.counts.get("withheld", 0),
            warned=p.counts.get("warned", 0),
        )
        for p in reversed(found)
    ]


async def get_served_publication(ctx: Context, channel: str) -> tuple[Channel, Publication]:
    """A channel and the publication that it serves.

    Raises:
        NotFoundError: No such channel, or nothing was published yet.
    """
    row = await channels.get_channel(ctx, channel)
    publication = await queries.find_publication(ctx.session, row.publication_id)
    if publication is None:
        raise NotFoundError(
            f"channel {channel!r} has published nothing yet",
            hint=f"sync it with: antivenom mirror sync {channel} --wait",
        )
    return row, publication
