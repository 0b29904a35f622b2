"""Periodic jobs: deferred when they are due by the database's clock, once for all workers together.

A row remembers when each was last due. Whoever finds it a whole interval ago moves it to now and defers the job, in one
transaction: so missed ticks fold into one however long nobody looked, and a clock that was set back is noticed, for
then the row lies in the future. How long a worker waits between two looks goes by the monotonic clock.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy import text

from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.events.jobs import DECLARED, defer

log = logging.getLogger("antivenom.jobs")
LOOK_EVERY_S: Final = 1.0
RETRY_LONGEST_S: Final = 15.0

# A minute's tolerance: a row that another worker wrote a moment ago lies a little in the future of a slow transaction.
_TAKE_DUE = text(
    """
    INSERT INTO periodic_tick (job, every_s, at)
    SELECT job, every_s, now() FROM unnest(CAST(:jobs AS text[]), CAST(:intervals AS int[])) AS due (job, every_s)
    ON CONFLICT (job) DO UPDATE SET at = excluded.at, every_s = excluded.every_s
    WHERE periodic_tick.at <= excluded.at - make_interval(secs => excluded.every_s)
       OR periodic_tick.at > excluded.at + interval '1 minute'
    RETURNING job
    """
)


async def defer_due_jobs(ctx: Context) -> list[str]:
    """Defer every periodic job that is due, as part of the context's transaction; their names, in order."""
    periodic = {name: declared for name, declared in sorted(DECLARED.items()) if declared.every_s is not None}
    intervals = [declared.every_s for declared in periodic.values()]
    rows = await ctx.session.scalars(_TAKE_DUE, {"jobs": list(periodic), "intervals": intervals})
    due = sorted(rows)
    for name in due:
        declared = periodic[name]
        await defer(ctx, name, lock=declared.lock or name, queueing_lock=declared.queueing_lock or name)
    return due


async def keep_ticking(resources: Resources) -> None:
    """Look for due jobs until cancelled; a database that is away is waited for."""
    pause_s = LOOK_EVERY_S
    while True:
        try:
            async with resources.context(SYSTEM) as ctx:
                await defer_due_jobs(ctx)
            pause_s = LOOK_EVERY_S
        except Exception as error:
            pause_s = min(RETRY_LONGEST_S, pause_s * 2)
            log.warning("periodic jobs could not be looked for (%s); again in %.0f s", type(error).__name__, pause_s)
        await asyncio.sleep(pause_s)
