"""/api/v1/channels: create, change, delete, and what a channel itself owns.

A channel with what it serves is read in publications/api.py, its packages and findings in catalog/api.py.
"""

from __future__ import annotations

from fastapi import APIRouter

from antivenom.server.channels import service
from antivenom.server.channels.schemas import ChannelCreate, ChannelUpdate, ChannelView
from antivenom.server.members.authentication import RequestContext

router = APIRouter(prefix="/channels", tags=["channels"])


@router.post("", status_code=201)
async def create_channel(ctx: RequestContext, body: ChannelCreate) -> ChannelView:
    """Create an empty channel."""
    channel = await service.create_channel(
        ctx, body.name, description=body.description, privacy=body.privacy, closure=body.closure
    )
    return ChannelView.of(channel)


@router.patch("/{channel}")
async def update_channel(ctx: RequestContext, channel: str, body: ChannelUpdate) -> ChannelView:
    """Change what is sent; a change of `closure` or `trust_build_statements` republishes the channel."""
    row = await service.update_channel(ctx, channel, **body.model_dump())
    return ChannelView.of(row)


@router.delete("/{channel}", status_code=204)
async def delete_channel(ctx: RequestContext, channel: str) -> None:
    """Delete a channel with its mirror and its publications."""
    await service.delete_channel(ctx, channel)
