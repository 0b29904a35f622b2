"""Jobs that keep findings in step with the feeds."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from enum import Enum
from typing import Any

from antivenom.server.advisories import queries as advisories
from antivenom.server.advisory_files.service import MAKE
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.jobs import Lane, job
from antivenom.server.findings.advisory_file import make_newest
from antivenom.server.findings.compiling import compile_newest
from antivenom.server.findings.service import request_compilation

LARGE_ADVISORIES = 1_000  # from here on compiling takes a while
QUIET = timedelta(seconds=5)  # without a feed for so long: whoever adds ten in a row starts one compilation
PATIENCE = timedelta(minutes=2)  # a feed that is read for longer keeps nobody waiting
POLL_S = 0.5


class Wait(Enum):
    """Whether to compile now, in a moment, or not at all (nothing is new, or another feed's end asks again)."""

    no = 0
    a_moment = 1
    ended = 2


@job(
    "findings.await_feeds",
    on=("feed.synced", "feed.failed", "feed.removed", "correction.applied", "correction.reverted"),
    every_s=60,
    retries=5,
    lock="findings.await_feeds",
    queueing_lock="findings.await_feeds",
    lane=Lane.knowledge,
)
async def await_feeds(resources: Resources, **_event: Any) -> None:
    """Have the newest knowledge compiled when the last of several feeds was read.

    While feeds are read it is left to the last of them, whose end starts this job again. A large knowledge is compiled
    when no feed has ended for a moment. Whoever asks for a match meanwhile does not wait for that (service.py).
    """
    while True:
        wait = await _wait_for_others(resources)
        if wait is Wait.no:
            async with resources.context(SYSTEM) as ctx:
                await request_compilation(ctx)
        if wait is not Wait.a_moment:
            return
        await asyncio.sleep(POLL_S)


async def _wait_for_others(resources: Resources) -> Wait:
    async with resources.context(SYSTEM) as ctx:
        pending = await advisories.oldest_pending_revision(ctx.session)
        if pending is None:
            return Wait.ended
        if ctx.now - pending.at > PATIENCE:
            return Wait.no
        if await advisories.is_syncing(ctx.session):
            return Wait.ended
        is_large = await advisories.count_advisories(ctx.session) >= LARGE_ADVISORIES
        has_just_ended = await advisories.has_synced_since(ctx.session, ctx.now - QUIET)
        return Wait.a_moment if is_large and has_just_ended else Wait.no


@job("findings.compile", retries=5, lane=Lane.knowledge)
async def compile_knowledge(resources: Resources) -> None:
    """Compile the match index of the newest knowledge; `advisory.changed` follows when there was something new."""
    await compile_newest(resources)


@job(
    MAKE,
    on=("advisory.changed",),
    every_s=60,
    retries=5,
    lock=MAKE,
    queueing_lock=MAKE,
    lane=Lane.knowledge,
)
async def make_advisory_file(resources: Resources, **_event: Any) -> None:
    """Make the advisory file of what was compiled, and the delta from the one before; nothing when that was done."""
    await make_newest(resources)
