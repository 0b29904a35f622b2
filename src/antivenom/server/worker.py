"""The worker process: runs the jobs that rooms declared."""

from __future__ import annotations

import importlib.util
import logging

from antivenom.server import rooms
from antivenom.server.context import Resources
from antivenom.server.events.queue import open_queue, requeue_stalled, run_worker
from antivenom.server.home import DEMO_WANTED

log = logging.getLogger("antivenom.worker")
STOP_PATIENCE_S = 1.5


async def run_jobs_forever(resources: Resources, *, is_only_worker: bool = False) -> None:
    """Run jobs until SIGTERM or SIGINT.

    `is_only_worker` says that no other can be alive: jobs marked as running were cut short, and start again now.
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
    """Set up the demo in a new home, once. A failure is logged and does not stop the start."""
    wanted = resources.settings.home / DEMO_WANTED
    if not wanted.exists() or importlib.util.find_spec("antivenom.server.demo") is None:
        return
    from antivenom.server import demo

    try:
        await demo.start(resources)
    except Exception:
        log.exception("the demo could not be set up; the server works without it")
    wanted.unlink(missing_ok=True)
