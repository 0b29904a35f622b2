"""The worker's life: it goes on until somebody stops it, whatever its database does."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from antivenom.core.errors import UnavailableError
from antivenom.server import worker


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RESTART_FIRST_S", 0.001)
    monkeypatch.setattr(worker, "RESTART_LONGEST_S", 0.002)


async def test_worker_outlives_every_end_of_its_queue_and_of_its_database(monkeypatch: pytest.MonkeyPatch):
    """The queue ends by itself, then breaks, then the database does not answer for longer than anybody waits."""
    ends: list[Any] = [None, ConnectionError("gone"), UnavailableError("the database does not answer"), None]
    runs = 0

    async def run(stop: asyncio.Event, *_: Any, **__: Any) -> None:
        nonlocal runs
        runs += 1
        if not ends:
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
            return
        if (end := ends.pop(0)) is not None:
            raise end

    async def database_is_there(_: Any) -> None: ...

    monkeypatch.setattr(worker, "_run_until", run)
    monkeypatch.setattr(worker, "wait_for_database", database_is_there)
    await worker.run_jobs_forever(None)  # type: ignore[arg-type]
    assert runs == 5
