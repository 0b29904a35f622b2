"""/api/v1/channels…: channels with what they serve, and their publications."""

from __future__ import annotations

from fastapi import APIRouter

from antivenom.server.members.authentication import RequestContext
from antivenom.server.publications import service
from antivenom.server.publications.schemas import RollbackTo, ServedPublication
from antivenom.server.publications.summaries import ChannelSummary, PublicationView
from antivenom.server.web.listing import Listing

router = APIRouter(tags=["channels"])


@router.get("/channels")
async def list_channels(
    ctx: RequestContext, q: str = "", sort: str = "name", page: int = 1, page_size: int = 50
) -> Listing[ChannelSummary]:
    """Channels with what they serve now. `q` is searched in name, description, upstream and policy."""
    return Listing.of(await service.list_channel_summaries(ctx, q=q, sort=sort, page=page, page_size=page_size))


@router.get("/channels/{channel}")
async def get_channel(ctx: RequestContext, channel: str) -> ChannelSummary:
    """One channel with what it serves now."""
    return await service.get_channel_summary(ctx, channel)


@router.get("/channels/{channel}/history")
async def list_history(
    ctx: RequestContext, channel: str, cause: str = "", sort: str = "-number", page: int = 1, page_size: int = 50
) -> Listing[PublicationView]:
    """The publications of a channel. `cause` is sync, policy, advisories, time, curation, repair, format or request."""
    found = await service.list_history(ctx, channel, cause=cause, sort=sort, page=page, page_size=page_size)
    return Listing.of(found)


@router.post("/channels/{channel}/publications", status_code=202)
async def publish(ctx: RequestContext, channel: str) -> ChannelSummary:
    """Publish a channel again from its newest sources, soon; `behind` is null in its summary when that is done."""
    await service.request_publication(ctx, channel)
    return await service.get_channel_summary(ctx, channel)


@router.post("/channels/{channel}/rollback")
async def rollback(ctx: RequestContext, channel: str, body: RollbackTo) -> ServedPublication:
    """Serve an earlier publication again; without a number, the one before the current."""
    publication = await service.rollback(ctx, channel, body.number)
    return ServedPublication(channel=channel, number=publication.number)
