"""Recording what happened: the audit row, the jobs that listen, and the notice to processes, in one transaction."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import func, select

from antivenom.server.context import Context
from antivenom.server.events.jobs import defer, subscribers
from antivenom.server.events.models import Event

NOTIFY_CHANNEL = "antivenom"
NOTIFY_BYTES_MAX = 7900  # PostgreSQL takes payloads shorter than 8000 bytes


async def record(ctx: Context, kind: str, *, subject: str, **data: Any) -> Event:
    """Add one event to the audit trail and defer every job that is declared `on=` its kind.

    Jobs get an EventNotice as `event`; processes that LISTEN to `antivenom` get one when the transaction commits.
    `data` must be JSON and hold no secret.
    """
    event = Event(at=ctx.now, actor=ctx.actor.label, kind=kind, subject=subject, data=data)
    ctx.session.add(event)
    await ctx.session.flush()
    for job in subscribers(kind):
        await defer(
            ctx,
            job.name,
            lock=job.lock,
            queueing_lock=job.queueing_lock,
            event={"id": event.id, "kind": kind, "subject": subject},
        )
    payload = json.dumps({"kind": kind, "subject": subject[: NOTIFY_BYTES_MAX // 8]})
    await ctx.session.execute(select(func.pg_notify(NOTIFY_CHANNEL, payload)))
    return event
