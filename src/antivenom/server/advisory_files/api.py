"""/api/v1/advisory-file: the file that matches without this server, and the keys that sign it."""

from __future__ import annotations

from fastapi import APIRouter

from antivenom.server.advisory_files import service
from antivenom.server.advisory_files.schemas import AdvisoryFileView
from antivenom.server.members.authentication import RequestContext

router = APIRouter(prefix="/advisory-file", tags=["advisory file"])


@router.get("")
async def show(ctx: RequestContext) -> AdvisoryFileView:
    """When the advisory file at /advisories/manifest.json was made, how large it is, and which keys sign it."""
    return AdvisoryFileView.of(await service.describe(ctx), await service.show_keys(ctx))


@router.post("/keys", status_code=201)
async def rotate_key(ctx: RequestContext) -> AdvisoryFileView:
    """Sign with a new key from now on; the old one vouches for it, so whoever trusts the old one goes on."""
    await service.rotate_key(ctx)
    return AdvisoryFileView.of(await service.describe(ctx), await service.show_keys(ctx))
