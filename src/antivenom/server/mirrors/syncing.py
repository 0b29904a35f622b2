"""One sync: fetch what changed upstream, ingest it in a child process, publish. No transaction is open meanwhile."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace

from antivenom.core.errors import AntivenomError, UpstreamError
from antivenom.core.source.ingest import Ingested, ShardPlan
from antivenom.server.channels.queries import find_channel_by_id
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.progress import STARTING, JobProgress, ProgressReporter, explain_failure, retry_after_s
from antivenom.server.events.service import record
from antivenom.server.mirrors import ingesting, queries
from antivenom.server.mirrors.artifacts import fetch_artifacts
from antivenom.server.mirrors.subdir_state import SubdirState, SubdirStates
from antivenom.server.mirrors.upstream import SHARDS_BY_MONOLITH, STANDARD_SUBDIRS, IndexFile, UpstreamChannel
from antivenom.server.publications.publish_channel import NewSources, publish_channel

log = logging.getLogger(__name__)

REREAD_WHOLE_AFTER_S = 86_400  # names that a whole index bound to upstream shards are checked daily
SET_ASIDE_SHOWN = 200
SET_ASIDE_MAX_CHARACTERS = 300


@dataclass(slots=True)
class _Sync:
    """What a sync works on: `known` from the last one, `states` for the next, which grows subdir by subdir."""

    mirror_id: int
    channel_id: int
    channel_name: str
    url: str
    auth: str
    mode: str
    subdirs: list[str]
    specs: list[str]
    known: SubdirStates
    now_ms: int
    states: SubdirStates = field(default_factory=dict)
    has_new_source: bool = False


async def sync_mirror(resources: Resources, mirror_id: int) -> None:
    """Bring a mirror in step with its upstream and publish what changed.

    After a failure the last publication stays served; the mirror shows the reason and tries again after growing pauses.
    """
    sync = await _begin(resources, mirror_id)
    if sync is None:
        return
    reporter = ProgressReporter(resources, mirror_id, queries.set_progress)
    try:
        async with reporter.running():
            await _run(resources, sync, reporter)
    except Exception as error:
        await _fail(resources, sync, explain_failure(error))


async def _begin(resources: Resources, mirror_id: int) -> _Sync | None:
    async with resources.context(SYSTEM) as ctx:
        mirror = await queries.find_mirror_by_id(ctx.session, mirror_id, lock=True)
        channel = await find_channel_by_id(ctx.session, mirror.channel_id) if mirror else None
        if mirror is None or channel is None:
            return None
        mirror.state = "syncing"
        mirror.last_sync_at = ctx.now
        mirror.progress = STARTING
        return _Sync(
            mirror_id=mirror.id,
            channel_id=channel.id,
            channel_name=channel.name,
            url=mirror.upstream,
            auth=mirror.upstream_auth,
            mode=mirror.mode,
            subdirs=list(mirror.subdirs),
            specs=list(mirror.specs),
            known=mirror.subdir_states,
            now_ms=round(ctx.now.timestamp() * 1000),
        )


async def _run(resources: Resources, sync: _Sync, reporter: ProgressReporter) -> None:
    with _scratch(resources, sync.mirror_id) as folder:
        upstream = UpstreamChannel(resources.outbound, sync.url, sync.auth, folder)
        for subdir in sync.subdirs or STANDARD_SUBDIRS:
            await _sync_subdir(resources, sync, upstream, subdir, reporter)
    if set(sync.states) == {"noarch"} and sync.states["noarch"].missing:
        asked = ", ".join(sync.subdirs) or "any standard subdir"
        raise UpstreamError(
            f"{sync.url} is not a conda channel: it has no repodata in {asked}",
            hint="check the URL: it must end before the subdir, such as https://conda.anaconda.org/conda-forge",
        )
    if sync.has_new_source or set(sync.known) - set(sync.states):  # or a subdir is no longer asked for
        await _publish(resources, sync, reporter)
    await _succeed(resources, sync)
    if sync.mode == "active":
        await fetch_artifacts(resources, sync.channel_name, on_progress=reporter)


@contextmanager
def _scratch(resources: Resources, mirror_id: int) -> Iterator[Path]:
    """An empty folder for downloads. What a killed sync of the same mirror left there is removed first."""
    folder = resources.settings.home / "scratch" / f"mirror-{mirror_id}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _sync_subdir(
    resources: Resources, sync: _Sync, upstream: UpstreamChannel, subdir: str, reporter: ProgressReporter
) -> None:
    known = sync.known.get(subdir, SubdirState())
    conditional = SubdirState() if _is_stale(known, sync.now_ms) else known
    found = await upstream.fetch_index(subdir, conditional, reporter)
    if found is None:
        sync.states[subdir] = known
        return
    if found == "missing":
        await _accept_missing(resources, sync, subdir, known)
        return
    ingested = await _ingest(resources, sync, upstream, subdir, known, found, reporter)
    found.path.unlink(missing_ok=True)
    _remember(sync, subdir, known, found, ingested)


def _is_stale(known: SubdirState, now_ms: int) -> bool:
    return known.bound_at_ms > 0 and now_ms - known.bound_at_ms > REREAD_WHOLE_AFTER_S * 1000


async def _accept_missing(resources: Resources, sync: _Sync, subdir: str, known: SubdirState) -> None:
    """Accept that a subdir is missing: noarch (an empty one is served), or one that nobody named.

    Raises:
        UpstreamError: The subdir was there at the last sync, or somebody named it.
    """
    if known.source and not known.missing:
        raise UpstreamError(f"{sync.url}/{subdir} is gone upstream; its last index keeps being served")
    if subdir == "noarch":
        ingested = await resources.cpu.run(ingesting.make_empty, resources.blobs.url, subdir)
        sync.has_new_source |= ingested.source != known.source
        sync.states[subdir] = SubdirState(source=ingested.source, missing=True)
    elif sync.subdirs:
        raise UpstreamError(
            f"{sync.url} has no subdir {subdir}", permanent=True, hint="make the mirror with the subdirs that it has"
        )


async def _ingest(
    resources: Resources,
    sync: _Sync,
    upstream: UpstreamChannel,
    subdir: str,
    known: SubdirState,
    found: IndexFile,
    reporter: ProgressReporter,
) -> Ingested:
    reporter(f"read {subdir}", 0, 0)
    request = ingesting.IngestRequest(
        subdir=subdir, now_ms=sync.now_ms, previous=known.source or None, specs=tuple(sync.specs)
    )
    store, cpu = resources.blobs.url, resources.cpu
    if found.kind != "shards":
        with _adding_address(sync, subdir):
            return await cpu.run(ingesting.ingest_whole, store, request, str(found.path), None)
    with _adding_address(sync, subdir):
        plan: ShardPlan = await cpu.run(ingesting.plan_sharded, store, request, str(found.path))
    if len(plan.changed) > SHARDS_BY_MONOLITH and (whole := await _fetch_whole(upstream, subdir, found, reporter)):
        found.state = replace(found.state, bound_at_ms=sync.now_ms)
        with _adding_address(sync, subdir):
            return await cpu.run(ingesting.ingest_whole, store, request, str(whole.path), dict(plan.keys))
    wanted = {name: bytes.fromhex(digest) for name, digest in plan.changed.items()}
    shards = await upstream.fetch_shards(subdir, plan.shards_base_url, wanted, reporter)
    by_hex = {plan.changed[name]: data for name, data in shards.items()}
    with _adding_address(sync, subdir):
        return await cpu.run(ingesting.ingest_sharded, store, request, str(found.path), by_hex)


@contextmanager
def _adding_address(sync: _Sync, subdir: str) -> Iterator[None]:
    """Put the upstream's address, which core does not know, before the message of a refusal by core."""
    try:
        yield
    except UpstreamError as error:
        message = f"{sync.url}/{subdir}: {error.message}"
        raise UpstreamError(message, permanent=error.permanent, hint=error.hint) from error


