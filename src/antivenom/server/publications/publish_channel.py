"""Publishes a channel: reads what decides the publication, builds it in a child process, commits it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from antivenom.core.conda.records import ChannelFacts
from antivenom.core.errors import LostBlobError, UnavailableError
from antivenom.core.publication.publication_map import FORMAT
from antivenom.server.channels.models import Channel
from antivenom.server.channels.queries import find_channel_by_id
from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.db.blob_guard import blobs_in_use
from antivenom.server.events.jobs import defer
from antivenom.server.events.lost_blobs import tell_lost
from antivenom.server.events.service import record
from antivenom.server.findings import service as findings
from antivenom.server.findings.compiling import compile_for_new_feeds
from antivenom.server.policies.models import PolicyRevision
from antivenom.server.publications import queries
from antivenom.server.publications.build_publication import BuildRequest, Built, build_publication
from antivenom.server.publications.build_statements import StoredBuildStatements
from antivenom.server.publications.models import Publication, SubdirBlobs, UpstreamDocuments

Progress = Callable[[str, int, int], None]
BUILDS_MAX = 5  # one channel is published by so many others meanwhile only if something is wrong


@dataclass(frozen=True, slots=True)
class NewSources:
    """The result of a sync: the key of each subdir's source map, what is beside them, and where they come from."""

    keys: dict[str, str]
    documents: UpstreamDocuments
    upstream: str
    mapping_channel: str


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What decides one publication, read in one transaction. `newest`: the publication whose successor it will be."""

    request: BuildRequest
    documents: UpstreamDocuments
    policy_revision_id: int | None
    knowledge_revision: int
    wanted: int
    newest: int


async def defer_republish(ctx: Context, channel_id: int, *, cause: str) -> None:
    """Note that the channel should serve something else, and queue a republish, in the context's transaction.

    The note outlives the job: whatever happens to it, `reconcile` queues another until the change is applied.
    """
    await queries.want_republish(ctx.session, channel_id, ctx.now)
    await queue_republish(ctx, channel_id, cause=cause)


async def queue_republish(ctx: Context, channel_id: int, *, cause: str) -> None:
    """Queue a republish of the channel. Does nothing if one is already queued."""
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
    """Publish a channel under its policy and the current knowledge, from its newest sources or from `sources`.

    Writes blobs first; then one transaction adds the row and moves the pointer, so an interruption leaves the previous
    publication serving. Adds no publication if nothing would change. A sync and a policy edit may publish one channel
    at the same time, for a sync that waits for its upstream must not hold up the edit: who comes second builds again.

    Returns:
        The number of the publication that is served afterwards; None when the channel has no sources or is gone.

    Raises:
        LostBlobError: A source, or the match index, is missing or damaged. It is told, and mended by a job.
        UnavailableError: Somebody else published it again and again meanwhile.
    """
    await compile_for_new_feeds(resources)
    for _ in range(BUILDS_MAX):
        async with blobs_in_use(resources.lock_engine) as check_held:
            async with resources.context(SYSTEM) as ctx:
                inputs = await _read_inputs(ctx, channel_id, sources)
            if inputs is None:
                return None
            built = await _build(resources, inputs.request, on_progress)
            async with resources.context(SYSTEM) as ctx:
                await check_held(ctx.session)
                channel = await find_channel_by_id(ctx.session, channel_id, lock=True)
                if channel is None:
                    return None
                if await queries.last_number(ctx.session, channel_id) == inputs.newest:
                    return await _commit(ctx, channel, inputs, built, cause)
    raise UnavailableError("the channel was published by others again and again", hint="it is tried again")


async def _build(resources: Resources, request: BuildRequest, on_progress: Progress | None) -> Built:
    try:
        built: Built = await resources.publishing_cpu.run(
            build_publication, resources.blobs.url, request, on_progress=on_progress
        )
    except LostBlobError as error:
        await tell_lost(resources, error)
        raise
    return built


async def _read_inputs(ctx: Context, channel_id: int, sources: NewSources | None) -> _Inputs | None:
    channel = await find_channel_by_id(ctx.session, channel_id)
    if channel is None:
        return None
    newest = await queries.last_number(ctx.session, channel_id)  # first: what is read later may only be newer
    wanted = channel.wanted
    previous = await queries.newest_publication(ctx.session, channel_id) if sources is None else None
    keys = sources.keys if sources else _sources_of(previous)
    if not keys:
        _note_applied(channel, wanted)  # there is nothing to serve yet
        return None
    if sources is not None:
        channel.upstream = sources.upstream
        channel.mapping_channel = sources.mapping_channel
        await ctx.session.flush()
    revision = await ctx.session.get(PolicyRevision, channel.policy_revision_id) if channel.policy_revision_id else None
    knowledge = await findings.current_knowledge(ctx)
    request = await _build_request(ctx, channel, keys, revision.text if revision else None, knowledge.index_key)
    documents = sources.documents if sources else previous.upstream_documents() if previous else UpstreamDocuments()
    return _Inputs(request, documents, channel.policy_revision_id, knowledge.revision, wanted, newest)


async def request_with_policy(ctx: Context, channel: Channel, policy_text: str) -> BuildRequest:
    """What would decide a publication of the channel now, if `policy_text` were its policy."""
    knowledge = await findings.current_knowledge(ctx)
    keys = _sources_of(await queries.newest_publication(ctx.session, channel.id))
    return await _build_request(ctx, channel, keys, policy_text, knowledge.index_key)


def _sources_of(newest: Publication | None) -> dict[str, str]:
    """The source maps of the newest publication, which is not the served one after a rollback."""
    return {subdir: blobs.source for subdir, blobs in newest.subdirs.items()} if newest else {}


async def _build_request(
    ctx: Context, channel: Channel, sources: dict[str, str], policy_text: str | None, knowledge_key: str | None
) -> BuildRequest:
    current = await queries.find_publication(ctx.session, channel.publication_id)
    statements = await queries.list_build_statements(ctx.session) if channel.trust_build_statements else []
    return BuildRequest(
        sources=sources,
        channel=ChannelFacts(channel.name, is_mirror=bool(channel.upstream), upstream=channel.upstream),
        policy_text=policy_text,
        knowledge_key=knowledge_key,
        now_ms=round(ctx.now.timestamp() * 1000),
        closure=channel.closure,
        previous={s: blobs.index for s, blobs in current.subdirs.items() if s in sources} if current else {},
        previous_findings=current.findings_key if current else None,
        mapping_channel=channel.mapping_channel,
        build_statements=tuple(StoredBuildStatements(*row) for row in statements),
        expressions_max_s=ctx.resources.settings.expressions_max_s,
    )


async def _commit(ctx: Context, channel: Channel, inputs: _Inputs, built: Built, cause: str) -> int:
    if channel.publish_failures:
        await record(ctx, "publication.recovered", subject=f"channel:{channel.name}", failures=channel.publish_failures)
    _note_applied(channel, inputs.wanted)
    current = await queries.find_publication(ctx.session, channel.publication_id)
    subdirs = _subdir_blobs(inputs, built)
    holds_until = _instant(built.published.holds_until_ms)
    await findings.store_assessments(ctx, inputs.knowledge_revision, ((c.component, c.assessment) for c in built.found))
    if current is not None and _is_same(current, inputs, subdirs):
        current.holds_until = holds_until
        current.knowledge_revision = inputs.knowledge_revision
        current.format = FORMAT
        current.findings_key = built.findings_key
        return current.number
    publication = Publication(
        channel_id=channel.id,
        number=inputs.newest + 1,
        created_at=ctx.now,
        created_by=ctx.actor.name,
        cause=cause,
        policy_revision_id=inputs.policy_revision_id,
        knowledge_revision=inputs.knowledge_revision,
        subdirs=subdirs,
        channeldata=inputs.documents.channeldata,
        findings_key=built.findings_key,
        format=FORMAT,
        counts=built.counts,
        holds_until=holds_until,
    )
    ctx.session.add(publication)
    await ctx.session.flush()
    channel.publication_id = publication.id
    await record(
        ctx,
        "publication.published",
        subject=f"channel:{channel.name}",
        number=publication.number,
        cause=cause,
        records=built.counts.records,
        kept=built.counts.kept,
        withheld=built.counts.withheld,
        warned=built.counts.warned,
    )
    return publication.number


def _note_applied(channel: Channel, wanted: int) -> None:
    """The changes up to `wanted` are served; those that came meanwhile are not."""
    channel.applied = max(channel.applied, wanted)
    channel.publish_failures, channel.publish_error, channel.publish_retry_at = 0, "", None
    if channel.applied >= channel.wanted:
        channel.behind_since = None


def _subdir_blobs(inputs: _Inputs, built: Built) -> dict[str, SubdirBlobs]:
    published, documents = built.published.subdirs, inputs.documents
    return {
        subdir: SubdirBlobs(
            source=source,
            index=published[subdir].publication,
            monolith=published[subdir].monolith,
            monolith_bytes=published[subdir].monolith_bytes,
            run_exports=documents.run_exports.get(subdir, ""),
            patch_instructions=documents.patch_instructions.get(subdir, ""),
        )
        for subdir, source in inputs.request.sources.items()
    }


def _is_same(current: Publication, inputs: _Inputs, subdirs: dict[str, SubdirBlobs]) -> bool:
    made_from = inputs.documents.channeldata, inputs.policy_revision_id
    return current.subdirs == subdirs and (current.channeldata, current.policy_revision_id) == made_from


def _instant(ms: int) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None
