"""Jobs that republish channels when knowledge, settings, build statements or time change a verdict, and clean up."""

from __future__ import annotations

from typing import Any

from antivenom.server.channels.queries import find_channel
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.jobs import EventNotice, Lane, job
from antivenom.server.publications import queries, reconcile, retention
from antivenom.server.publications.publish_channel import defer_republish


@job("publication.republish")
async def republish(resources: Resources, *, channel_id: int, cause: str) -> None:
    """Publish a channel from the sources of its newest publication; `publication.reconcile` tries again if it fails."""
    await reconcile.republish(resources, channel_id, cause=cause)


@job("publication.republish_all", on=("advisory.changed",))
async def republish_all(resources: Resources, **_event: Any) -> None:
    """Republish every published channel after our knowledge changed. Only what changed is rewritten."""
    async with resources.context(SYSTEM) as ctx:
        for channel in await queries.published_channels(ctx.session):
            await defer_republish(ctx, channel.id, cause="advisories")


@job("publication.take_closure", on=("channel.closure_changed",))
async def republish_for_closure(resources: Resources, *, event: EventNotice) -> None:
    """Republish a channel after its closure setting changed."""
    await _republish_subject(resources, event, cause="policy")


async def _republish_subject(resources: Resources, event: EventNotice, *, cause: str) -> None:
    async with resources.context(SYSTEM) as ctx:
        channel = await find_channel(ctx.session, event.subject.removeprefix("channel:"))
        if channel is not None:
            await defer_republish(ctx, channel.id, cause=cause)


@job("publication.take_trust", on=("channel.build_statements_changed",))
async def republish_for_trust(resources: Resources, *, event: EventNotice) -> None:
    """Republish a channel after its trust in build statements changed."""
    await _republish_subject(resources, event, cause="curation")


@job("publication.take_curation", on=("curation.found",))
async def republish_for_build_statements(resources: Resources, **_event: Any) -> None:
    """Republish the channels that trust build statements after an artifact stated something: any may list it."""
    async with resources.context(SYSTEM) as ctx:
        for channel in await queries.published_channels(ctx.session):
            if channel.trust_build_statements:
                await defer_republish(ctx, channel.id, cause="curation")


@job("publication.reconcile", every_s=15)
async def reconcile_channels(resources: Resources) -> None:
    """Queue a republish of every channel that does not serve what it should."""
    async with resources.context(SYSTEM) as ctx:
        await reconcile.reconcile(ctx)


@job("publication.collect", every_s=3600, lane=Lane.upkeep)
async def retire(resources: Resources) -> None:
    """Retire the long superseded publications of every channel."""
    async with resources.context(SYSTEM) as ctx:
        channels = [channel.id for channel in await queries.published_channels(ctx.session)]
    for channel_id in channels:
        await retire_channel(resources, channel_id=channel_id)


@job("publication.collect_channel", retries=5, lane=Lane.upkeep)
async def retire_channel(resources: Resources, *, channel_id: int) -> None:
    """Retire the long superseded publications of a channel. Earlier releases queue it, by this name."""
    async with resources.context(SYSTEM) as ctx:
        await retention.retire_publications(ctx, channel_id)
