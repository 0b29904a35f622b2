"""Periodic jobs: once for all workers, by the database's clock, however it jumps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.server.context import LOCAL, Resources
from antivenom.server.events import jobs, ticks
from antivenom.server.events.jobs import job
from antivenom.server.events.ticks import defer_due_jobs, keep_ticking


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "DECLARED", {})
    monkeypatch.setattr(ticks, "DECLARED", jobs.DECLARED)

    @job("test.minutely", every_s=60)
    async def minutely(resources: Resources) -> None: ...

    @job("test.hourly", every_s=3600)
    async def hourly(resources: Resources) -> None: ...

    @job("test.asked")
    async def asked(resources: Resources) -> None: ...


async def look(resources: Resources) -> list[str]:
    async with resources.context(LOCAL) as ctx:
        return await defer_due_jobs(ctx)


async def move(resources: Resources, interval: str) -> None:
    """As if the database's clock had been moved by `interval` since the last look."""
    async with resources.context(LOCAL) as ctx:
        await ctx.session.execute(text(f"UPDATE periodic_tick SET at = at - interval '{interval}'"))
        await ctx.session.execute(text("DELETE FROM procrastinate_jobs"))


async def queued(resources: Resources) -> list[str]:
    async with resources.context(LOCAL) as ctx:
        return list(await ctx.session.scalars(text("SELECT task_name FROM procrastinate_jobs ORDER BY task_name")))


async def test_periodic_job_is_deferred_at_once_and_then_after_each_interval(resources, declared):
    assert await look(resources) == ["test.hourly", "test.minutely"]
    assert await queued(resources) == ["test.hourly", "test.minutely"]
    assert await look(resources) == []
    await move(resources, "61 seconds")
    assert await look(resources) == ["test.minutely"]


@pytest.mark.parametrize("interval", ["1 day", "1 year"])
async def test_missed_ticks_fold_into_one(resources, declared, interval: str):
    await look(resources)
    await move(resources, interval)
    assert await look(resources) == ["test.hourly", "test.minutely"]
    assert await queued(resources) == ["test.hourly", "test.minutely"]
    assert await look(resources) == []


@pytest.mark.parametrize("interval", ["-1 day", "-1 year"])
async def test_clock_that_was_set_back_stops_nothing(resources, declared, interval: str):
    await look(resources)
    await move(resources, interval)
    assert await look(resources) == ["test.hourly", "test.minutely"]
    assert await look(resources) == []


async def test_several_workers_defer_a_job_once(resources, declared):
    found = await asyncio.gather(*(look(resources) for _ in range(6)))
    assert sorted(name for names in found for name in names) == ["test.hourly", "test.minutely"]


async def test_ticking_survives_a_database_that_goes_away(resources, declared, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    ticked = asyncio.Event()

    async def fail_twice(ctx: Any) -> list[str]:
        calls.append("look")
        if len(calls) <= 2:
            raise ConnectionError("the database is away")
        ticked.set()
        return []

    monkeypatch.setattr(ticks, "defer_due_jobs", fail_twice)
    monkeypatch.setattr(ticks, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(ticks, "RETRY_LONGEST_S", 0.002)
    task = asyncio.create_task(keep_ticking(resources))
    await ticked.wait()
    task.cancel()
    assert len(calls) >= 3
