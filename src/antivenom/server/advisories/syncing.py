"""One sync of one feed: fetch a part, read it in a child process, store it; at the end add a knowledge revision."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace
from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert

from antivenom.core.errors import AntivenomError, StorageError
from antivenom.core.feeds.entry import READING_RULES, SetAside
from antivenom.core.feeds.registry import find_source
from antivenom.feeds.reading import SET_ASIDE_KEPT, FeedReport
from antivenom.server.adapters.scratch import scratch_folder
from antivenom.server.advisories import queries
from antivenom.server.advisories.feed_state import FeedCounts, FeedCursor, PendingChanges
from antivenom.server.advisories.fetching import Fetcher, Part
from antivenom.server.advisories.locations import Location
from antivenom.server.advisories.models import Feed, KnowledgeRevision, SetAsideEntry
from antivenom.server.advisories.spool import spool_feed
from antivenom.server.advisories.storing import Changes, store_part
from antivenom.server.context import READ_MAX_S, SYSTEM, Context, Resources
from antivenom.server.events.freshness import note_change
from antivenom.server.events.jobs import defer
from antivenom.server.events.progress import (
    LEASE,
    STARTING,
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

# Revisions become visible in the order of their ids: a compilation of revision N includes all below N.
REVISION_LOCK = 0x616E7469


@dataclass(slots=True)
class _Sync:
    """A running sync: the feed as it was at the start, and what has come of it so far."""

    feed_id: int
    kind: str
    location: Location
    cursor: FeedCursor
    now: datetime
    has_reset_set_aside: bool = False
    counts: FeedCounts = field(
        default_factory=lambda: FeedCounts(added=0, changed=0, removed=0, withdrawn=0, set_aside=0)
    )


async def sync_feed(resources: Resources, feed_id: int, tries: int = 0) -> None:
    """Bring what is stored of a feed in step with its location.

    A failure leaves the data as it was; the feed shows the reason and is tried again, later each time.
    """
    location = await _location_of(resources, feed_id)
    async with upstream_slot(resources, "" if location is None or location.is_path else location.text) as is_free:
        if not is_free:
            await _wait(resources, feed_id, tries)
            return
        sync = await _begin(resources, feed_id)
        if sync is None:
            return
        reporter = ProgressReporter(resources, feed_id, queries.set_progress)
        try:
            async with reporter.running(), within_time(resources.settings.sync_max_s):
                await _run(resources, sync, reporter)
            await _finish(resources, sync, None)
        except Exception as error:
            await _finish(resources, sync, explain_failure(error))


async def _location_of(resources: Resources, feed_id: int) -> Location | None:
    async with resources.context(SYSTEM) as ctx:
        feed = await queries.find_feed(ctx.session, feed_id)
        return Location(feed.location, feed.location_auth) if feed else None


async def _wait(resources: Resources, feed_id: int, tries: int) -> None:
    """Queue the sync again: its host is read by enough others."""
    async with resources.context(SYSTEM) as ctx:
        if (feed := await queries.find_feed(ctx.session, feed_id, lock=True)) is None:
            return
        feed.state, feed.progress, feed.lease_until = "queued", WAITING_FOR_UPSTREAM, ctx.now + LEASE
        lock, after = f"feed:{feed_id}", pause_before(tries)
        await defer(ctx, "feed.sync", lock=lock, queueing_lock=lock, after=after, feed_id=feed_id, tries=tries + 1)


async def _begin(resources: Resources, feed_id: int) -> _Sync | None:
    """The sync that begins now; None when the feed is gone."""
    async with resources.context(SYSTEM) as ctx:
        feed = await queries.find_feed(ctx.session, feed_id, lock=True)
        if feed is None:
            return None
        feed.state = "syncing"
        feed.lease_until = ctx.now + LEASE
        feed.last_sync_at = ctx.now
        feed.progress = STARTING
        cursor = feed.cursor
        if cursor.rules != READING_RULES:  # an earlier release read it by other rules: whole, changed or not
            cursor = FeedCursor(rules=READING_RULES, pending=cursor.pending)
        return _Sync(feed.id, feed.kind, Location(feed.location, feed.location_auth), cursor, ctx.now)


async def _run(resources: Resources, sync: _Sync, reporter: ProgressReporter) -> None:
    with scratch_folder(resources.settings.scratch, "feed") as folder:
        fetched = Path(folder, "fetched")
        fetched.mkdir()  # noqa: ASYNC240  # one folder in a temporary one
        fetcher = Fetcher(resources.outbound, sync.kind, sync.location, sync.cursor, fetched, sync.now, reporter)
        async with contextlib.aclosing(fetcher.parts()) as parts:
            async for part in parts:
                rows = Path(folder, "rows.copy")
                report = await _read(resources, sync, part, rows, reporter)
                await _store(resources, sync, part, report, rows, reporter)
        if fetcher.unchanged:
            sync.counts.unchanged = fetcher.unchanged


async def _read(resources: Resources, sync: _Sync, part: Part, rows: Path, reporter: ProgressReporter) -> FeedReport:
    reporter("read", 0, 0)
    return await resources.cpu.run(
        spool_feed,
        sync.kind,
        str(part.path),
        str(rows),
        sync.location.text,
        sync.now.isoformat(),
        may_be_empty=part.may_be_empty,
        cpu_s=READ_MAX_S,
        on_progress=lambda done, refused: reporter("read" if not refused else f"read, {refused} set aside", done, 0),
    )


async def _store(
    resources: Resources, sync: _Sync, part: Part, report: FeedReport, rows: Path, reporter: ProgressReporter
) -> None:
    """Store one part with its cursor and what it changed, in one transaction."""
    reporter("store", 0, report.rows)
    for entry in part.set_aside:
        report.put_aside(entry)
    async with resources.context(SYSTEM) as ctx:
        changes = await store_part(
            ctx,
            find_source(sync.kind).TABLE,
            sync.feed_id,
            rows,
            is_snapshot=part.is_snapshot,
            protected=report.ids_set_aside,
        )
        await _store_set_aside(ctx, sync, report.set_aside, is_snapshot=part.is_snapshot)
        pending = _add_pending(sync.cursor.pending, changes)
        sync.cursor = replace(part.cursor, rules=READING_RULES, pending=pending)
        feed = await queries.find_feed(ctx.session, sync.feed_id, lock=True)
        if feed is None:
            raise StorageError("the feed was removed while it was synced")
        feed.cursor = sync.cursor
    _add_counts(sync.counts, part, changes, report)


async def _store_set_aside(ctx: Context, sync: _Sync, entries: list[SetAside], *, is_snapshot: bool) -> None:
    """Replace the reasons of the sync before by those of this one, part by part."""
    if is_snapshot or not sync.has_reset_set_aside:
        await ctx.session.execute(delete(SetAsideEntry).where(SetAsideEntry.feed_id == sync.feed_id))
        sync.has_reset_set_aside = True
    if entries:
        rows = {
            e.entry: {"feed_id": sync.feed_id, "entry": e.entry, "reason": e.reason, "at": ctx.now} for e in entries
        }
        statement = insert(SetAsideEntry).on_conflict_do_nothing()
        await ctx.session.execute(statement, list(rows.values())[:SET_ASIDE_KEPT])


def _add_pending(pending: PendingChanges | None, changes: Changes) -> PendingChanges | None:
    """The changes since the last knowledge revision; None when there are none."""
    if pending is None and not changes.is_any:
        return None
    return (pending or PendingChanges()).plus(changes.keys, changes.removed_examples)


def _add_counts(counts: FeedCounts, part: Part, changes: Changes, report: FeedReport) -> None:
    counts.added = (counts.added or 0) + changes.added
    counts.changed = (counts.changed or 0) + changes.changed
    counts.removed = (counts.removed or 0) + changes.removed
    counts.withdrawn = (counts.withdrawn or 0) + changes.withdrawn
    counts.set_aside = (counts.set_aside or 0) + report.set_aside_count
    counts.read = (counts.read or 0) + report.rows
    if part.is_snapshot and report.flagged:
        counts.flagged = report.flagged


async def _finish(resources: Resources, sync: _Sync, error: AntivenomError | None) -> None:
    """Add a knowledge revision of what changed (also in parts before a failure), and store how the sync ended."""
    async with resources.context(SYSTEM) as ctx:
        feed = await queries.find_feed(ctx.session, sync.feed_id, lock=True)
        if feed is None:
            return
        pending = sync.cursor.pending
        revision = await publish_knowledge(ctx, f"feed:{feed.id}", pending) if pending else None
        feed.cursor = replace(sync.cursor, pending=None)
        feed.progress = JobProgress()
        if error is None:
            await _note_success(ctx, feed, sync)
            if revision is not None:
                note_change(feed, ctx.now)
        else:
            feed.state = "failed"
            feed.last_error = in_one_line(error)
            feed.failures += 1
            feed.next_sync_at = ctx.now + timedelta(seconds=retry_after_s(feed.failures))
            await record(ctx, "feed.failed", subject=f"feed:{feed.id}", feed_kind=feed.kind, error=error.message)
        if error is None or revision is not None:
            await record(
                ctx,
                "feed.synced",
                subject=f"feed:{feed.id}",
                feed_kind=feed.kind,
                revision=revision,
                counts=msgspec.to_builtins(replace(sync.counts, flagged=None)),
                removed=list(pending.removed) if pending else [],
            )


async def _note_success(ctx: Context, feed: Feed, sync: _Sync) -> None:
    feed.state, feed.last_error, feed.failures = "ok", "", 0
    feed.last_success_at = ctx.now
    feed.next_sync_at = ctx.now + timedelta(seconds=feed.every_s) if feed.every_s else None
    table = find_source(feed.kind).TABLE
    counts = replace(sync.counts, entries=await queries.count_entries(ctx.session, table, feed.id))
    if counts.read is None:  # not modified: what was set aside before still is
        counts.set_aside = feed.counts.set_aside if feed.counts.set_aside is not None else counts.set_aside
        counts.flagged = feed.counts.flagged
    feed.counts = counts


async def publish_knowledge(ctx: Context, cause: str, changes: PendingChanges) -> int:
    """Add a knowledge revision and return its number; the caller records the event."""
    await ctx.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": REVISION_LOCK})
    revision = KnowledgeRevision(
        at=ctx.now,
        cause=cause,
        package_keys=list(changes.keys),
        everything=changes.everything,
        index_key=None,
    )
    ctx.session.add(revision)
    await ctx.session.flush()
    return int(revision.id)
