"""Jobs that keep feeds in step with their locations."""

from __future__ import annotations

from antivenom.server.advisories import queries, service, syncing
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.jobs import job


@job("feed.sync", retries=0)
async def sync(resources: Resources, *, feed_id: int) -> None:
    """Sync one feed; a failure is kept on the feed and tried again by `feed.sync_due`."""
    await syncing.sync_feed(resources, feed_id)


@job("feed.sync_due", every_s=60)
async def sync_due(resources: Resources) -> None:
    """Ask for a sync of every feed whose time has come."""
    async with resources.context(SYSTEM) as ctx:
        for feed in await queries.list_due(ctx.session, ctx.now):
            await service.defer_sync(ctx, feed)
