"""Jobs that keep the blob store as small and as whole as it can be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from antivenom.core.errors import AntivenomError
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.jobs import EventNotice, Lane, job
from antivenom.server.events.lost_blobs import SUBJECT
from antivenom.server.events.progress import explain_failure
from antivenom.server.events.service import record
from antivenom.server.storage import queries, service
from antivenom.server.storage.collecting import collect
from antivenom.server.storage.mending import KEYS_AT_ONCE, mend
from antivenom.server.storage.reports import RunOptions, StorageReport, total_of
from antivenom.server.storage.verifying import scrub_some, verify_store

COLLECT_EVERY = timedelta(hours=1)
SCRUB_EVERY_S = 600
LOST_AFTER = timedelta(hours=6)


@job("storage.run", lane=Lane.upkeep)
async def run(resources: Resources, *, run_id: int) -> None:
    """Do what a row of `storage_run` asks for; a failure is stored with it, and `storage.collect_due` asks again."""
    async with resources.context(SYSTEM) as ctx:
        row = await queries.find_run(ctx.session, run_id, lock=True)
        if row is None or row.state in ("done", "failed"):
            return
        row.state = "running"
        kind, options = row.kind, row.options
    try:
        report = await (verify_store(resources, options) if kind == "verify" else collect(resources, options))
    except Exception as error:
        await _end(resources, run_id, StorageReport(), explain_failure(error))
    else:
        await _end(resources, run_id, report, None)


async def _end(resources: Resources, run_id: int, report: StorageReport, error: AntivenomError | None) -> None:
    async with resources.context(SYSTEM) as ctx:
        row = await queries.find_run(ctx.session, run_id, lock=True)
        if row is None:
            return
        row.state, row.report, row.ended_at = "failed" if error else "done", report, ctx.now
        row.error = error.message if error else ""
        freed = total_of(report.freed)
        if freed.count and not row.options.dry_run:
            await record(ctx, "storage.collected", subject="storage", files=freed.count, size_bytes=freed.size_bytes)
        await queries.forget_old_runs(ctx.session)


@job("storage.collect_after", on=("channel.deleted", "publication.retired"), queueing_lock="storage.collect_after")
async def collect_after(resources: Resources, **_event: Any) -> None:
    """Collect what a deleted channel or a retired publication leaves behind; what was lost may be needed no more."""
    async with resources.context(SYSTEM) as ctx:
        await queries.look_again_at_lost(ctx.session)
        if await queries.find_last_run(ctx.session, "collect", "queued") is None:
            await service.request_run(ctx, "collect", RunOptions())


@job("storage.collect_due", every_s=600)
async def collect_due(resources: Resources) -> None:
    """Collect every hour; sooner after one that failed because blobs were in use."""
    async with resources.context(SYSTEM) as ctx:
        waiting = await queries.find_last_run(ctx.session, "collect", "queued", "running")
        if waiting is not None and ctx.now - waiting.created_at < LOST_AFTER:  # else its job was lost
            return
        last = await queries.find_last_run(ctx.session, "collect", "done", "failed")
        if last is None or last.state == "failed" or last.options.dry_run or ctx.now - last.created_at >= COLLECT_EVERY:
            await service.request_run(ctx, "collect", RunOptions())


@job("storage.mend", on=("blob.lost",), lock="storage.mend", lane=Lane.upkeep)
async def mend_lost(resources: Resources, *, event: EventNotice) -> None:
    """Look at a blob that a reader or a builder found lost, and mend it."""
    await mend(resources, [event.subject.removeprefix(SUBJECT)])


@job("storage.mend_due", every_s=60, lock="storage.mend", lane=Lane.upkeep)
async def mend_due(resources: Resources) -> None:
    """Look again at the blobs that are lost, and try again to mend them."""
    async with resources.context(SYSTEM) as ctx:
        keys = [lost.key for lost in await queries.list_lost_due(ctx.session, ctx.now)]
    if keys:
        await mend(resources, keys[:KEYS_AT_ONCE])


@job("storage.scrub", every_s=SCRUB_EVERY_S, lane=Lane.upkeep)
async def scrub(resources: Resources) -> None:
    """Read some of the stored blobs and compare them with their digests."""
    if budget_bytes := resources.settings.scrub_bytes_per_hour * SCRUB_EVERY_S // 3600:
        await scrub_some(resources, budget_bytes)
