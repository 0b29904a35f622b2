"""/api/v1/channels/…: what a channel serves and withholds, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from antivenom.server.catalog import service
from antivenom.server.catalog.decisions import DecisionFilter
from antivenom.server.members.authentication import RequestContext
from antivenom.server.web.listing import page_answer, stream_answer

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
) -> dict[str, Any]:
    found = await service.list_packages(
        ctx, channel, q=q, severity=severity, withheld=withheld, sort=sort, page=page, page_size=page_size
    )
    return page_answer(found, (asdict(p) for p in found.items))


@router.get("/channels/{channel}/packages/{name}")
async def get_package(ctx: RequestContext, channel: str, name: str) -> dict[str, Any]:
    found = await service.get_package(ctx, channel, name)
    return {**found, "package": asdict(found["package"])}


@router.get("/channels/{channel}/withheld", response_model=None)
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
) -> dict[str, Any] | StreamingResponse:
    """Withheld records with their reasons; `decision=warned` lists those served with a warning.

    `sort` is subdir, name, severity or rule, with - turned.
    """
    wanted = DecisionFilter(decision, spec, name, q, subdir, gate, rule_id)
    if stream:
        return stream_answer(await service.iterate_withheld(ctx, channel, wanted, sort=sort))
    return page_answer(await service.list_withheld(ctx, channel, wanted, sort=sort, page=page, page_size=page_size))


@router.get("/channels/{channel}/findings", response_model=None)
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
) -> dict[str, Any] | StreamingResponse:
    wanted = service.FindingFilter(q, severity, kev, epss_min, status, served)
    if stream:
        return stream_answer(await service.filter_channel_findings(ctx, channel, wanted, sort=sort))
    found = await service.list_channel_findings(ctx, channel, wanted, sort=sort, page=page, page_size=page_size)
    return page_answer(found)


@router.get("/channels/{channel}/explain")
async def explain(ctx: RequestContext, channel: str, what: str) -> dict[str, Any]:
    rows = await service.explain(ctx, channel, what)
    return {"items": rows, "total": len(rows), "page": 1, "page_size": max(1, len(rows))}
