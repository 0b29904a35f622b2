"""The worker process: runs the jobs that rooms declared, for as long as nobody stops it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import signal
import time
from pathlib import Path

from antivenom.core.errors import UnavailableError
from antivenom.server import rooms
from antivenom.server.advisories.built_in import announce_built_in
from antivenom.server.context import Resources
from antivenom.server.events.progress import explain_failure
from antivenom.server.events.queue import OwnJobs, keep_queue, open_queue, requeue_left, run_lanes
from antivenom.server.events.ticks import keep_ticking
from antivenom.server.readiness import wait_for_database

log = logging.getLogger("antivenom.worker")
STOP_PATIENCE_S = 1.5
RESTART_FIRST_S = 0.2
RESTART_LONGEST_S = 15.0
STEADY_AFTER_S = 60.0  # a run of that length was no false start
DEMO_WANTED = "demo-wanted"  # a file in the home: written at the first start, removed once the demo is there


async def run_jobs_forever(resources: Resources, *, is_only_worker: bool = False) -> None:
    """Run jobs until SIGTERM or SIGINT; a database that goes away is waited for, however long.

    `is_only_worker` says that no other can be alive: what is marked as running was cut short and starts again now.
    """
    list(rooms.load("jobs"))
    stop = _listen_for_stop()
    pause_s = RESTART_FIRST_S
    while not stop.is_set():
        started = time.monotonic()
        try:
            await wait_for_database(resources)
            await _run_until(stop, resources, is_only_worker=is_only_worker)
        except UnavailableError as error:
            log.warning("%s; waiting on", error.message)
        except Exception as error:
            log.warning("the job queue broke off: %s", explain_failure(error).message)
        if not stop.is_set():
            pause_s = RESTART_FIRST_S if time.monotonic() - started > STEADY_AFTER_S else pause_s
            log.warning("the job queue ended by itself; it starts again in %.1f s", pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
            pause_s = min(RESTART_LONGEST_S, pause_s * 2)


def _listen_for_stop() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _run_until(stop: asyncio.Event, resources: Resources, *, is_only_worker: bool) -> None:
    """Run jobs until `stop`, or until the queue ends by itself (its database went away)."""
    async with open_queue(resources) as app:
        if is_only_worker:
            await requeue_left(app, {}, time.monotonic(), silent_for_s=0)
        await announce_built_in(resources)
        await _start_demo(resources)
        log.info("ready for jobs")
        own = OwnJobs()
        work = asyncio.create_task(
            run_lanes(app, own, jobs_at_once=resources.settings.worker_jobs, patience_s=STOP_PATIENCE_S)
        )
        others = [asyncio.create_task(part) for part in (stop.wait(), keep_ticking(resources), keep_queue(app, own))]
        try:
            await asyncio.wait([work, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*others, work):
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            with contextlib.suppress(asyncio.CancelledError):
                await work


async def _start_demo(resources: Resources) -> None:
    """Fill a new home with the demo; once, and never at the cost of the start."""
    if not _is_demo_wanted(resources.settings.home) or importlib.util.find_spec("antivenom.server.demo") is None:
        return
    from antivenom.server import demo

    try:
        await demo.start(resources)
    except Exception:
        log.exception("the demo could not be set up; the server works without it")
    forget_demo(resources.settings.home)


def _is_demo_wanted(home: Path) -> bool:
    return (home / DEMO_WANTED).exists()


def forget_demo(home: Path) -> None:
    (home / DEMO_WANTED).unlink(missing_ok=True)
