"""Jobs that keep feeds in step with their locations, and what is stored of them with today's rules."""

from __future__ import annotations

import asyncio
from pathlib import Path

from antivenom.server.advisories import queries, service, storing, syncing, vulnerabilities
from antivenom.server.advisories.feed_state import PendingChanges
from antivenom.server.advisories.locations import Location
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.jobs import Lane, job

REGROUPED_AT_ONCE = 5_000  # vulnerabilities in one transaction


@job("feed.sync", retries=0, lane=Lane.feeds)
async def sync(resources: Resources, *, feed_id: int, tries: int = 0) -> None:
    """Sync one feed; a failure is kept on the feed and tried again by `feed.sync_due`.

    Args:
        tries: How often it found its upstream read by enough others.
    """
    await syncing.sync_feed(resources, feed_id, tries)


@job("feed.sync_due", every_s=60)
async def sync_due(resources: Resources) -> None:
    """Ask for a sync of every feed whose time has come."""
    async with resources.context(SYSTEM) as ctx:
        for feed in await queries.list_due(ctx.session, ctx.now):
            await service.defer_sync(ctx, feed)


@job("feed.reread", every_s=60)
async def reread(resources: Resources) -> None:
    """Ask for a sync of every feed that an earlier release read by other rules; a path that is gone is let be."""
    async with resources.context(SYSTEM) as ctx:
        for feed in await queries.list_read_by_other_rules(ctx.session):
            location = Location(feed.location)
            if not location.is_path or await asyncio.to_thread(Path(location.text).exists):
                await service.defer_sync(ctx, feed)


@job("advisory.regroup", every_s=60, lane=Lane.knowledge)
async def regroup(resources: Resources) -> None:
    """Form again, a part at a time, the vulnerabilities that an earlier release formed by its own rules.

    The last part makes a knowledge revision: findings by today's rules follow.
    """
    is_stale = True
    while is_stale:
        async with resources.context(SYSTEM) as ctx:
            if not await vulnerabilities.has_stale_rows(ctx.session):
                return
            await storing.lock_knowledge(ctx.session)
            await vulnerabilities.refresh_stale_rows(ctx, REGROUPED_AT_ONCE)
            is_stale = await vulnerabilities.has_stale_rows(ctx.session)
            if not is_stale:
                await syncing.publish_knowledge(ctx, "release", PendingChanges(everything=True))
