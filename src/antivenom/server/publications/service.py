"""Lists channels with what they serve and their publications, and moves the pointer of a channel."""

from __future__ import annotations

from datetime import timedelta

from antivenom.core.errors import ConflictError, NotFoundError
from antivenom.server.channels import service as channels
from antivenom.server.channels.models import Channel
from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page
from antivenom.server.events.service import record
from antivenom.server.members.authorization import require_somewhere
from antivenom.server.publications import queries
from antivenom.server.publications.models import Publication
from antivenom.server.publications.publish_channel import defer_republish
from antivenom.server.publications.queries import ChannelRow, PublicationRow
from antivenom.server.publications.summaries import Behind, ChannelSummary, PublicationView, TrendPoint

# -- channels with what they serve ----------------------------------------


async def list_channel_summaries(
    ctx: Context, *, q: str = "", sort: str = "name", page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[ChannelSummary]:
    """The channels that the actor may read, with the numbers of their current publications.

    They are sorted by `sort` (one of queries.CHANNEL_SORTS).

    `q` is searched in name, description, upstream and policy.

    Raises:
        InvalidInputError: An unknown sort, or a page that cannot be.
    """
    readable = require_somewhere(ctx, "channels:read")
    found = await queries.page_channels(ctx.session, among=readable, q=q, sort=sort, page=page, page_size=page_size)
    return Page([summarize_channel(row) for row in found.items], found.total, page, page_size)


async def get_channel_summary(ctx: Context, channel: str) -> ChannelSummary:
    """One channel with the numbers of its current publication."""
    row = await channels.get_channel(ctx, channel)
    rows = await queries.list_channel_rows(ctx.session, [row.id])
    return summarize_channel(rows[row.id])


def summarize_channel(row: ChannelRow) -> ChannelSummary:
    """A channel as lists show it."""
    channel, publication, policy, revision = row
    counts = publication.counts if publication else None
    return ChannelSummary(
        name=channel.name,
        description=channel.description,
        privacy=channel.privacy,
        closure=channel.closure,
        trust_build_statements=channel.trust_build_statements,
        upstream=channel.upstream,
        created_at=channel.created_at,
        demo=channel.is_demo,
        publication=publication.number if publication else None,
        published_at=publication.created_at if publication else None,
        cause=publication.cause if publication else "",
        policy=policy,
        policy_revision=revision,
        subdirs=sorted(publication.subdirs) if publication else [],
        records=counts.records if counts else 0,
        kept=counts.kept if counts else 0,
        withheld=counts.withheld if counts else 0,
        warned=counts.warned if counts else 0,
        counts=counts,
        behind=_behind(channel),
    )


def _behind(channel: Channel) -> Behind | None:
    if channel.applied >= channel.wanted or channel.behind_since is None:
        return None
    return Behind(
        since=channel.behind_since,
        error=channel.publish_error,
        failures=channel.publish_failures,
        next_try_at=channel.publish_retry_at,
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
    """Publications of a channel, sorted by `sort` (one of queries.HISTORY_SORTS), by default newest first.

    Raises:
        InvalidInputError: An unknown sort, or a page that cannot be.
    """
    row = await channels.get_channel(ctx, channel)
    found = await queries.page_history(ctx.session, row.id, cause=cause, sort=sort, page=page, page_size=page_size)
    return Page([_publication_view(row, item) for item in found.items], found.total, page, page_size)


def _publication_view(channel: Channel, row: PublicationRow) -> PublicationView:
    publication, policy, revision = row
    return PublicationView(
        number=publication.number,
        current=publication.id == channel.publication_id,
        served=publication.collected_at is None,
        created_at=publication.created_at,
        created_by=publication.created_by,
        cause=publication.cause,
        policy=policy,
        policy_revision=revision,
        records=publication.counts.records,
        kept=publication.counts.kept,
        withheld=publication.counts.withheld,
        warned=publication.counts.warned,
        counts=publication.counts,
    )


async def rollback(ctx: Context, channel: str, number: int | None = None) -> Publication:
    """Serve an earlier publication again. The next change publishes again from the newest sources.

    Args:
        number: The publication to serve; None is the one before the current.

    Raises:
        NotFoundError: There is no such publication, or its blobs were deleted.
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
            hint=f"list them with: antivenom channel history {channel}",
        )
    if target.id == row.publication_id:
        raise ConflictError(f"channel {channel!r} already serves publication {number}")
    row.publication_id = target.id
    await record(ctx, "publication.rolled_back", subject=f"channel:{channel}", number=number)
    return target


async def request_publication(ctx: Context, channel: str) -> None:
    """Publish a channel again from its newest sources, soon. Adds no publication if nothing would change.

    Raises:
        NotFoundError: There is no such channel.
    """
    row = await channels.get_channel(ctx, channel, permission="channels:write")
    await defer_republish(ctx, row.id, cause="request")


async def get_trend(ctx: Context, channel: str, days: int = 30) -> list[TrendPoint]:
    """Kept and withheld records of each publication of the last `days`, oldest first."""
    row = await channels.get_channel(ctx, channel)
    since = ctx.now - timedelta(days=days)
    found = [p for p in await queries.list_retained(ctx.session, row.id) if p.created_at >= since]
    return [
        TrendPoint(
            at=p.created_at,
            number=p.number,
            records=p.counts.records,
            kept=p.counts.kept,
            withheld=p.counts.withheld,
            warned=p.counts.warned,
        )
        for p in reversed(found)
    ]


async def get_served_publication(ctx: Context, channel: str) -> tuple[Channel, Publication]:
    """A channel and the publication that it serves.

    Raises:
        NotFoundError: There is no such channel, or it has published nothing yet.
    """
    row = await channels.get_channel(ctx, channel)
    publication = await queries.find_publication(ctx.session, row.publication_id)
    if publication is None:
        raise NotFoundError(
            f"channel {channel!r} has published nothing yet",
            hint=f"sync it with: antivenom mirror sync {channel} --wait",
        )
    return row, publication
