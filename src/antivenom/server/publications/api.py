"""/api/v1/channels/…: what channels serve and withhold; their history and policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import StreamingResponse

from antivenom.server.db.paging import Page
from antivenom.server.members.authentication import RequestContext
from antivenom.server.publications import service
from antivenom.server.publications.schemas import ChannelSummary, PolicyText, RollbackTo

router = APIRouter(tags=["channels"])

STREAM_CHUNK_ROWS = 200


def page_answer(page: Page[Any], items: Iterable[Any] | None = None) -> dict[str, Any]:
    listed = list(page.items if items is None else items)
    return {"items": listed, "total": page.total, "page": page.page, "page_size": page.page_size}


def stream_answer(rows: Iterable[dict[str, Any]]) -> StreamingResponse:
    """Rows as NDJSON, a line each, made in a thread while they are sent."""

    def chunks() -> Iterator[bytes]:
        buffer: list[bytes] = []
        for row in rows:
            buffer.append(msgspec.json.encode(row))
            if len(buffer) == STREAM_CHUNK_ROWS:
                yield b"\n".join(buffer) + b"\n"
                buffer.clear()
        if buffer:
            yield b"\n".join(buffer) + b"\n"

    return StreamingResponse(iterate_in_threadpool(chunks()), media_type="application/x-ndjson")


@router.get("/channels")
async def list_channels(
    ctx: RequestContext, q: str = "", sort: str = "name", page: int = 1, page_size: int = 50
) -> dict[str, Any]:
    return page_answer(await service.list_channel_summaries(ctx, q=q, sort=sort, page=page, page_size=page_size))


@router.get("/channels/{channel}")
async def get_channel(ctx: RequestContext, channel: str) -> ChannelSummary:
    return await service.get_channel_summary(ctx, channel)


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
    wanted = service.ToldFilter(decision, spec, name, q, subdir, gate, rule_id)
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


@router.get("/channels/{channel}/history")
async def list_history(
    ctx: RequestContext, channel: str, cause: str = "", sort: str = "-number", page: int = 1, page_size: int = 50
) -> dict[str, Any]:
    found = await service.list_history(ctx, channel, cause=cause, sort=sort, page=page, page_size=page_size)
    return page_answer(found)


@router.post("/channels/{channel}/rollback")
async def rollback(ctx: RequestContext, channel: str, body: RollbackTo) -> dict[str, Any]:
    publication = await service.rollback(ctx, channel, body.number)
    return {"channel": channel, "number": publication.number}


@router.get("/channels/{channel}/policy")
async def get_policy(ctx: RequestContext, channel: str) -> dict[str, Any]:
    attached = await service.get_channel_policy(ctx, channel)
    if attached is None:
        return {"policy": None, "revision": None, "text": ""}
    policy, revision = attached
    return {"policy": policy.name, "revision": revision.number, "text": revision.text}


@router.put("/channels/{channel}/policy")
async def set_policy(ctx: RequestContext, channel: str, body: PolicyText) -> dict[str, Any]:
    revision = await service.set_policy(ctx, channel, body.text)
    return {"channel": channel, "policy": revision.document.get("name"), "revision": revision.number}


@router.put("/policies")
async def set_policy_everywhere(ctx: RequestContext, body: PolicyText) -> dict[str, Any]:
    """A new revision for every channel that is under the policy of that name."""
    revision, channels = await service.set_policy_everywhere(ctx, body.text)
    return {"policy": revision.document.get("name"), "revision": revision.number, "channels": channels}


@router.post("/channels/{channel}/policy/plan")
async def plan_policy(ctx: RequestContext, channel: str, body: PolicyText) -> dict[str, Any]:
    """What a policy would withhold or release; the lists end at 20,000 records each, the counts are exact."""
    return await service.plan_policy(ctx, channel, body.text)
