"""What a channel publishes, what it withholds and why, and moving its pointer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from antivenom.core.errors import ConflictError, NotFoundError
from antivenom.core.policies import parse_policy
from antivenom.core.publishing import PlanItem
from antivenom.server.channels import service as channels
from antivenom.server.channels.models import Channel
from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page
from antivenom.server.events.service import record
from antivenom.server.findings import service as findings_service
from antivenom.server.members.authorization import require
from antivenom.server.policies import service as policies
from antivenom.server.policies.models import Policy, PolicyRevision
from antivenom.server.publications import queries
from antivenom.server.publications.build import BuildRequest, plan_publication
from antivenom.server.publications.contents import (
    FindingFilter,
    count_withheld,
    current,
    explain,
    filter_channel_findings,
    get_package,
    iterate_withheld,
    list_channel_findings,
    list_channel_vulnerabilities,
    list_packages,
    list_withheld,
)
from antivenom.server.publications.models import Publication
from antivenom.server.publications.publishing import channel_facts, defer_republish, stored_curations
from antivenom.server.publications.schemas import ChannelSummary, PublicationView, reason_row
from antivenom.server.publications.told import ToldFilter

__all__ = [
    "FindingFilter",
    "ToldFilter",
    "count_channels_by_policy",
    "count_withheld",
    "current",
    "explain",
    "filter_channel_findings",
    "get_channel_policy",
    "get_channel_summary",
    "get_package",
    "get_trend",
    "iterate_withheld",
    "list_channel_findings",
    "list_channel_summaries",
    "list_channel_vulnerabilities",
    "list_channels_under",
    "list_history",
    "list_packages",
    "list_withheld",
    "plan_policy",
    "rollback",
    "set_policy",
    "set_policy_everywhere",
]

Row = dict[str, Any]


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
    return Page([_summary(*row) for row in found.items], found.total, page, page_size)


async def get_channel_summary(ctx: Context, channel: str) -> ChannelSummary:
    """One channel with its current publication's numbers."""
    row = await channels.get_channel(ctx, channel)
    overview = await queries.channel_overview(ctx.session, [row.id])
    return _summary(*overview[row.id])


