"""/api/v1/channels…: channels with what they serve, and their publications."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from antivenom.server.members.authentication import RequestContext
from antivenom.server.publications import service
from antivenom.server.publications.schemas import ChannelSummary, RollbackTo
from antivenom.server.web.listing import page_answer

router = APIRouter(tags=["channels"])


@router.get("/channels")
async def list_channels(
    ctx: RequestContext, q: str = "", sort: str = "name", page: int = 1, page_size: int = 50
) -> dict[str, Any]:
    return page_answer(await service.list_channel_summaries(ctx, q=q, sort=sort, page=page, page_size=page_size))


@router.get("/channels/{channel}")
async def get_channel(ctx: RequestContext, channel: str) -> ChannelSummary:
    return await service.get_channel_summary(ctx, channel)


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
