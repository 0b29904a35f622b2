"""Jobs and events: deferred with their cause, run once, tried again, never lost."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from antivenom.core.errors import UpstreamError
from antivenom.server.context import LOCAL, Resources
from antivenom.server.events import jobs
from antivenom.server.events.jobs import EventNotice, defer, job
from antivenom.server.events.queue import STALLED_AFTER_S, OwnJobs, bring_forward, open_queue, requeue_left, run_worker
from antivenom.server.events.service import record


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Jobs of this test alone; what they were called with."""
    monkeypatch.setattr(jobs, "DECLARED", {})
    monkeypatch.setattr("antivenom.server.events.queue.DECLARED", jobs.DECLARED)
    monkeypatch.setattr("antivenom.server.rooms.load", lambda part: iter(()))
    calls: list[dict[str, Any]] = []

    @job("test.listen", on=("thing.happened",))
    async def listen(resources: Resources, **arguments: Any) -> None:
        calls.append({"job": "listen", **arguments})

    @job("test.run", retries=2)
    async def run(resources: Resources, **arguments: Any) -> None:
        calls.append({"job": "run", **arguments})
        if arguments.get("fail"):
            raise UpstreamError("not now", permanent=arguments["fail"] == "for good")

    return calls


async def states(resources: Resources) -> list[str]:
    async with resources.context(LOCAL) as ctx:
        return list(await ctx.session.scalars(text("SELECT status::text FROM procrastinate_jobs ORDER BY id")))


async def test_event_runs_the_jobs_that_listen_to_its_kind(resources, declared, run_jobs):
    async with resources.context(LOCAL) as ctx:
        event = await record(ctx, "thing.happened", subject="thing:1", color="red")
        await record(ctx, "thing.else", subject="thing:1")
    await run_jobs(resources)
    assert declared == [{"job": "listen", "event": EventNotice("thing.happened", "thing:1", event.id)}]


async def test_event_that_an_earlier_release_queued_is_read(resources, declared, run_jobs):
    """It had the event's data beside its kind and subject."""
    async with resources.context(LOCAL) as ctx:
        await defer(ctx, "test.listen", event={"id": 7, "kind": "thing.happened", "subject": "thing:1", "color": "red"})
    await run_jobs(resources)
    assert declared == [{"job": "listen", "event": EventNotice("thing.happened", "thing:1", 7)}]


async def test_rolled_back_transaction_leaves_neither_event_nor_job(resources, declared, run_jobs):
    with pytest.raises(RuntimeError):
        async with resources.context(LOCAL) as ctx:
            await record(ctx, "thing.happened", subject="thing:1")
            await defer(ctx, "test.run", number=1)
            raise RuntimeError
    await run_jobs(resources)
    assert declared == []
    async with resources.context(LOCAL) as ctx:
        assert await ctx.session.scalar(text("SELECT count(*) FROM event")) == 0


async def test_second_job_of_a_queueing_lock_is_dropped_and_the_transaction_goes_on(resources, declared, run_jobs):
    async with resources.context(LOCAL) as ctx:
        assert await defer(ctx, "test.run", queueing_lock="one", number=1)
        assert not await defer(ctx, "test.run", queueing_lock="one", number=2)
        assert await defer(ctx, "test.run", queueing_lock="two", number=3)
    await run_jobs(resources)
    assert [call["number"] for call in declared] == [1, 3]


async def test_failed_job_waits_for_another_try(resources, declared, run_jobs):
    async with resources.context(LOCAL) as ctx:
        await defer(ctx, "test.run", fail="for now")
    failures = await run_jobs(resources)
    assert [str(error) for _, error in failures] == ["not now"]
    assert await states(resources) == ["todo"]


async def test_failure_that_is_final_is_not_tried_again(resources, declared, run_jobs):
    async with resources.context(LOCAL) as ctx:
        await defer(ctx, "test.run", fail="for good")
    await run_jobs(resources)
    assert await states(resources) == ["failed"]


async def test_retry_does_not_collide_with_a_job_asked_for_meanwhile(resources, declared, run_jobs):
    async with resources.context(LOCAL) as ctx:
        await defer(ctx, "test.run", queueing_lock="one", fail="for now")
    await run_jobs(resources)
    async with resources.context(LOCAL) as ctx:
        assert await defer(ctx, "test.run", queueing_lock="one", number=2), (
            "a waiting retry must not swallow a new request"
        )
    await run_jobs(resources)
    assert await states(resources) == ["todo", "succeeded"]


async def test_job_of_a_dead_worker_starts_again(resources, declared, run_jobs):
    async with resources.context(LOCAL) as ctx:
        await defer(ctx, "test.run", number=1)
        await ctx.session.execute(text("UPDATE procrastinate_jobs SET status = 'doing'"))
    await run_jobs(resources)
    assert declared == []
    async with open_queue(resources) as app:
        assert await requeue_left(app, {}, 0.0) == 1
    await run_jobs(resources)
    assert [call["number"] for call in declared] == [1]


