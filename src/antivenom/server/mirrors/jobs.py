"""Jobs that keep mirrors in step with their upstreams."""

from __future__ import annotations

from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.jobs import Lane, job
from antivenom.server.mirrors import queries, service, syncing


@job("mirror.sync", retries=0, lane=Lane.mirrors)
async def sync(resources: Resources, *, mirror_id: int, tries: int = 0) -> None:
    """Sync one mirror. A failure is stored on the mirror, and `mirror.sync_due` tries again.

    Args:
        tries: How often it found its upstream read by enough others.
    """
    await syncing.sync_mirror(resources, mirror_id, tries)


@job("mirror.fetch_artifacts", lane=Lane.artifacts)
async def fetch_artifacts(resources: Resources, *, mirror_id: int, tries: int = 0) -> None:
    """Store what an active mirror serves and does not hold yet, after a sync.

    Args:
        tries: How often some could not be fetched.
    """
    await syncing.fetch_ahead(resources, mirror_id, tries)


@job("mirror.sync_due", every_s=15)
async def sync_due(resources: Resources) -> None:
    """Queue a sync of every mirror that is due."""
    async with resources.context(SYSTEM) as ctx:
        for mirror in await queries.list_due(ctx.session, ctx.now):
            await service.defer_sync(ctx, mirror)
