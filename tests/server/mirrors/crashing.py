"""Runs syncs in processes of their own and kills each (SIGKILL) at a chosen step.

Steps are what lasts: every blob written and every transaction committed; a step that never comes means exit code 0. The
server's settings are in the environment. One process imports everything and forks for each sync: that is fast.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from antivenom.server.adapters.blobs import FolderStore
from antivenom.server.context import Actor, Context, Resources, open_resources
from antivenom.server.mirrors.syncing import sync_mirror
from antivenom.server.settings import load_settings


class Countdown:
    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class InlineCpu:
    """Heavy work in this very process, so that it dies with it."""

    async def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        on_progress: Any = None,
        cpu_s: float | None = None,
        **options: Any,
    ) -> Any:
        if on_progress is not None:
            options["on_progress"] = on_progress
        return function(*args, **options)

    async def close(self) -> None:
        pass


def crash_at(countdown: Countdown) -> None:
    put, context = FolderStore.put_sync, Resources.context

    def counted_put(self: FolderStore, key: str, data: bytes) -> None:
        countdown.step()
        put(self, key, data)
        countdown.step()

    @asynccontextmanager
    async def counted_context(self: Resources, actor: Actor) -> AsyncIterator[Context]:
        async with context(self, actor) as ctx:
            yield ctx
            countdown.step()
        countdown.step()

    FolderStore.put_sync = counted_put  # type: ignore[method-assign]
    Resources.context = counted_context  # type: ignore[method-assign,assignment]


async def sync_until(mirror_id: int, steps: int) -> None:
    crash_at(Countdown(steps))
    async with open_resources(load_settings(os.environ)) as resources:
        resources.cpu = resources.publishing_cpu = resources.archives = InlineCpu()  # type: ignore[assignment]
        await sync_mirror(resources, mirror_id)


def main() -> None:
    """Each line of input is "MIRROR_ID STEP"; the answer is the exit code of a forked child that ran the sync."""
    for line in sys.stdin:
        mirror_id, step = map(int, line.split())
        child = os.fork()
        if child == 0:
            asyncio.run(sync_until(mirror_id, step))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
