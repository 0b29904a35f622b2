"""/api/v1/mirrors."""

from __future__ import annotations

from fastapi import APIRouter

from antivenom.server.members.authentication import RequestContext
from antivenom.server.mirrors import service
from antivenom.server.mirrors.schemas import MirrorChange, MirrorCreate, MirrorView, NotedRecordView, SetAsideRecordView
from antivenom.server.mirrors.service import MirrorSettings
from antivenom.server.web.listing import Listing

router = APIRouter(prefix="/mirrors", tags=["mirrors"])


@router.post("", status_code=201)
async def create_mirror(ctx: RequestContext, body: MirrorCreate) -> MirrorView:
    """Fill a channel, which is created if it does not exist, from an upstream; the first sync starts at once."""
    mirror = await service.create_mirror(
        ctx,
        body.channel,
        MirrorSettings(
            body.upstream, body.mode, body.subdirs, body.specs, body.every_s, body.shards, body.with_dependencies
        ),
        policy_text=body.policy,
        closure=body.closure,
    )
    return MirrorView.of(body.channel, mirror, ctx.now)


@router.get("")
async def list_mirrors(ctx: RequestContext) -> Listing[MirrorView]:
    """Every mirror, by the name of its channel, on one page."""
    return Listing.whole([MirrorView.of(name, mirror, ctx.now) for name, mirror in await service.list_mirrors(ctx)])


@router.get("/{channel}")
async def get_mirror(ctx: RequestContext, channel: str) -> MirrorView:
    """The mirror that fills a channel."""
    return MirrorView.of(channel, await service.get_mirror(ctx, channel), ctx.now)


@router.get("/{channel}/set-aside")
async def list_set_aside(
    ctx: RequestContext, channel: str, page: int = 1, page_size: int = 50
) -> Listing[SetAsideRecordView]:
    """The upstream's records that are not mirrored, with reasons; the first 200 of each subdir."""
    found = await service.list_set_aside(ctx, channel, page=page, page_size=page_size)
    return Listing.of(found.map(SetAsideRecordView.of))


@router.get("/{channel}/notes")
async def list_notes(ctx: RequestContext, channel: str, page: int = 1, page_size: int = 50) -> Listing[NotedRecordView]:
    """The upstream's records that were put in order before they are served, and how; the first 200 of each subdir."""
    found = await service.list_notes(ctx, channel, page=page, page_size=page_size)
    return Listing.of(found.map(NotedRecordView.of))


@router.patch("/{channel}")
async def update_mirror(ctx: RequestContext, channel: str, body: MirrorChange) -> MirrorView:
    """Change what is sent; a sync follows at once."""
    settings = body.applied_to(await service.get_mirror(ctx, channel))
    return MirrorView.of(channel, await service.update_mirror(ctx, channel, settings), ctx.now)


@router.delete("/{channel}", status_code=204)
async def delete_mirror(ctx: RequestContext, channel: str) -> None:
    """Stop mirroring; the channel keeps its last publication."""
    await service.delete_mirror(ctx, channel)


@router.post("/{channel}/sync", status_code=202)
async def request_sync(ctx: RequestContext, channel: str) -> MirrorView:
    """Request a sync now; the answer does not wait for it."""
    return MirrorView.of(channel, await service.request_sync(ctx, channel), ctx.now)


@router.post("/{channel}/accept", status_code=202)
async def accept_loss(ctx: RequestContext, channel: str) -> MirrorView:
    """Accept the loss of records that a mirror holds back; a sync that publishes it follows at once."""
    return MirrorView.of(channel, await service.accept_loss(ctx, channel), ctx.now)
