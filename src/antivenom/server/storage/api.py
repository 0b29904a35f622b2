"""/api/v1/storage: collections and verifications of the blob store."""

from __future__ import annotations

from fastapi import APIRouter

from antivenom.server.members.authentication import RequestContext
from antivenom.server.storage import service
from antivenom.server.storage.reports import RunOptions
from antivenom.server.storage.schemas import CollectBody, LostBlobView, StorageRunView, VerifyBody
from antivenom.server.web.listing import Listing

router = APIRouter(prefix="/storage", tags=["storage"])


@router.post("/collections", status_code=202)
async def collect(ctx: RequestContext, body: CollectBody) -> StorageRunView:
    """Delete blobs that nothing names, and the scratch of dead processes. A job does it: ask for the run again."""
    options = RunOptions(dry_run=body.dry_run, min_age_s=body.min_age_s)
    return StorageRunView.of(await service.request_run(ctx, "collect", options))


@router.post("/verifications", status_code=202)
async def verify(ctx: RequestContext, body: VerifyBody) -> StorageRunView:
    """Look for blobs that are missing or damaged; a job does it, so ask for the run again."""
    return StorageRunView.of(await service.request_run(ctx, "verify", RunOptions(repair=body.repair)))


@router.get("/runs")
async def list_runs(ctx: RequestContext) -> Listing[StorageRunView]:
    """The last collections and verifications, the newest first."""
    return Listing.whole([StorageRunView.of(run) for run in await service.list_runs(ctx)])


@router.get("/runs/{run_id}")
async def get_run(ctx: RequestContext, run_id: int) -> StorageRunView:
    """One collection or verification, with what it found."""
    return StorageRunView.of(await service.get_run(ctx, run_id))


@router.get("/lost")
async def list_lost(ctx: RequestContext) -> Listing[LostBlobView]:
    """Blobs that are missing or damaged and not mended yet."""
    return Listing.whole([LostBlobView.of(lost) for lost in await service.list_lost(ctx)])
