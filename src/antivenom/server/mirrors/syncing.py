"""One sync: fetch what changed upstream, ingest it in a child process, publish. No transaction is open meanwhile."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from antivenom.core.errors import AntivenomError, UpstreamError
from antivenom.server.channels.queries import find_channel_by_id
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.progress import STARTING, JobProgress, ProgressReporter, explain_failure, retry_after_s
from antivenom.server.events.service import record
from antivenom.server.mirrors import queries
from antivenom.server.mirrors.artifacts import fetch_artifacts
from antivenom.server.mirrors.index_reading import IndexReader
from antivenom.server.mirrors.subdir_state import SubdirState, SubdirStates
from antivenom.server.mirrors.upstream import STANDARD_SUBDIRS, UpstreamChannel
from antivenom.server.publications.publish_channel import NewSources, publish_channel

log = logging.getLogger(__name__)


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
    by_shards: bool
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
            by_shards=mirror.by_shards,
            known=mirror.subdir_states,
            now_ms=round(ctx.now.timestamp() * 1000),
        )


async def _run(resources: Resources, sync: _Sync, reporter: ProgressReporter) -> None:
    with _scratch(resources, sync.mirror_id) as folder:
        reader = IndexReader(
            resources,
            UpstreamChannel(resources.outbound, sync.url, sync.auth, folder),
            url=sync.url,
            specs=tuple(sync.specs),
            by_shards=sync.by_shards,
            now_ms=sync.now_ms,
            progress=reporter,
        )
        for subdir in sync.subdirs or STANDARD_SUBDIRS:
            await _sync_subdir(sync, reader, subdir)
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


async def _sync_subdir(sync: _Sync, reader: IndexReader, subdir: str) -> None:
    known = sync.known.get(subdir, SubdirState())
    reading = await reader.read(subdir, known)
    if reading == "missing":
        await _accept_missing(sync, reader, subdir, known)
        return
    sync.states[subdir] = reading.state
    sync.has_new_source |= reading.state.source != known.source


async def _accept_missing(sync: _Sync, reader: IndexReader, subdir: str, known: SubdirState) -> None:
    """Accept that a subdir is missing: noarch (an empty one is served), or one that nobody named.

    Raises:
        UpstreamError: The subdir was there at the last sync, or somebody named it.
    """
    if known.source and not known.missing:
        raise UpstreamError(f"{sync.url}/{subdir} is gone upstream; its last index keeps being served")
    if subdir == "noarch":
        sync.states[subdir] = SubdirState(source=await reader.make_empty(subdir), missing=True)
        sync.has_new_source |= sync.states[subdir].source != known.source
    elif sync.subdirs:
        raise UpstreamError(
            f"{sync.url} has no subdir {subdir}", permanent=True, hint="make the mirror with the subdirs that it has"
        )


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
