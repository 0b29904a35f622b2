"""One sync: fetch what changed upstream, ingest it in a child process, publish. No transaction is open meanwhile."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from msgspec.structs import replace

from antivenom.core.errors import AntivenomError, LostBlobError, UpstreamError
from antivenom.core.source.ingest import Ingested
from antivenom.core.source.losses import is_suspicious_loss
from antivenom.server.adapters.scratch import scratch_folder
from antivenom.server.channels.queries import find_channel_by_id
from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.events.freshness import note_change
from antivenom.server.events.jobs import defer
from antivenom.server.events.lost_blobs import tell_lost
from antivenom.server.events.progress import (
    LEASE,
    STARTING,
    WAITING,
    WAITING_FOR_UPSTREAM,
    JobProgress,
    ProgressReporter,
    explain_failure,
    in_one_line,
    retry_after_s,
    within_time,
)
from antivenom.server.events.service import record
from antivenom.server.events.upstream_slots import pause_before, upstream_slot
from antivenom.server.mirrors import ingesting, queries
from antivenom.server.mirrors.artifacts import fetch_artifacts
from antivenom.server.mirrors.beside_records import (
    CHANNELDATA,
    list_documents,
    read_listed_subdirs,
    refresh_file,
    refresh_subdir,
)
from antivenom.server.mirrors.index_reading import IndexReader, Reading
from antivenom.server.mirrors.models import Mirror
from antivenom.server.mirrors.selecting import Selected, find_unmet, select_dependencies
from antivenom.server.mirrors.stored_names import StoredNames
from antivenom.server.mirrors.subdir_list import find_subdirs
from antivenom.server.mirrors.subdir_state import (
    HeldLoss,
    HeldLosses,
    Selection,
    SubdirState,
    SubdirStates,
    UpstreamFile,
    describe_losses,
    forget_changed,
    storable,
)
from antivenom.server.mirrors.upstream import NotServedError, UpstreamChannel
from antivenom.server.publications.models import UpstreamDocuments
from antivenom.server.publications.publish_channel import NewSources, publish_channel
from antivenom.server.publications.queries import newest_publication

log = logging.getLogger(__name__)

REPLACED_SHOWN = 50  # file names in one event


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
    with_dependencies: bool
    selection: Selection
    by_shards: bool
    known: SubdirStates
    held: HeldLosses
    channeldata: UpstreamFile
    published: UpstreamDocuments
    published_sources: dict[str, str]
    now_ms: int
    states: SubdirStates = field(default_factory=dict)
    has_new_source: bool = False
    losses: HeldLosses = field(default_factory=dict)
    refusals: list[NotServedError] = field(default_factory=list)
    replaced: dict[str, Ingested] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()  # subdirs of which a blob is missing or damaged


async def sync_mirror(resources: Resources, mirror_id: int, tries: int = 0) -> None:
    """Bring a mirror in step with its upstream and publish what changed.

    After a failure the last publication stays served; the mirror shows the reason and tries again after growing pauses.
    """
    url = await _upstream_of(resources, mirror_id)
    async with upstream_slot(resources, url) as is_free:
        if not is_free:
            await _wait(resources, mirror_id, tries)
            return
        sync = await _begin(resources, mirror_id)
        if sync is None:
            return
        reporter = ProgressReporter(resources, mirror_id, queries.set_progress)
        try:
            async with reporter.running():
                async with within_time(resources.settings.sync_max_s):
                    await _forget_lost(resources, sync)
                    await _run(resources, sync, reporter)
                await _succeed(resources, sync)
        except Exception as error:
            await _fail(resources, sync, explain_failure(error))


async def fetch_ahead(resources: Resources, mirror_id: int, tries: int = 0) -> None:
    """Store every artifact that an active mirror serves; what failed shows on the mirror and is fetched again later.

    The mirror's state and schedule are those of its syncs: a file that its upstream lacks does not change them.
    """
    async with resources.context(SYSTEM) as ctx:
        mirror = await queries.find_mirror_by_id(ctx.session, mirror_id)
        channel = await find_channel_by_id(ctx.session, mirror.channel_id) if mirror else None
    if mirror is None or channel is None or mirror.mode != "active":
        return
    reporter = ProgressReporter(resources, mirror_id, queries.set_fetched)
    try:
        async with reporter.running():
            await fetch_artifacts(resources, channel.name, on_progress=reporter)
    except Exception as error:
        await _fetch_later(resources, mirror_id, explain_failure(error), tries)
    else:
        await _forget_missing(resources, mirror_id)


async def _fetch_later(resources: Resources, mirror_id: int, error: AntivenomError, tries: int) -> None:
    async with resources.context(SYSTEM) as ctx:
        if (mirror := await queries.find_mirror_by_id(ctx.session, mirror_id, lock=True)) is None:
            return
        if mirror.state == "ok":
            mirror.last_error, mirror.progress = in_one_line(error), JobProgress()
        lock, after = f"artifacts:{mirror_id}", timedelta(seconds=retry_after_s(tries + 1))
        # What waits for long is no reason to drop the fetch after the next sync, which waits for nothing.
        waits = f"{lock}:again"
        job = "mirror.fetch_artifacts"
        await defer(ctx, job, lock=lock, queueing_lock=waits, after=after, mirror_id=mirror_id, tries=tries + 1)


async def _forget_missing(resources: Resources, mirror_id: int) -> None:
    async with resources.context(SYSTEM) as ctx:
        mirror = await queries.find_mirror_by_id(ctx.session, mirror_id, lock=True)
        if mirror is not None and mirror.state == "ok":
            mirror.last_error, mirror.progress = "", JobProgress()


async def _upstream_of(resources: Resources, mirror_id: int) -> str:
    async with resources.context(SYSTEM) as ctx:
        mirror = await queries.find_mirror_by_id(ctx.session, mirror_id)
        return mirror.upstream if mirror else ""


async def _wait(resources: Resources, mirror_id: int, tries: int) -> None:
    """Queue the sync again: its upstream is read by enough others."""
    async with resources.context(SYSTEM) as ctx:
        if (mirror := await queries.find_mirror_by_id(ctx.session, mirror_id, lock=True)) is None:
            return
        mirror.state, mirror.progress, mirror.lease_until = "queued", WAITING_FOR_UPSTREAM, ctx.now + LEASE
        lock, after = f"mirror:{mirror_id}", pause_before(tries)
        await defer(
            ctx, "mirror.sync", lock=lock, queueing_lock=lock, after=after, mirror_id=mirror_id, tries=tries + 1
        )


async def _begin(resources: Resources, mirror_id: int) -> _Sync | None:
    """The sync that begins now; None when the mirror is gone."""
    async with resources.context(SYSTEM) as ctx:
        mirror = await queries.find_mirror_by_id(ctx.session, mirror_id, lock=True)
        channel = await find_channel_by_id(ctx.session, mirror.channel_id) if mirror else None
        if mirror is None or channel is None:
            return None
        newest = await newest_publication(ctx.session, channel.id)
        mirror.state = "syncing"
        mirror.lease_until = ctx.now + LEASE
        mirror.last_sync_at = ctx.now
        mirror.stored_keys = []
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
            with_dependencies=mirror.with_dependencies,
            selection=mirror.selection,
            by_shards=mirror.by_shards,
            known=mirror.subdir_states,
            held=mirror.held,
            channeldata=mirror.channeldata,
            published=newest.upstream_documents() if newest else UpstreamDocuments(),
            published_sources={name: blobs.source for name, blobs in newest.subdirs.items()} if newest else {},
            now_ms=round(ctx.now.timestamp() * 1000),
        )


async def _forget_lost(resources: Resources, sync: _Sync) -> None:
    """Forget what was read of subdirs whose blobs are missing or damaged: they are read anew, and stored again."""
    sources = {subdir: state.source for subdir, state in sync.known.items() if state.source}
    lost: dict[str, LostBlobError] = await resources.cpu.run(ingesting.list_lost, resources.blobs.url, sources)
    for subdir, error in lost.items():
        await tell_lost(resources, error)
        state = sync.known[subdir]
        emptied = SubdirState(
            missing=state.missing,
            records=state.records,
            run_exports=state.run_exports,
            patch_instructions=state.patch_instructions,
        )
        sync.known = {**sync.known, subdir: emptied}
    sync.lost = frozenset(lost)


async def _run(resources: Resources, sync: _Sync, reporter: ProgressReporter) -> None:
    with scratch_folder(resources.settings.scratch, f"mirror-{sync.mirror_id}") as folder:
        upstream = UpstreamChannel(resources.outbound, sync.url, sync.auth, folder)
        names = StoredNames(resources, sync.mirror_id)
        channeldata = await refresh_file(resources, names, upstream, "", CHANNELDATA, sync.channeldata, sync.now_ms)
        sync.channeldata = channeldata.file
        subdirs = sync.subdirs or await _find_subdirs(resources, sync, upstream)
        reader = await _open_reader(resources, sync, upstream, subdirs, reporter)
        for subdir in subdirs:
            await _sync_subdir(sync, reader, subdir, resources.settings.mirror_loss_max)
            known = sync.known.get(subdir, SubdirState())
            sync.states[subdir] = await refresh_subdir(
                resources, names, upstream, subdir, known, sync.states[subdir], sync.now_ms
            )
    if channeldata.warning and subdirs:
        first = sync.states[subdirs[0]]
        sync.states[subdirs[0]] = replace(first, warnings=(*first.warnings, channeldata.warning))
    if _sources_of(sync.states).keys() == {"noarch"} and sync.states["noarch"].missing:
        if sync.refusals:
            raise sync.refusals[0]
        asked = ", ".join(sync.subdirs) or "any subdir that conda knows"
        raise UpstreamError(
            f"{sync.url} is not a conda channel: it has no repodata in {asked}",
            hint="check the URL: it must end before the subdir, such as https://conda.anaconda.org/conda-forge",
        )
    # Compared with what is published, not with the last sync: one that was taken for dead may have published after it.
    is_published = _sources_of(sync.states) == sync.published_sources
    # What was lost was most likely lost for the publication too, and publishing looks.
    if sync.lost or not is_published or list_documents(sync.states, sync.channeldata) != sync.published:
        await _publish(resources, sync, reporter)
        if sync.specs:
            unmet, count = await find_unmet(resources, sync.states, sync.specs)
            sync.selection = replace(sync.selection, unmet=unmet, unmet_count=count)


async def _open_reader(
    resources: Resources, sync: _Sync, upstream: UpstreamChannel, subdirs: list[str], reporter: ProgressReporter
) -> IndexReader:
    """The reader of what the mirror takes: its specs, and what they need."""
    specs, previous = tuple(sync.specs), sync.selection
    selected = Selected(replace(previous, asked=specs, specs=specs) if specs else Selection(), frozenset())
    if specs and sync.with_dependencies:
        selected = await select_dependencies(resources, upstream, specs, subdirs, sync.known, previous, reporter)
    sync.selection = selected.selection
    return IndexReader(
        resources,
        StoredNames(resources, sync.mirror_id),
        upstream,
        url=sync.url,
        specs=sync.selection.specs,
        asked=tuple(sync.specs),
        by_shards=sync.by_shards,
        whole=selected.whole,
        now_ms=sync.now_ms,
        progress=reporter,
    )


async def _find_subdirs(resources: Resources, sync: _Sync, upstream: UpstreamChannel) -> list[str]:
    listed = await read_listed_subdirs(resources, sync.channeldata)
    found = await find_subdirs(upstream, listed, sync.known, sync.now_ms)
    sync.states |= found.absent
    return found.present


def _sources_of(states: SubdirStates) -> dict[str, str]:
    return {subdir: state.source for subdir, state in states.items() if state.source}


async def _sync_subdir(sync: _Sync, reader: IndexReader, subdir: str, loss_max_percent: int) -> None:
    known, warning = sync.known.get(subdir, SubdirState()), ""
    try:
        reading = await reader.read(subdir, known)
    except NotServedError as error:
        if sync.subdirs or (known.source and not known.missing):
            raise
        sync.refusals.append(error)  # some servers say this of what they do not have
        reading, warning = "missing", error.message
    if reading == "missing":
        if not _is_held(sync, subdir, HeldLoss(known.records_elsewhere, 0), loss_max_percent, is_emptied=True):
            await _accept_missing(sync, reader, subdir, known)
            sync.states[subdir] = replace(sync.states[subdir], warnings=(warning,) if warning else ())
        return
    is_emptied = not reading.state.records
    if _is_held(sync, subdir, _loss_of(known, reading), loss_max_percent, is_emptied=is_emptied):
        return
    sync.states[subdir] = reading.state
    sync.has_new_source |= reading.state.source != known.source
    if reading.ingested and reading.ingested.replaced:
        sync.replaced[subdir] = reading.ingested


def _loss_of(known: SubdirState, reading: Reading) -> HeldLoss:
    """How many of the records that were there a reading still has, as bytes, as far as the mirror asks for them."""
    records, vanished = reading.state.records, reading.ingested.vanished if reading.ingested else 0
    if known.missing:  # of another upstream, or another mirror: other records are what was asked for, none are not
        return HeldLoss(0 if records else max(known.records_elsewhere, vanished), 0)
    before = known.records or vanished + records  # after an edit of the specs, those that they still ask for
    if not known.source:  # its map is lost: there are no digests to compare with, but numbers
        return HeldLoss(before, min(before, records))
    return HeldLoss(before, before - vanished)


def _is_held(sync: _Sync, subdir: str, loss: HeldLoss, max_percent: int, *, is_emptied: bool) -> bool:
    """Hold a subdir as the last sync left it if it lost too much, unless an administrator accepted that."""
    is_large = is_suspicious_loss(loss.before, loss.now, max_percent=max_percent, is_emptied=is_emptied)
    is_held = is_large and not _is_accepted(sync, subdir, loss)
    if is_held:
        sync.losses[subdir] = loss
        sync.states[subdir] = sync.known.get(subdir, SubdirState())
    return is_held


def _is_accepted(sync: _Sync, subdir: str, loss: HeldLoss) -> bool:
    """Whether an administrator accepted a loss that was at least as large."""
    return _keep_accepted(loss, sync.held.get(subdir)).accepted


async def _accept_missing(sync: _Sync, reader: IndexReader, subdir: str, known: SubdirState) -> None:
    """Accept that a subdir is missing: noarch (an empty one is served), or one that nobody named.

    Raises:
        UpstreamError: The subdir was there at the last sync, or somebody named it.
    """
    if (known.source or subdir in sync.lost) and not known.missing:
        raise UpstreamError(
            f"{sync.url}/{subdir} is gone upstream; its last index keeps being served",
            hint=f"if that is meant, name those that are left: antivenom mirror edit {sync.channel_name} --subdir …",
        )
    if subdir == "noarch":
        sync.states[subdir] = SubdirState(source=await reader.make_empty(subdir), missing=True)
        sync.has_new_source |= sync.states[subdir].source != known.source
    elif sync.subdirs:
        raise UpstreamError(
            f"{sync.url} has no subdir {subdir}", permanent=True, hint="make the mirror with the subdirs that it has"
        )
    else:
        sync.states[subdir] = SubdirState(absent_at_ms=sync.now_ms)


async def _publish(resources: Resources, sync: _Sync, reporter: ProgressReporter) -> None:
    sources = NewSources(
        keys=_sources_of(sync.states),
        documents=list_documents(sync.states, sync.channeldata),
        upstream=sync.url,
        mapping_channel=sync.url.rstrip("/").rsplit("/", 1)[-1],
    )
    await publish_channel(resources, sync.channel_id, cause="sync", sources=sources, on_progress=reporter)


async def _succeed(resources: Resources, sync: _Sync) -> None:
    async with resources.context(SYSTEM) as ctx:
        mirror = await queries.find_mirror_by_id(ctx.session, sync.mirror_id, lock=True)
        if mirror is None:
            return
        changed = _changed_meanwhile(mirror, sync)
        mirror.state, mirror.last_error, mirror.failures = "ok", "", 0
        mirror.subdir_states, mirror.stored_keys = forget_changed(sync.states, changed), []
        mirror.channeldata = UpstreamFile() if "upstream" in changed else sync.channeldata
        # What was closed over an index that is held does not hold for the one that stays: close it again.
        mirror.selection = replace(sync.selection, asked=()) if sync.losses else sync.selection
        mirror.progress = JobProgress()
        if changed:  # the next sync, which the edit queued, is what they ask for
            mirror.state, mirror.progress, mirror.lease_until = "queued", WAITING, ctx.now + LEASE
        else:
            await _hold(ctx, mirror, sync)
        for subdir, ingested in sync.replaced.items():
            await record(
                ctx,
                "mirror.replaced",
                subject=f"channel:{sync.channel_name}",
                subdir=subdir,
                files=[storable(fn) for fn in ingested.replaced[:REPLACED_SHOWN]],
                count=ingested.replaced_count,
            )
        if mirror.state == "ok":
            mirror.last_success_at = ctx.now
        if mirror.mode == "active":
            lock = f"artifacts:{mirror.id}"
            await defer(ctx, "mirror.fetch_artifacts", lock=lock, queueing_lock=lock, mirror_id=mirror.id)
        if sync.has_new_source:
            note_change(mirror, ctx.now)
        mirror.next_sync_at = ctx.now + timedelta(seconds=mirror.every_s) if mirror.every_s else None
        records = sum(state.records for state in sync.states.values())
        await record(
            ctx, "mirror.synced", subject=f"channel:{sync.channel_name}", changed=sync.has_new_source, records=records
        )


def _changed_meanwhile(mirror: Mirror, sync: _Sync) -> set[str]:
    """The settings that were edited while the sync ran: the next, which the edit queued, must not find them taken."""
    taken = {
        "upstream": sync.url,
        "subdirs": sync.subdirs,
        "specs": sync.specs,
        "with_dependencies": sync.with_dependencies,
        "by_shards": sync.by_shards,
    }
    return {name for name, value in taken.items() if getattr(mirror, name) != value}


async def _hold(ctx: Context, mirror: Mirror, sync: _Sync) -> None:
    """Note which subdirs wait for an administrator; those that recovered wait no more."""
    was = mirror.held
    mirror.held = {subdir: _keep_accepted(loss, was.get(subdir)) for subdir, loss in sync.losses.items()}
    if not sync.losses:
        return
    mirror.state = "held"
    mirror.last_error = f"{describe_losses(sync.losses)}: what was served before stays served until you accept the loss"
    if was != sync.losses:
        losses = {subdir: [loss.before, loss.now] for subdir, loss in sync.losses.items()}
        await record(ctx, "mirror.held", subject=f"channel:{sync.channel_name}", losses=losses)


def _keep_accepted(loss: HeldLoss, held: HeldLoss | None) -> HeldLoss:
    """A loss, accepted if an administrator accepted one as large while the sync ran: the next publishes it."""
    return replace(loss, accepted=held is not None and held.accepted and loss.now >= held.now)


async def _fail(resources: Resources, sync: _Sync, error: AntivenomError) -> None:
    async with resources.context(SYSTEM) as ctx:
        mirror = await queries.find_mirror_by_id(ctx.session, sync.mirror_id, lock=True)
        if mirror is None:
            return
        mirror.state = "failed"
        mirror.last_error = in_one_line(error)
        mirror.failures += 1
        mirror.progress = JobProgress()
        mirror.next_sync_at = ctx.now + timedelta(seconds=retry_after_s(mirror.failures))
        subject = f"channel:{sync.channel_name}"
        await record(ctx, "mirror.failed", subject=subject, error=error.message, failures=mirror.failures)
