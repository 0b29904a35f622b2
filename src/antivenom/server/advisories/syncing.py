"""One sync of one feed: fetch a part, read it in a child process, store it; at the end tell who depends on it."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert

from antivenom.core.errors import AntivenomError, StorageError
from antivenom.core.feeds.entry import SetAside
from antivenom.core.feeds.registry import find_source
from antivenom.server.advisories import queries
from antivenom.server.advisories.fetching import Fetcher, Part
from antivenom.server.advisories.locations import Location
from antivenom.server.advisories.models import Feed, KnowledgeRevision, SetAsideEntry
from antivenom.server.advisories.spool import SET_ASIDE_KEPT, SpoolReport, spool_feed
from antivenom.server.advisories.storing import EXAMPLES_MAX, KEYS_MAX, Changes, store_part
from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.events.progress import STARTING, JobProgress, ProgressReporter, explain_failure, retry_after_s
from antivenom.server.events.service import record

# Revisions become visible in the order of their ids: whoever compiles up to N has seen all below N.
REVISION_LOCK = 0x616E7469


@dataclass(slots=True)
class _Sync:
    feed_id: int
    kind: str
    location: Location
    cursor: dict[str, Any]
    now: datetime
    has_reset_set_aside: bool = False
    counts: dict[str, Any] = field(
        default_factory=lambda: dict.fromkeys(("added", "changed", "removed", "withdrawn", "set_aside"), 0)
    )


async def sync_feed(resources: Resources, feed_id: int) -> None:
    """Bring what is stored of a feed in step with its location.

    A failure leaves the data as it was; the feed shows the reason and is tried again, later each time.
    """
    sync = await _begin(resources, feed_id)
    if sync is None:
        return
    reporter = ProgressReporter(resources, feed_id, queries.set_progress)
    try:
        async with reporter.running():
            await _run(resources, sync, reporter)
        await _finish(resources, sync, None)
    except Exception as error:
        await _finish(resources, sync, explain_failure(error))


async def _begin(resources: Resources, feed_id: int) -> _Sync | None:
    async with resources.context(SYSTEM) as ctx:
        feed = await queries.find_feed(ctx.session, feed_id, lock=True)
        if feed is None:
            return None
        feed.state = "syncing"
        feed.last_sync_at = ctx.now
        feed.progress = STARTING
        return _Sync(feed.id, feed.kind, Location(feed.location, feed.location_auth), dict(feed.cursor), ctx.now)


async def _run(resources: Resources, sync: _Sync, reporter: ProgressReporter) -> None:
    with tempfile.TemporaryDirectory(prefix="antivenom-feed-") as folder:
        fetched = Path(folder, "fetched")
        fetched.mkdir()  # noqa: ASYNC240  # one folder in a temporary one
        fetcher = Fetcher(resources.outbound, sync.kind, sync.location, sync.cursor, fetched, sync.now, reporter)
        async with contextlib.aclosing(fetcher.parts()) as parts:
            async for part in parts:
                rows = Path(folder, "rows.copy")
                report = await _read(resources, sync, part, rows, reporter)
                await _store(resources, sync, part, report, rows, reporter)
        if fetcher.unchanged:
            sync.counts["unchanged"] = fetcher.unchanged


async def _read(resources: Resources, sync: _Sync, part: Part, rows: Path, reporter: ProgressReporter) -> SpoolReport:
    reporter("read", 0, 0)
    return await resources.cpu.run(
        spool_feed,
        sync.kind,
        str(part.path),
        str(rows),
        sync.location.text,
        sync.now.isoformat(),
        may_be_empty=part.may_be_empty,
        on_progress=lambda done, refused: reporter("read" if not refused else f"read, {refused} set aside", done, 0),
    )


async def _store(
    resources: Resources, sync: _Sync, part: Part, report: SpoolReport, rows: Path, reporter: ProgressReporter
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
        sync.cursor = {**part.cursor, **_add_pending(sync.cursor.get("pending"), changes)}
        feed = await queries.find_feed(ctx.session, sync.feed_id, lock=True)
        if feed is None:
            raise StorageError("the feed was removed while it was synced")
        feed.cursor = sync.cursor
    _add_counts(sync, part, changes, report)


async def _store_set_aside(ctx: Context, sync: _Sync, entries: list[SetAside], *, is_snapshot: bool) -> None:
    """The reasons of the last sync; a sync of several parts adds them up."""
    if is_snapshot or not sync.has_reset_set_aside:
        await ctx.session.execute(delete(SetAsideEntry).where(SetAsideEntry.feed_id == sync.feed_id))
        sync.has_reset_set_aside = True
    if entries:
        rows = {
            e.entry: {"feed_id": sync.feed_id, "entry": e.entry, "reason": e.reason, "at": ctx.now} for e in entries
        }
        statement = insert(SetAsideEntry).on_conflict_do_nothing()
        await ctx.session.execute(statement, list(rows.values())[:SET_ASIDE_KEPT])


def _add_pending(pending: dict[str, Any] | None, changes: Changes) -> dict[str, Any]:
    """What parts changed since the last knowledge revision; kept in the cursor, so that no interruption loses it."""
    if pending is None and not changes.is_any:
        return {}
    pending = pending or {"keys": [], "everything": False, "removed": []}
    keys = {*pending["keys"], *(changes.keys or ())}
    everything = pending["everything"] or changes.keys is None or len(keys) > KEYS_MAX
    removed = [*pending["removed"], *changes.removed_examples][:EXAMPLES_MAX]
    return {"pending": {"keys": [] if everything else sorted(keys), "everything": everything, "removed": removed}}


def _add_counts(sync: _Sync, part: Part, changes: Changes, report: SpoolReport) -> None:
    for name in ("added", "changed", "removed", "withdrawn"):
        sync.counts[name] += getattr(changes, name)
    sync.counts["set_aside"] += report.set_aside_count
    sync.counts["read"] = sync.counts.get("read", 0) + report.rows
    if part.is_snapshot and report.flagged:
        sync.counts["flagged"] = report.flagged


async def _finish(resources: Resources, sync: _Sync, error: AntivenomError | None) -> None:
    """Publish what changed (also of the parts before a failure) and note how the sync ended."""
    async with resources.context(SYSTEM) as ctx:
        feed = await queries.find_feed(ctx.session, sync.feed_id, lock=True)
        if feed is None:
            return
        pending = sync.cursor.pop("pending", None)
        revision = await publish_knowledge(ctx, f"feed:{feed.id}", pending) if pending else None
        feed.cursor = sync.cursor
        feed.progress = JobProgress()
        if error is None:
            await _note_success(ctx, feed, sync)
        else:
            feed.state = "failed"
            feed.last_error = error.message + (f" ({error.hint})" if error.hint else "")
            feed.failures += 1
            feed.next_sync_at = ctx.now + timedelta(seconds=retry_after_s(feed.failures))
            await record(ctx, "feed.failed", subject=f"feed:{feed.id}", feed_kind=feed.kind, error=error.message)
        if error is None or revision is not None:
            counts = {k: v for k, v in sync.counts.items() if k != "flagged"}
            await record(
                ctx,
                "feed.synced",
                subject=f"feed:{feed.id}",
                feed_kind=feed.kind,
                revision=revision,
                counts=counts,
                removed=(pending or {}).get("removed", []),
            )


async def _note_success(ctx: Context, feed: Feed, sync: _Sync) -> None:
    feed.state, feed.last_error, feed.failures = "ok", "", 0
    feed.last_success_at = ctx.now
    feed.next_sync_at = ctx.now + timedelta(seconds=feed.every_s) if feed.every_s else None
    is_unread = "read" not in sync.counts  # not modified: what was set aside before still is
    kept: dict[str, Any] = {k: feed.counts[k] for k in ("set_aside", "flagged") if is_unread and k in feed.counts}
    entries = await queries.count_entries(ctx.session, find_source(feed.kind).TABLE, feed.id)
    feed.counts = {**sync.counts, **kept, "entries": entries}


async def publish_knowledge(ctx: Context, cause: str, pending: dict[str, Any]) -> int:
    """A new knowledge revision; the event that tells of it is the caller's."""
    await ctx.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": REVISION_LOCK})
    revision = KnowledgeRevision(
        at=ctx.now,
        cause=cause,
        package_keys=pending["keys"],
        everything=pending["everything"],
        index_key=None,
    )
    ctx.session.add(revision)
    await ctx.session.flush()
    return int(revision.id)
