"""Jobs: work that happens after the transaction that asked for it, in a worker, again if it fails.

A room declares jobs with `@job`; events and services defer them inside their own transaction, so a job exists exactly
if its cause was committed. A job may run twice (its worker died after the work): make it idempotent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, TypeVar

import msgspec
from procrastinate import PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Job
from procrastinate.manager import JobManager

from antivenom.server.context import Context

JobFunction = Callable[..., Awaitable[None]]
F = TypeVar("F", bound=JobFunction)


class Lane(Enum):
    """A queue with job slots of its own: work that waits for others never takes the slots of work that does not.

    The values are stored with the jobs. Earlier releases had `default` alone.
    """

    publishing = "default"
    """Publishes channels, and looks for what is due. None of it reads an upstream."""
    mirrors = "mirrors"
    """Reads upstreams' indexes."""
    artifacts = "artifacts"
    """Reads upstreams' artifacts ahead of requests, which may take days."""
    feeds = "feeds"
    """Reads feeds."""
    knowledge = "knowledge"
    """Compiles what feeds say."""
    upkeep = "upkeep"
    """Looks after what is stored."""


class EventNotice(msgspec.Struct, frozen=True):
    """What jobs and other processes learn of an event; the audit trail has its data.

    In the queue and in notifications it is JSON with these keys. Earlier releases queued the event's data beside them.
    """

    kind: str
    subject: str
    id: int = 0
    """0 in a notification."""


@dataclass(frozen=True, slots=True)
class JobDeclaration:
    """What `@job` declares."""

    name: str
    function: JobFunction
    on: tuple[str, ...]
    every_s: int | None
    retries: int
    lock: str | None
    queueing_lock: str | None
    lane: Lane


DECLARED: dict[str, JobDeclaration] = {}
# Never opened: deferring goes over the connection of the caller's transaction.
_manager = JobManager(PsycopgConnector())


def job(
    name: str,
    *,
    on: tuple[str, ...] = (),
    every_s: int | None = None,
    retries: int = 0,
    lock: str | None = None,
    queueing_lock: str | None = None,
    lane: Lane = Lane.publishing,
) -> Callable[[F], F]:
    """Declare `async def function(resources, **arguments)` as the job `name` ("room.verb").

    Args:
        on: Kinds of events that start it; it then gets `event=`, an EventNotice.
        every_s: Start it this often (whole minutes, or a divisor of 60 seconds), once for all workers together.
        retries: How often it is tried again after a failure, with growing pauses (2 s, 4 s, 8 s, … up to an hour).
        lock: Jobs of one lock run one after another. Default for jobs started by `every_s`: the job's name.
        queueing_lock: At most one job of it waits; a second is dropped. The same default.
        lane: Whose slots it takes. What waits for somebody else's server never takes those of publishing.
    """

    def declare(function: F) -> F:
        known = DECLARED.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise ValueError(f"job {name!r} is declared twice")
        DECLARED[name] = JobDeclaration(name, function, on, every_s, retries, lock, queueing_lock, lane)
        return function

    return declare


def subscribers(kind: str) -> list[JobDeclaration]:
    """The jobs that listen to a kind of event."""
    return [declared for declared in DECLARED.values() if kind in declared.on]


async def defer(
    ctx: Context,
    name: str,
    *,
    lock: str | None = None,
    queueing_lock: str | None = None,
    after: timedelta | None = None,
    **arguments: Any,
) -> bool:
    """Queue a job, as part of the context's transaction; it starts at once, or `after` so long.

    Returns:
        False when a job of the same `queueing_lock` waits already: nothing was added, and nothing needs to be.
    """
    request = Job(
        id=None,
        queue=(DECLARED[name].lane if name in DECLARED else Lane.publishing).value,
        lock=lock,
        queueing_lock=queueing_lock,
        task_name=name,
        task_kwargs=arguments,
        scheduled_at=ctx.now + after if after else None,
    )
    try:
        # A savepoint: the unique violation behind AlreadyEnqueued would spoil the whole transaction.
        async with ctx.session.begin_nested():
            connection = await (await ctx.session.connection()).get_raw_connection()
            await _manager.defer_job_async(request, connection=connection.driver_connection)
    except AlreadyEnqueued:
        return False
    return True
