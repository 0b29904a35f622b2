"""The worker process: runs the jobs that rooms declared."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

from antivenom.server import rooms
from antivenom.server.context import Resources
from antivenom.server.events.queue import open_queue, requeue_stalled, run_worker

log = logging.getLogger("antivenom.worker")
STOP_PATIENCE_S = 1.5
DEMO_WANTED = "demo-wanted"  # a file in the home: written at the first start, removed once the demo is there


async def run_jobs_forever(resources: Resources, *, is_only_worker: bool = False) -> None:
    """Run jobs until SIGTERM or SIGINT.

    `is_only_worker` says that no other can be alive: what is marked as running was cut short and starts again now.
    """
    list(rooms.load("jobs"))
    async with open_queue(resources) as app:
        if is_only_worker:
            await requeue_stalled(app, silent_for_s=0)
        await _start_demo(resources)
        log.info("ready for jobs")
        await run_worker(
            app,
            jobs_at_once=resources.settings.worker_jobs,
            wait=True,
            patience_s=STOP_PATIENCE_S,
            install_signal_handlers=True,
        )


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
