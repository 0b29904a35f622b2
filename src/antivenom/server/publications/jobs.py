"""Jobs that publish anew when a policy, our knowledge, an exception or the clock changed something."""

from __future__ import annotations

from typing import Any

from antivenom.server.channels.queries import find_channel
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.jobs import EventNotice, defer, job
from antivenom.server.publications import publishing, queries, retention


@job("publication.republish", retries=5)
async def republish(resources: Resources, *, channel_id: int, cause: str) -> None:
    """Publish a channel anew from the sources of its newest publication."""
    await publishing.publish_channel(resources, channel_id, cause=cause)


@job("publication.republish_all", on=("advisory.changed",))
async def republish_all(resources: Resources, **_event: Any) -> None:
    """Our knowledge changed: every published channel is judged anew (only what changed is rewritten)."""
    async with resources.context(SYSTEM) as ctx:
        for channel in await queries.published_channels(ctx.session):
            await publishing.defer_republish(ctx, channel.id, cause="advisories")


@job("publication.take_closure", on=("channel.closure_changed",))
async def take_closure(resources: Resources, *, event: EventNotice) -> None:
    """Whether a channel withholds what needs something withheld was changed: it is judged anew."""
    await _republish_subject(resources, event, cause="policy")


async def _republish_subject(resources: Resources, event: EventNotice, *, cause: str) -> None:
    async with resources.context(SYSTEM) as ctx:
        channel = await find_channel(ctx.session, event.subject.removeprefix("channel:"))
        if channel is not None:
            await publishing.defer_republish(ctx, channel.id, cause=cause)


@job("publication.take_curation", on=("curation.found",))
async def take_build_statements(resources: Resources, *, event: EventNotice) -> None:
    """Judge a channel anew when one of its artifacts states something about its own vulnerabilities."""
    await _republish_subject(resources, event, cause="curation")


@job("publication.expire_due", every_s=30)
async def expire_due(resources: Resources) -> None:
    """A cooldown or an exception ran out: the verdicts that held until now are made anew."""
    async with resources.context(SYSTEM) as ctx:
        for channel in await queries.channels_expired(ctx.session, ctx.now):
            await publishing.defer_republish(ctx, channel.id, cause="time")


@job("publication.collect", every_s=3600)
async def collect(resources: Resources) -> None:
    """Have each channel's long superseded publications thrown away, under the channel's lock."""
    async with resources.context(SYSTEM) as ctx:
        for channel in await queries.published_channels(ctx.session):
            lock = f"channel:{channel.id}"
            await defer(
                ctx,
                "publication.collect_channel",
                lock=lock,
                queueing_lock=f"collect:{channel.id}",
                channel_id=channel.id,
            )


@job("publication.collect_channel")
async def collect_channel(resources: Resources, *, channel_id: int) -> None:
    """Throw away blobs that only long superseded publications of one channel name."""
    await retention.collect_channel(resources, channel_id)
