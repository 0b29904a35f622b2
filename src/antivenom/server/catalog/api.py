"""/api/v1/channels/…: what a channel serves and withholds, and why."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from antivenom.server.catalog import service
from antivenom.server.catalog.decisions import DecisionFilter
from antivenom.server.catalog.rows import (
    ChannelFinding,
    PackageDetails,
    PackageOverview,
    RecordDecision,
    WithheldRecord,
)
from antivenom.server.members.authentication import RequestContext
from antivenom.server.web.listing import Listing, stream_answer, streamed

router = APIRouter(tags=["channels"])


@router.get("/channels/{channel}/packages")
async def list_packages(
    ctx: RequestContext,
    channel: str,
    q: str = "",
    severity: str = "",
    withheld: bool | None = None,
    sort: str = "name",
    page: int = 1,
    page_size: int = 50,
) -> Listing[PackageOverview]:
    """Packages of a channel. `severity` is the lowest to list; `withheld=true` lists packages with withheld records."""
    found = await service.list_packages(
        ctx, channel, q=q, severity=severity, withheld=withheld, sort=sort, page=page, page_size=page_size
    )
    return Listing.of(found)


@router.get("/channels/{channel}/packages/{name}")
async def get_package(ctx: RequestContext, channel: str, name: str) -> PackageDetails:
    """One package: every record with its decision, and its findings by version."""
    return await service.get_package(ctx, channel, name)


@router.get("/channels/{channel}/withheld", response_model=Listing[WithheldRecord], responses=streamed(WithheldRecord))
async def list_withheld(
    ctx: RequestContext,
    channel: str,
    spec: str = "",
    subdir: str = "",
    gate: str = "",
    rule_id: str = "",
    name: str = "",
    q: str = "",
    decision: str = "withheld",
    sort: str = "subdir",
    page: int = 1,
    page_size: int = 50,
    stream: bool = False,
) -> Listing[WithheldRecord] | StreamingResponse:
    """Withheld records with their reasons; `decision=warned` lists those served with a warning.

    `sort` is subdir, name, severity or rule, with "-" for descending order. `stream=true` answers every row (NDJSON).
    """
    wanted = DecisionFilter(decision, spec, name, q, subdir, gate, rule_id)
    if stream:
        return stream_answer(await service.iterate_withheld(ctx, channel, wanted, sort=sort))
    return Listing.of(await service.list_withheld(ctx, channel, wanted, sort=sort, page=page, page_size=page_size))


@router.get("/channels/{channel}/findings", response_model=Listing[ChannelFinding], responses=streamed(ChannelFinding))
async def list_findings(
    ctx: RequestContext,
    channel: str,
    q: str = "",
    severity: str = "",
    kev: bool | None = None,
    epss_min: float | None = None,
    status: str = "",
    served: bool | None = None,
    sort: str = "-risk",
    page: int = 1,
    page_size: int = 50,
    stream: bool = False,
) -> Listing[ChannelFinding] | StreamingResponse:
    """Findings of a channel, one for each version of a package and vulnerability.

    `severity` and `epss_min` are lower bounds, which malware is above. `status=ignored` lists what rows of knowledge
    and trusted builds set aside, which is in no other list. `stream=true` answers every row (NDJSON).
    """
    wanted = service.FindingFilter(q, severity, kev, epss_min, status, served)
    if stream:
        return stream_answer(await service.filter_channel_findings(ctx, channel, wanted, sort=sort))
    found = await service.list_channel_findings(ctx, channel, wanted, sort=sort, page=page, page_size=page_size)
    return Listing.of(found)


@router.get("/channels/{channel}/explain")
async def explain(ctx: RequestContext, channel: str, what: str) -> Listing[RecordDecision]:
    """The decision about a file name, SUBDIR/FILE or every record of a match spec, with its reasons."""
    return Listing.whole(await service.explain(ctx, channel, what))
