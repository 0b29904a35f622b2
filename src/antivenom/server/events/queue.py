"""The job queue of a worker process: procrastinate over the same PostgreSQL, made from what the rooms declared."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from antivenom.core.errors import AntivenomError
from antivenom.server.context import Resources
from antivenom.server.events.jobs import DECLARED, EventNotice, JobDeclaration, Lane
from antivenom.server.events.progress import explain_failure

log = logging.getLogger("antivenom.jobs")
RETRY_MAX_S = 3600
HEARTBEAT_S = 5.0
STALLED_AFTER_S = 30.0
REQUEUE_EVERY_S = 10.0
FORGET_EVERY_S = 3600.0
KEEP_FINISHED_HOURS = 24 * 7
QUEUE_CONNECTIONS = 6
POLL_S = 1.0  # new jobs are announced; this finds the scheduled ones
AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)  # long ago by whatever clock
RUNNING_JOBS = """
    SELECT job.id, job.task_name, job.worker_id, worker.last_heartbeat
    FROM procrastinate_jobs job LEFT JOIN procrastinate_workers worker ON worker.id = job.worker_id
    WHERE job.status = 'doing'
"""
BRING_FORWARD = """
    UPDATE procrastinate_jobs SET scheduled_at = NULL
    WHERE status = 'todo' AND scheduled_at > now() + make_interval(secs => %(longest)s)
"""
Heartbeats = dict[int, tuple[datetime, float]]
"""Of each worker with jobs: its last heartbeat, and when we first saw that one by our monotonic clock."""
RELEASE_QUEUEING_LOCK = (
    "UPDATE procrastinate_jobs SET queueing_lock = NULL WHERE id = %(id)s AND queueing_lock IS NOT NULL"
)


class _Retry(BaseRetryStrategy):
    """Growing pauses, unless trying again cannot help; a job cut short by its worker's end starts again at once."""

    def __init__(self, retries: int) -> None:
        self._retries = retries

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if not isinstance(exception, Exception) or type(exception).__name__ == "JobAborted":
            return RetryDecision()
        if job.attempts >= self._retries or _is_final(exception):
            return None
        return RetryDecision(retry_in={"seconds": min(RETRY_MAX_S, 2 ** (job.attempts + 1))})


def _is_final(error: Exception) -> bool:
    return isinstance(error, AntivenomError) and (error.status < 500 or getattr(error, "permanent", False))


@asynccontextmanager
async def open_queue(resources: Resources) -> AsyncIterator[App]:
    """A procrastinate app that knows every declared job and hands each of them `resources`."""
    url = resources.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connector = PsycopgConnector(
        conninfo=url, min_size=1, max_size=QUEUE_CONNECTIONS, kwargs={"application_name": "antivenom jobs"}
    )
    app = App(connector=connector)
    for declared in DECLARED.values():
        _register(app, declared, resources)
    async with app.open_async():
        yield app


def _register(app: App, declared: JobDeclaration, resources: Resources) -> None:
    async def run(**arguments: Any) -> None:
        arguments.pop("timestamp", None)  # earlier releases gave it to periodic jobs, and one may still be queued
        if "event" in arguments:
            arguments["event"] = msgspec.convert(arguments["event"], EventNotice)
        await declared.function(resources, **arguments)

    app.task(name=declared.name, retry=_Retry(declared.retries))(run)


@dataclass(slots=True)
class OwnJobs:
    """What this process runs, by procrastinate's ids. `idle`: jobs that are said to run here and did not a look ago."""

    workers: set[int] = field(default_factory=set)
    running: set[int] = field(default_factory=set)
    idle: set[int] = field(default_factory=set)

    def find_left(self, jobs: Iterable[tuple[int, int | None]]) -> set[int]:
        """Of (job, worker) that are said to run, those of this process that did not run at this look nor the last one.

        Their end could not be written down, for the database was away: nobody else ends them, since we are alive.
        """
        idle = {job for job, worker in jobs if worker in self.workers and job not in self.running}
        left, self.idle = idle & self.idle, idle
        return left


async def keep_queue(app: App, own: OwnJobs) -> None:
    """Put back the jobs of workers that are gone, and forget finished ones, until cancelled.

    It takes no job slot: when every slot is busy, this is what frees the jobs of the dead.
    """
    forget_at = time.monotonic()
    heartbeats: Heartbeats = {}
    while True:
        try:
            await requeue_left(app, heartbeats, time.monotonic(), own=own)
            await bring_forward(app)
            if time.monotonic() >= forget_at:
                forget_at = time.monotonic() + FORGET_EVERY_S
                await app.job_manager.delete_old_jobs(
                    KEEP_FINISHED_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
                )
        except Exception as error:
            log.warning("the queue could not be looked after: %s", type(error).__name__)
        await asyncio.sleep(REQUEUE_EVERY_S)