def _summary(
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


# -- the channel's policy ----------------------------------------


async def set_policy(ctx: Context, channel: str, text: str) -> PolicyRevision:
    """Attach a policy (as a new revision, if its text is new) to one channel and have it published anew at once.

    Other channels under a policy of the same name keep their revision; see `set_policy_everywhere`.

    Raises:
        InvalidInputError: The policy is wrong; `data["problems"]` says where.
    """
    require(ctx, "policies:write", subject=f"channel:{channel}")
    row = await channels.get_channel(ctx, channel, permission="channels:write", lock=True)
    revision = await policies.save_policy(ctx, text)
    await _attach(ctx, row, revision)
    return revision


async def set_policy_everywhere(ctx: Context, text: str) -> tuple[PolicyRevision, list[str]]:
    """A new revision of a policy for every channel that is under it; the revision and the channels' names."""
    require(ctx, "policies:write", subject="policy:*")
    revision = await policies.save_policy(ctx, text)
    rows = await queries.channels_under_policy(ctx.session, revision.policy_id, lock=True)
    for row in rows:
        await _attach(ctx, row, revision)
    return revision, [row.name for row in rows]


async def list_channels_under(ctx: Context, policy: str) -> list[ChannelSummary]:
    """The channels to which any revision of a policy is attached, by name.

    Raises:
        NotFoundError: There is no such policy.
    """
    found, _ = await policies.get_policy(ctx, policy)
    rows = await queries.channels_under_policy(ctx.session, found.id)
    overview = await queries.channel_overview(ctx.session, [row.id for row in rows])
    return [_summary(*overview[row.id]) for row in rows]


async def count_channels_by_policy(ctx: Context) -> dict[int, int]:
    """How many channels are under each policy, by the policy's id."""
    require(ctx, "policies:read", subject="policy:*")
    return await queries.count_channels_by_policy(ctx.session)


async def _attach(ctx: Context, channel: Channel, revision: PolicyRevision) -> None:
    if channel.policy_revision_id != revision.id:
        channel.policy_revision_id = revision.id
        await record(ctx, "policy.attached", subject=f"channel:{channel.name}", revision=revision.number)
    else:
        serving = await queries.find_publication(ctx.session, channel.publication_id)
        if serving is None or serving.policy_revision_id == revision.id:
            return  # else a rollback serves what another policy decided: setting this one again ends that
    await defer_republish(ctx, channel.id, cause="policy")


async def get_channel_policy(ctx: Context, channel: str) -> tuple[Policy, PolicyRevision] | None:
    """The policy and revision attached to a channel; None when it has none."""
    row = await channels.get_channel(ctx, channel)
    if row.policy_revision_id is None:
        return None
    revision = await ctx.session.get_one(PolicyRevision, row.policy_revision_id)
    return await ctx.session.get_one(Policy, revision.policy_id), revision


async def plan_policy(
    ctx: Context, channel: str, text: str, *, on_progress: Callable[[str, int, int], None] | None = None
) -> Row:
    """What a policy would withhold or release on a channel, by rule; nothing is changed.

    Args:
        on_progress: Told (phase, records done, records in all) meanwhile.

    Raises:
        InvalidInputError: The policy is wrong.
        NotFoundError: The channel has published nothing yet.
    """
    require(ctx, "policies:read", subject=f"channel:{channel}")
    parse_policy(text)
    row, publication = await current(ctx, channel)
    newest = await queries.newest_publication(ctx.session, row.id)
    knowledge = await findings_service.current_knowledge(ctx)
    request = BuildRequest(
        sources={s: entry["source"] for s, entry in (newest or publication).subdirs.items()},
        channel=await channel_facts(ctx, row),
        policy_text=text,
        knowledge_key=knowledge.index_key,
        now_ms=round(ctx.now.timestamp() * 1000),
        closure=row.closure,
        previous={s: entry["index"] for s, entry in publication.subdirs.items()},
        mapping_channel=row.mapping_channel,
        curations=await stored_curations(ctx),
    )
    planned = await ctx.resources.cpu.run(
        plan_publication,
        ctx.resources.blobs.url,
        request,
        previous_findings=publication.findings_key,
        on_progress=on_progress,
    )
    rules = sorted(planned.withheld_by_rule.keys() | planned.released_by_rule.keys())
    return {
        "withheld": [_planned_row(item) for item in planned.withheld],
        "released": [_planned_row(item) for item in planned.released],
        "by_rule": {
            rule: {"withheld": planned.withheld_by_rule.get(rule, 0), "released": planned.released_by_rule.get(rule, 0)}
            for rule in rules
        },
        "counts": {
            "withheld": planned.withheld_count,
            "released": planned.released_count,
            "after": msgspec.to_builtins(planned.counts),
        },
    }


def _planned_row(item: PlanItem) -> Row:
    return {
        "subdir": item.subdir,
        "fn": item.fn,
        "name": item.name,
        "version": item.version,
        "build": item.build,
        "reasons": [reason_row(reason) for reason in item.reasons],
    }


async def get_trend(ctx: Context, channel: str, days: int = 30) -> list[Row]:
    """Kept and withheld records of each publication of the last days, oldest first; for charts."""
    row = await channels.get_channel(ctx, channel)
    since = ctx.now - timedelta(days=days)
    found = [p for p in await queries.list_retained(ctx.session, row.id) if p.created_at >= since]
    return [
        {
            "at": p.created_at,
            "number": p.number,
            **{k: p.counts.get(k, 0) for k in ("records", "kept", "withheld", "warned")},
        }
        for p in reversed(found)
    ]