async def _fetch_whole(
    upstream: UpstreamChannel, subdir: str, index: IndexFile, reporter: ProgressReporter
) -> IndexFile | None:
    """The whole index, if the shard index is the same before and after: then both describe one state."""
    whole = await upstream.fetch_monolith(subdir, SubdirState(), reporter)
    if not isinstance(whole, IndexFile):
        return None
    again = await upstream.fetch_index(subdir, index.state, reporter)
    return whole if again is None else None


def _remember(sync: _Sync, subdir: str, known: SubdirState, found: IndexFile, ingested: Ingested) -> None:
    bound_at_ms = found.state.bound_at_ms or (known.bound_at_ms if found.kind == "shards" else 0)
    examples = ingested.set_aside[:SET_ASIDE_SHOWN]
    sync.states[subdir] = replace(
        found.state,
        source=ingested.source,
        base_url=known.base_url if ingested.base_url is None else ingested.base_url,
        records=ingested.records,
        set_aside=ingested.set_aside_count,
        set_aside_examples=tuple((storable(fn), storable(reason)) for fn, reason in examples),
        bound_at_ms=bound_at_ms,
    )
    if ingested.source != known.source:
        sync.has_new_source = True


def storable(text: str) -> str:
    """An upstream's text that PostgreSQL can store (it has no NUL) and a terminal can show."""
    shown = text[:SET_ASIDE_MAX_CHARACTERS]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)


async def _publish(resources: Resources, sync: _Sync, reporter: ProgressReporter) -> None:
    sources = NewSources(
        keys={subdir: state.source for subdir, state in sync.states.items()},
        upstream=sync.url,
        mapping_channel=sync.url.rstrip("/").rsplit("/", 1)[-1],
    )
    await publish_channel(resources, sync.channel_id, cause="sync", sources=sources, on_progress=reporter)


async def _succeed(resources: Resources, sync: _Sync) -> None:
    async with resources.context(SYSTEM) as ctx:
        mirror = await queries.find_mirror_by_id(ctx.session, sync.mirror_id, lock=True)
        if mirror is None:
            return
        mirror.state, mirror.last_error, mirror.failures = "ok", "", 0
        mirror.subdir_states = sync.states
        mirror.progress = JobProgress()
        mirror.last_success_at = ctx.now
        mirror.next_sync_at = ctx.now + timedelta(seconds=mirror.every_s) if mirror.every_s else None
        records = sum(state.records for state in sync.states.values())
        await record(
            ctx, "mirror.synced", subject=f"channel:{sync.channel_name}", changed=sync.has_new_source, records=records
        )


async def _fail(resources: Resources, sync: _Sync, error: AntivenomError) -> None:
    async with resources.context(SYSTEM) as ctx:
        mirror = await queries.find_mirror_by_id(ctx.session, sync.mirror_id, lock=True)
        if mirror is None:
            return
        mirror.state = "failed"
        mirror.last_error = f"{error.message}" + (f" ({error.hint})" if error.hint else "")
        mirror.failures += 1
        mirror.progress = JobProgress()
        mirror.next_sync_at = ctx.now + timedelta(seconds=retry_after_s(mirror.failures))
        await record(
            ctx, "mirror.failed", subject=f"channel:{sync.channel_name}", error=error.message, failures=mirror.failures
        )