async def requeue_left(
    app: App,
    heartbeats: Heartbeats,
    now_s: float,
    silent_for_s: float = STALLED_AFTER_S,
    own: OwnJobs | None = None,
) -> int:
    """Put back the jobs of workers whose heartbeat has stood still for so long, and our own that do not run.

    Returns how many there were.

    How long goes by our own monotonic clock, so `heartbeats` has to be kept from one call to the next: by the
    database's clock, which may jump, a worker at work may seem dead for a year, and a dead one alive until next year.
    """
    left = 0
    rows = await app.connector.execute_query_all_async(RUNNING_JOBS)
    ours = own.find_left((row["id"], row["worker_id"]) for row in rows) if own is not None else set()
    for row in rows:
        worker, beat = row["worker_id"], row["last_heartbeat"]
        if beat is not None and heartbeats.get(worker, (None, 0.0))[0] != beat:
            heartbeats[worker] = (beat, now_s)
        if row["id"] in ours or beat is None or now_s - heartbeats[worker][1] >= silent_for_s:
            whose = "unfinished" if row["id"] in ours else "by a worker that is gone"
            log.warning("job %s was left %s; it starts again", row["task_name"], whose)
            await app.connector.execute_query_async(RELEASE_QUEUEING_LOCK, id=row["id"])
            await app.job_manager.retry_job_by_id_async(row["id"], retry_at=AT_ONCE)
            left += 1
    for worker in heartbeats.keys() - {row["worker_id"] for row in rows}:
        del heartbeats[worker]
    return left


async def bring_forward(app: App) -> None:
    """Make due at once what is planned for later than any retry is: it was planned before the clock was set back."""
    await app.connector.execute_query_async(BRING_FORWARD, longest=2 * RETRY_MAX_S)


Watch = Callable[[str, BaseException], None]


async def run_lanes(app: App, own: OwnJobs, *, jobs_at_once: int, patience_s: float) -> None:
    """Run the jobs of every lane, so many of each at a time, until cancelled or until one lane ends by itself."""
    lanes = [
        asyncio.create_task(
            run_worker(app, jobs_at_once=jobs_at_once, wait=True, patience_s=patience_s, queues=[lane.value], own=own)
        )
        for lane in Lane
    ]
    try:
        await asyncio.wait(lanes, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in lanes:
            task.cancel()
        ends = await asyncio.gather(*lanes, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def run_worker(
    app: App,
    *,
    jobs_at_once: int,
    wait: bool,
    patience_s: float,
    queues: list[str] | None = None,
    on_failure: Watch | None = None,
    own: OwnJobs | None = None,
) -> None:
    """Run jobs of some queues (None: all) until cancelled, or with `wait` off until none is due.

    Running ones get `patience_s` to end.
    """

    ours = own or OwnJobs()

    async def report(call: Callable[[], Awaitable[Any]], context: JobContext, worker: Any) -> Any:
        ours.workers.add(worker.worker_id)
        assert context.job.id is not None  # noqa: S101  # it comes from the database
        ours.running.add(context.job.id)
        try:
            return await run(call, context)
        finally:
            ours.running.discard(context.job.id)

    async def run(call: Callable[[], Awaitable[Any]], context: JobContext) -> Any:
        # A running job gives its queueing lock back: else its return to the queue for another try would collide with a
        # job queued since, and it would stay "doing" for ever.
        await app.connector.execute_query_async(RELEASE_QUEUEING_LOCK, id=context.job.id)
        try:
            return await call()
        except Exception as error:
            explained = explain_failure(error)  # logs what is none of ours with its trace, once
            log.warning("job %s (attempt %d) failed: %s", context.job.task_name, context.job.attempts + 1, explained)
            if on_failure is not None:
                on_failure(context.job.task_name, error)
            raise

    await app.run_worker_async(
        queues=queues,  # type: ignore[arg-type]  # None means all queues, as its own signature says elsewhere
        concurrency=jobs_at_once,
        wait=wait,
        name="antivenom",
        listen_notify=wait,
        fetch_job_polling_interval=POLL_S,
        shutdown_graceful_timeout=patience_s,
        install_signal_handlers=False,
        update_heartbeat_interval=HEARTBEAT_S,
        stalled_worker_timeout=STALLED_AFTER_S,
        worker_middleware=[report],
    )
