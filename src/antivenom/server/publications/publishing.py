"""Making a publication: gather what decides it, build it in a child process, move the pointer in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from antivenom.core.conda.records import ChannelFacts
from antivenom.server.channels.models import Channel
from antivenom.server.channels.queries import find_channel_by_id
from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.events.jobs import defer
from antivenom.server.events.service import record
from antivenom.server.findings import service as findings
from antivenom.server.findings.compiling import compile_for_new_feeds
from antivenom.server.policies.models import PolicyRevision
from antivenom.server.publications import queries
from antivenom.server.publications.build import BuildRequest, Built, build_publication
from antivenom.server.publications.build_statements import StoredBuildStatements
from antivenom.server.publications.models import Publication

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class NewSources:
    """What a sync brought: the source map of each subdir."""

    keys: dict[str, str]
    upstream: str
    mapping_channel: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one publication is made of, read in one transaction."""

    channel_name: str
    request: BuildRequest
    policy_revision_id: int | None
    knowledge_revision: int


async def defer_republish(ctx: Context, channel_id: int, *, cause: str) -> None:
    """Have the channel published anew; a wish that is already waiting is not doubled."""
    await defer(
        ctx,
        "publication.republish",
        lock=f"channel:{channel_id}",
        queueing_lock=f"republish:{channel_id}",
        channel_id=channel_id,
        cause=cause,
    )


async def publish_channel(
    resources: Resources,
    channel_id: int,
    *,
    cause: str,
    sources: NewSources | None = None,
    on_progress: Progress | None = None,
) -> int | None:
    """Publish a channel from its newest (or the given) sources under its policy and today's knowledge.

    Blobs are written first, then one transaction adds the row and moves the pointer: an interruption leaves the last
    publication serving. Nothing is added when nothing would change.

    Returns:
        The number of the publication that is served afterwards; None when the channel has no sources or is gone.
    """
    await compile_for_new_feeds(resources)
    async with resources.context(SYSTEM) as ctx:
        plan = await _gather(ctx, channel_id, sources)
    if plan is None:
        return None
    built: Built = await resources.cpu.run(
        build_publication,
        resources.blobs.url,
        plan.request,
        on_progress=on_progress,
    )
    async with resources.context(SYSTEM) as ctx:
        return await _commit(ctx, channel_id, plan, built, cause)


async def _gather(ctx: Context, channel_id: int, sources: NewSources | None) -> _Plan | None:
    channel = await find_channel_by_id(ctx.session, channel_id)
    if channel is None:
        return None
    newest = await queries.newest_publication(ctx.session, channel_id)
    current = await queries.find_publication(ctx.session, channel.publication_id)
    keys = sources.keys if sources else {s: entry["source"] for s, entry in (newest.subdirs if newest else {}).items()}
    if not keys:
        return None
    facts = await channel_facts(ctx, channel, sources)
    knowledge = await findings.current_knowledge(ctx)
    revision = await ctx.session.get(PolicyRevision, channel.policy_revision_id) if channel.policy_revision_id else None
    return _Plan(
        channel_name=channel.name,
        request=BuildRequest(
            sources=keys,
            channel=facts,
            policy_text=revision.text if revision else None,
            knowledge_key=knowledge.index_key,
            now_ms=round(ctx.now.timestamp() * 1000),
            closure=channel.closure,
            previous={s: entry["index"] for s, entry in current.subdirs.items() if s in keys} if current else {},
            previous_findings=current.findings_key if current else None,
            mapping_channel=channel.mapping_channel,
            build_statements=await stored_build_statements(ctx),
        ),
        policy_revision_id=channel.policy_revision_id,
        knowledge_revision=knowledge.revision,
    )


async def stored_build_statements(ctx: Context) -> tuple[StoredBuildStatements, ...]:
    """What stored artifacts say of their own vulnerabilities."""
    return tuple(StoredBuildStatements(*row) for row in await queries.list_build_statements(ctx.session))


async def channel_facts(ctx: Context, channel: Channel, sources: NewSources | None = None) -> ChannelFacts:
    """What a policy may ask about the channel; a new source's upstream is remembered on the channel."""
    if sources is not None:
        channel.upstream = sources.upstream
        channel.mapping_channel = sources.mapping_channel
        await ctx.session.flush()
    return ChannelFacts(channel.name, is_mirror=bool(channel.upstream), upstream=channel.upstream)


async def _commit(ctx: Context, channel_id: int, plan: _Plan, built: Built, cause: str) -> int | None:
    channel = await find_channel_by_id(ctx.session, channel_id, lock=True)
    if channel is None:
        return None
    current = await queries.find_publication(ctx.session, channel.publication_id)
    subdirs = {subdir: _subdir_entry(plan.request.sources[subdir], built, subdir) for subdir in plan.request.sources}
    holds_until = _instant(built.published.holds_until_ms)
    await findings.store_assessments(ctx, plan.knowledge_revision, _assessments(built))
    if current is not None and _is_same(current, plan, subdirs):
        current.holds_until = holds_until
        current.knowledge_revision = plan.knowledge_revision
        current.findings_key = built.findings_key
        return current.number
    publication = Publication(
        channel_id=channel_id,
        number=await queries.last_number(ctx.session, channel_id) + 1,
        created_at=ctx.now,
        created_by=ctx.actor.name,
        cause=cause,
        policy_revision_id=plan.policy_revision_id,
        knowledge_revision=plan.knowledge_revision,
        subdirs=subdirs,
        findings_key=built.findings_key,
        counts=built.counts,
        holds_until=holds_until,
    )
    ctx.session.add(publication)
    await ctx.session.flush()
    channel.publication_id = publication.id
    counts = {key: built.counts[key] for key in ("records", "kept", "withheld", "warned")}
    await record(
        ctx,
        "publication.published",
        subject=f"channel:{channel.name}",
        number=publication.number,
        cause=cause,
        **counts,
    )
    return publication.number


def _subdir_entry(source: str, built: Built, subdir: str) -> dict[str, Any]:
    published = built.published.subdirs[subdir]
    return {
        "source": source,
        "index": published.publication,
        "monolith": published.monolith,
        "monolith_bytes": published.monolith_bytes,
    }


def _is_same(current: Publication, plan: _Plan, subdirs: dict[str, Any]) -> bool:
    return current.subdirs == subdirs and current.policy_revision_id == plan.policy_revision_id


def _assessments(built: Built) -> Iterable[tuple[str, str, tuple[str, ...], Any]]:
    return ((*c.component, c.assessment) for c in built.found)


def _instant(ms: int) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None
