"""Asking for collections and verifications of the blob store, and what they found."""

from __future__ import annotations

from antivenom.core.errors import NotFoundError
from antivenom.server.context import Context
from antivenom.server.events.jobs import defer
from antivenom.server.members.authorization import require
from antivenom.server.storage import queries
from antivenom.server.storage.models import LostBlob, StorageRun
from antivenom.server.storage.reports import RunOptions, StorageReport

SUBJECT = "storage"


async def request_run(ctx: Context, kind: str, options: RunOptions) -> StorageRun:
    """Queue a collection ("collect") or a verification ("verify"). One runs at a time."""
    require(ctx, "settings:manage", subject=SUBJECT)
    run = StorageRun(
        kind=kind,
        state="queued",
        options=options,
        created_at=ctx.now,
        created_by=ctx.actor.name,
        error="",
        report=StorageReport(),
    )
    ctx.session.add(run)
    await ctx.session.flush()
    await defer(ctx, "storage.run", lock="storage.run", run_id=run.id)
    return run


async def get_run(ctx: Context, run_id: int) -> StorageRun:
    """A collection or verification.

    Raises:
        NotFoundError: There is none of that number.
    """
    require(ctx, "settings:read", subject=SUBJECT)
    run = await queries.find_run(ctx.session, run_id)
    if run is None:
        raise NotFoundError(f"there is no run {run_id} over the blob store", hint="antivenom admin gc starts one")
    return run


async def list_runs(ctx: Context) -> list[StorageRun]:
    """The last collections and verifications, the newest first."""
    require(ctx, "settings:read", subject=SUBJECT)
    return await queries.list_runs(ctx.session)


async def list_lost(ctx: Context) -> list[LostBlob]:
    """Blobs that are missing or damaged and not mended yet, by the time when they were found."""
    require(ctx, "settings:read", subject=SUBJECT)
    return await queries.list_lost(ctx.session)