NEW_WORKER = "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + CAST(:ahead AS interval)) RETURNING id"


@pytest.mark.parametrize("jump", ["0", "1 year", "-1 year"])
async def test_worker_is_gone_when_its_heartbeat_stands_still_whatever_the_clock_says(resources, declared, jump):
    """Found by the soak: after a jump, jobs at work began a second time, and those of the dead never."""
    async with resources.context(LOCAL) as ctx:
        alive, dead = [await ctx.session.scalar(text(NEW_WORKER), {"ahead": jump}) for _ in "ab"]
        for number, worker in enumerate((alive, dead)):
            await defer(ctx, "test.run", number=number)
            await ctx.session.execute(
                text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = :worker WHERE worker_id IS NULL"),
                {"worker": worker},
            )
    heartbeats: dict[int, Any] = {}
    async with open_queue(resources) as app:
        assert await requeue_left(app, heartbeats, 1000.0) == 0
        async with resources.context(LOCAL) as ctx:
            statement = text("UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = :id")
            await ctx.session.execute(statement, {"id": alive})
        assert await requeue_left(app, heartbeats, 1000.0 + STALLED_AFTER_S - 1) == 0
        assert await requeue_left(app, heartbeats, 1000.0 + STALLED_AFTER_S) == 1
    assert await states(resources) == ["doing", "todo"]


async def test_job_whose_end_could_not_be_written_down_starts_again_though_its_worker_lives(resources, declared):
    """Found by the soak: the database went away as a job ended; it was "doing" for good, and its channel locked."""
    async with resources.context(LOCAL) as ctx:
        ours, other = [await ctx.session.scalar(text(NEW_WORKER), {"ahead": "0"}) for _ in "ab"]
        for number, worker in enumerate((ours, ours, other)):
            await defer(ctx, "test.run", number=number)
            await ctx.session.execute(
                text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = :worker WHERE worker_id IS NULL"),
                {"worker": worker},
            )
        ids = list(await ctx.session.scalars(text("SELECT id FROM procrastinate_jobs ORDER BY id")))
    own = OwnJobs(workers={ours}, running={ids[0]})
    heartbeats: dict[int, Any] = {}
    async with open_queue(resources) as app:
        assert await requeue_left(app, heartbeats, 0.0, own=own) == 0  # it may have ended just now
        assert await requeue_left(app, heartbeats, 1.0, own=own) == 1
    assert await states(resources) == ["doing", "todo", "doing"]


async def test_own_jobs_are_known_while_they_run(resources, declared):
    own = OwnJobs()
    seen = []

    @job("test.look")
    async def look(resources: Resources, **_: Any) -> None:
        seen.append((len(own.workers), len(own.running)))

    async with resources.context(LOCAL) as ctx:
        await defer(ctx, "test.look")
    async with open_queue(resources) as app:
        await run_worker(app, jobs_at_once=1, wait=False, patience_s=10, own=own)
    assert seen == [(1, 1)]
    assert own.running == set()


async def test_job_that_was_cut_short_before_it_gave_its_lock_back_starts_again(resources, declared, run_jobs):
    """The next of the same queueing lock waits already; two of them run, which is harmless."""
    async with resources.context(LOCAL) as ctx:
        await defer(ctx, "test.run", queueing_lock="one", number=1)
        await ctx.session.execute(text("UPDATE procrastinate_jobs SET status = 'doing'"))
        await defer(ctx, "test.run", queueing_lock="one", number=2)
    async with open_queue(resources) as app:
        assert await requeue_left(app, {}, 0.0) == 1
    await run_jobs(resources)
    assert sorted(call["number"] for call in declared) == [1, 2]


async def test_retry_that_was_planned_before_the_clock_was_set_back_is_brought_forward(resources, declared, run_jobs):
    async with resources.context(LOCAL) as ctx:
        for number in (1, 2):
            await defer(ctx, "test.run", number=number)
        await ctx.session.execute(
            text(
                "UPDATE procrastinate_jobs SET scheduled_at = now() + CASE WHEN (args->>'number')::int = 1 "
                "THEN interval '1 year' ELSE interval '1 hour' END"
            )
        )
    async with open_queue(resources) as app:
        await bring_forward(app)
    await run_jobs(resources)
    assert [call["number"] for call in declared] == [1]


async def test_event_is_announced_when_it_is_committed(resources, declared):
    import asyncio

    from antivenom.server.events.listen import LISTENING, listen

    heard: asyncio.Queue[EventNotice] = asyncio.Queue()
    task = asyncio.create_task(listen(resources.engine.url, heard.put_nowait))
    try:
        assert await heard.get() == LISTENING
        async with resources.context(LOCAL) as ctx:
            await record(ctx, "thing.happened", subject="thing:1")
            assert heard.empty()
        assert await heard.get() == EventNotice("thing.happened", "thing:1")
    finally:
        task.cancel()
