"""Compares what each channel should serve with what it does, and publishes until they are equal, for ever.

A change (a policy, our knowledge, a setting, an ended cooldown) is noted on the channel in the transaction that accepts
it. A republish that fails notes why and when the next is due; a job that is lost altogether is missed here. So a full
disk, a dead worker or a lost database delay a change, and nothing drops it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from antivenom.server.channels.queries import find_channel_by_id
from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.events.progress import explain_failure, in_one_line
from antivenom.server.events.service import record
from antivenom.server.findings import service as findings
from antivenom.server.publications import queries
from antivenom.server.publications.publish_channel import defer_republish, publish_channel, queue_republish

RETRY_FIRST_S: Final = 5
RETRY_LONGEST_S: Final = 300


def retry_after_s(failures: int) -> int:
    """5 s after the first failure, twice as long after each further one, five minutes at most."""
    return min(RETRY_LONGEST_S, RETRY_FIRST_S << min(max(failures, 1) - 1, 20))


async def republish(resources: Resources, channel_id: int, *, cause: str) -> None:
    """Publish a channel from its newest sources; a failure is noted on the channel, then raised.

    Raises:
        AntivenomError: It could not be published; `reconcile` tries again.
    """
    try:
        await publish_channel(resources, channel_id, cause=cause)
    except Exception as error:
        explained = explain_failure(error)
        async with resources.context(SYSTEM) as ctx:
            await _note_failure(ctx, channel_id, in_one_line(explained))
        raise explained from error


async def _note_failure(ctx: Context, channel_id: int, reason: str) -> None:
    channel = await find_channel_by_id(ctx.session, channel_id, lock=True)
    if channel is None:
        return
    channel.publish_failures += 1
    channel.publish_error = reason
    channel.publish_retry_at = ctx.now + timedelta(seconds=retry_after_s(channel.publish_failures))
    channel.behind_since = channel.behind_since or ctx.now
    if channel.applied >= channel.wanted:  # asked for by nobody: found by `reconcile`
        channel.wanted = channel.applied + 1
    if channel.publish_failures == 1:
        await record(ctx, "publication.failed", subject=f"channel:{channel.name}", error=reason)


async def reconcile(ctx: Context) -> int:
    """Queue a republish of every channel that does not serve what it should; how many there are.

    Channels whose last republish failed wait until their next try is due.
    """
    knowledge = await findings.current_knowledge(ctx)
    differing = await queries.list_differing_channels(ctx.session, knowledge.revision, ctx.now)
    for channel_id, cause in differing:
        await defer_republish(ctx, channel_id, cause=cause)
    behind = await queries.list_behind_channels(ctx.session, ctx.now)
    for channel_id in behind:
        await queue_republish(ctx, channel_id, cause="reconcile")
    return len({*behind, *(channel_id for channel_id, _ in differing)})
