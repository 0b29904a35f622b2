"""The demo of a server: set up at the first start, marked as demo everywhere, removed by one command."""

from __future__ import annotations

import logging

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import delete, select

from antivenom import demo
from antivenom.server.advisories import service as advisories
from antivenom.server.advisories.models import Feed
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.channels import service as channels
from antivenom.server.channels.models import Channel
from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.events.service import record
from antivenom.server.members.authentication import RequestContext
from antivenom.server.members.authorization import require
from antivenom.server.mirrors import service as mirrors
from antivenom.server.policies import service as policies
from antivenom.server.policies.models import Policy, PolicyRevision
from antivenom.server.publications.models import Publication

router = APIRouter(prefix="/demo", tags=["demo"])
log = logging.getLogger(__name__)

CHANNEL = "demo"
DESCRIPTION = "A small channel to look around in, mirrored under a policy. Remove it with: antivenom admin remove-demo"


async def start(resources: Resources) -> None:
    """Add the demo to a new home, in one transaction; the worker then reads its feeds and mirrors its channel."""
    async with resources.context(SYSTEM) as ctx:
        if await ctx.session.scalar(select(Channel.id).where(Channel.name == CHANNEL)):
            return
        await add_demo(ctx)
    log.info("the demo channel is being mirrored; remove it with: antivenom admin remove-demo")


async def add_demo(ctx: Context) -> None:
    """Add the feeds, policy, channel and mirror of the demo; their first syncs are due at once.

    Raises:
        ConflictError: A channel or feed of the demo exists already.
    """
    require(ctx, "settings:manage", subject="demo")
    for kind, url in demo.FEED_URLS.items():
        await advisories.add_feed(ctx, kind, url, is_demo=True)
    await channels.create_channel(ctx, CHANNEL, description=DESCRIPTION, is_demo=True)
    await policies.save_policy(ctx, demo.policy_text(), is_demo=True)
    await channel_policies.set_policy(ctx, CHANNEL, demo.policy_text())
    await mirrors.create_mirror(ctx, CHANNEL, mirrors.MirrorSettings(demo.CHANNEL_URL, subdirs=demo.SUBDIRS))
    await record(ctx, "demo.added", subject=f"channel:{CHANNEL}")


class RemovedDemo(BaseModel):
    """How many of each were removed."""

    channels: int
    feeds: int
    policies: int


async def remove_demo(ctx: Context) -> RemovedDemo:
    """Remove everything that is marked as demo, and return how much that was.

    A demo policy that another channel uses stays, and is no longer marked.
    """
    require(ctx, "settings:manage", subject="demo")
    names = list(await ctx.session.scalars(select(Channel.name).where(Channel.is_demo)))
    for name in names:
        await channels.delete_channel(ctx, name)
    feeds = list(await ctx.session.scalars(select(Feed.id).where(Feed.is_demo)))
    for feed_id in feeds:
        await advisories.remove_feed(ctx, feed_id)
    await ctx.session.flush()
    removed = RemovedDemo(channels=len(names), feeds=len(feeds), policies=await _remove_policies(ctx))
    if removed.channels or removed.feeds or removed.policies:
        await record(ctx, "demo.removed", subject="demo", **removed.model_dump())
    return removed


async def _remove_policies(ctx: Context) -> int:
    used = select(PolicyRevision.policy_id).where(
        PolicyRevision.id.in_(select(Channel.policy_revision_id))
        | PolicyRevision.id.in_(select(Publication.policy_revision_id))
    )
    for policy in list(await ctx.session.scalars(select(Policy).where(Policy.is_demo, Policy.id.in_(used)))):
        policy.is_demo = False
    gone = await ctx.session.scalars(delete(Policy).where(Policy.is_demo).returning(Policy.id))
    return len(gone.all())


@router.delete("")
async def delete_demo(ctx: RequestContext) -> RemovedDemo:
    """Remove the demo's channel, feeds and policy."""
    return await remove_demo(ctx)
