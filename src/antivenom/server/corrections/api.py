"""/api/v1/corrections: what is wrong about a package, as rows of knowledge."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from antivenom.server.corrections import service
from antivenom.server.corrections.schemas import (
    CorrectionDetailsView,
    CorrectionPlanView,
    CorrectionView,
    ProposalBody,
)
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT
from antivenom.server.members.authentication import RequestContext
from antivenom.server.web.listing import Listing

router = APIRouter(prefix="/corrections", tags=["corrections"])


@router.post("/preview")
async def preview_correction(ctx: RequestContext, body: ProposalBody) -> CorrectionPlanView:
    """The rows of knowledge that make it right, and what they would change. Nothing is kept."""
    return CorrectionPlanView.of(await service.preview_correction(ctx, body.proposal()))


@router.get("/knowledge.tsv", response_class=PlainTextResponse)
async def export_corrections(ctx: RequestContext) -> PlainTextResponse:
    """All applied corrections as a file of feed kind `knowledge`."""
    text = await service.export_corrections(ctx)
    return PlainTextResponse(text, media_type="text/tab-separated-values; charset=utf-8")


@router.post("", status_code=201)
async def propose_correction(ctx: RequestContext, body: ProposalBody) -> CorrectionView:
    """Propose a correction; nothing changes before an administrator applies it."""
    return CorrectionView.of(await service.propose_correction(ctx, body.proposal()))


@router.get("")
async def list_corrections(
    ctx: RequestContext,
    q: str = "",
    state: str = "",
    kind: str = "",
    sort: str = "-proposed",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Listing[CorrectionView]:
    """Corrections, the newest first. `q` is searched in the package's name and the vulnerability's id."""
    found = await service.list_corrections(ctx, q=q, state=state, kind=kind, sort=sort, page=page, page_size=page_size)
    return Listing.of(found.map(CorrectionView.of))


@router.get("/{correction_id}")
async def get_correction(ctx: RequestContext, correction_id: int) -> CorrectionDetailsView:
    """One correction with its rows, and what applying it or taking it back would change now."""
    return CorrectionDetailsView.of_details(await service.get_correction(ctx, correction_id))


@router.post("/{correction_id}/apply")
async def apply_correction(ctx: RequestContext, correction_id: int) -> CorrectionView:
    """Let a proposed correction count; needs the role admin."""
    return CorrectionView.of(await service.apply_correction(ctx, correction_id))


@router.post("/{correction_id}/revert")
async def revert_correction(ctx: RequestContext, correction_id: int) -> CorrectionView:
    """Take an applied correction back; needs the role admin."""
    return CorrectionView.of(await service.revert_correction(ctx, correction_id))


@router.post("/{correction_id}/decline")
async def decline_correction(ctx: RequestContext, correction_id: int) -> CorrectionView:
    """Refuse a proposed correction; whoever proposed it may do that, too."""
    return CorrectionView.of(await service.decline_correction(ctx, correction_id))
