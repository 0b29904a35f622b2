"""Jobs that keep findings in step with what feeds brought."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from antivenom.server.advisories import queries as advisories
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.jobs import job
from antivenom.server.findings.compiling import compile_newest

LARGE_ADVISORIES = 1_000  # from here on compiling takes a while
PAUSE_S = 3.0  # then another feed may come first: whoever adds ten in a row starts one compilation
PATIENCE = timedelta(minutes=2)  # a feed that is read for longer keeps nobody waiting


@job(
    "findings.compile",
    on=("feed.synced", "feed.failed", "feed.removed"),
    every_s=60,
    retries=5,
    lock="findings.compile",
    queueing_lock="findings.compile",
)
async def compile_knowledge(resources: Resources, **_event: Any) -> None:
    """Compile the match index of the newest knowledge; `advisory.changed` follows when there was something new.

    While feeds are read it waits for the last of them, whose end starts this job again.
    """
    async with resources.context(SYSTEM) as ctx:
        if await advisories.oldest_pending_revision(ctx.session) is None:
            return
        is_large = await advisories.count_advisories(ctx.session) >= LARGE_ADVISORIES
    await asyncio.sleep(PAUSE_S if is_large else 0)
    if not await _is_another_coming(resources):
        await compile_newest(resources)


async def _is_another_coming(resources: Resources) -> bool:
    async with resources.context(SYSTEM) as ctx:
        pending = await advisories.oldest_pending_revision(ctx.session)
        is_fresh = pending is not None and ctx.now - pending.at < PATIENCE
        return is_fresh and await advisories.is_syncing(ctx.session)
