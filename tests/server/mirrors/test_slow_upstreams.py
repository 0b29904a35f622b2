"""Upstreams that answer a byte now and then hold up nobody but those who read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from antivenom.core.errors import UpstreamError
from antivenom.server import rooms
from antivenom.server.adapters.http_answers import MinimumRate, _paced
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.context import LOCAL, Resources
from antivenom.server.events.queue import OwnJobs, open_queue, run_lanes
from antivenom.server.events.upstream_slots import SYNCS_PER_UPSTREAM, pause_before, upstream_slot
from antivenom.server.mirrors import ingesting
from antivenom.server.mirrors import service as mirrors
from antivenom.server.publications import service as publications
from antivenom.server.publications.publish_channel import publish_channel
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer, make_record, write_channel
from tests.waiting import until

BAN = 'name: ban\nrules:\n  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["alpha"]}}\n'
INDEX = "noarch/repodata.json.zst"


@pytest.fixture
async def main(person: Person, upstream: UpstreamServer) -> Person:
    """A published channel `main` with alpha and beta."""
    write_channel(upstream.folder, {"noarch": [make_record(n, "1.0", subdir="noarch") for n in ("alpha", "beta")]})
    await person.mirror("main", upstream, subdirs=["noarch"])
    return person


@asynccontextmanager
async def worker(resources: Resources) -> AsyncIterator[None]:
    """A worker with the slots that a real one has."""
    list(rooms.load("jobs"))
    async with open_queue(resources) as app:
        slots = resources.settings.worker_jobs
        running = asyncio.create_task(run_lanes(app, OwnJobs(), jobs_at_once=slots, patience_s=0.1))
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def withheld(person: Person) -> int:
    async with person.resources.context(LOCAL) as ctx:
        return (await publications.get_channel_summary(ctx, "main")).withheld


async def test_policy_edit_is_applied_while_every_slot_of_mirrors_waits_for_an_upstream(main: Person, tmp_path: Path):
    slots = main.resources.settings.worker_jobs
    async with AsyncExitStack() as stack:
        slow = []
        for at in range(slots + 1):
            folder = tmp_path / f"slow-{at}"
            write_channel(folder, {"noarch": [make_record("gamma", "1.0", subdir="noarch")]})
            server = stack.enter_context(UpstreamServer(folder))
            stack.enter_context(server.holding(INDEX))
            slow.append(server)
            async with main.resources.context(LOCAL) as ctx:
                settings = mirrors.MirrorSettings(server.url, subdirs=["noarch"], by_shards=False)
                await mirrors.create_mirror(ctx, f"slow-{at}", settings)
        await stack.enter_async_context(worker(main.resources))
        await until(lambda: sum(INDEX in server.asked for server in slow) == slots)
        async with main.resources.context(LOCAL) as ctx:
            await channel_policies.set_policy(ctx, "main", BAN)
        await until(lambda: withheld(main))
        assert sum(INDEX in server.asked for server in slow) == slots


async def test_policy_edit_of_the_very_channel_whose_upstream_is_slow_is_applied(
    main: Person, upstream: UpstreamServer
):
    write_channel(upstream.folder, {"noarch": [make_record(n, "2.0", subdir="noarch") for n in ("alpha", "beta")]})
    with upstream.holding(INDEX):
        upstream.asked.clear()
        async with main.resources.context(LOCAL) as ctx:
            await mirrors.request_sync(ctx, "main")
        async with worker(main.resources):
            await until(lambda: INDEX in upstream.asked)
            async with main.resources.context(LOCAL) as ctx:
                await channel_policies.set_policy(ctx, "main", BAN)
            await until(lambda: withheld(main))
    await main.run_jobs(main.resources)
    await main.sync("main")
    assert await main.kept("main") == {"beta-2.0-h0_0.conda"}


async def test_who_publishes_second_builds_again_and_loses_neither_change(main: Person, upstream: UpstreamServer):
    """A sync has built from its new sources when a policy edit is published; then the sync commits."""
    built, may_go_on = asyncio.Event(), asyncio.Event()
    real = main.resources.publishing_cpu

    class Holding:
        async def run(self, *arguments, **options):
            result = await real.run(*arguments, **options)
            if not built.is_set():
                built.set()
                await may_go_on.wait()
            return result

    write_channel(upstream.folder, {"noarch": [make_record(n, "2.0", subdir="noarch") for n in ("alpha", "beta")]})
    main.resources.publishing_cpu = Holding()  # type: ignore[assignment]
    syncing = asyncio.create_task(main.sync("main"))
    await built.wait()
    async with main.resources.context(LOCAL) as ctx:
        await channel_policies.set_policy(ctx, "main", BAN)
    channel = (await main.look("main")).channel_id
    await publish_channel(main.resources, channel, cause="policy")
    assert await main.kept("main") == {"beta-1.0-h0_0.conda"}
    may_go_on.set()
    await syncing
    assert await main.kept("main") == {"beta-2.0-h0_0.conda"}


async def test_one_upstream_is_read_by_two_syncs_at_a_time_and_the_next_is_queued_again(
    main: Person, upstream: UpstreamServer
):
    async with AsyncExitStack() as stack:
        for _ in range(SYNCS_PER_UPSTREAM):
            assert await stack.enter_async_context(upstream_slot(main.resources, upstream.url))
        assert not await stack.enter_async_context(upstream_slot(main.resources, f"{upstream.url}/other"))
        assert await stack.enter_async_context(upstream_slot(main.resources, "http://other.example"))
        upstream.asked.clear()
        mirror = await main.sync("main")
        assert (mirror.state, mirror.progress.phase) == ("queued", "waiting: other syncs read that upstream")
        assert upstream.asked == []
    async with worker(main.resources):  # without a periodic job
        await until(lambda: is_ok(main))


async def is_ok(person: Person) -> bool:
    return (await person.look("main")).state == "ok"


def test_pauses_grow_up_to_half_a_minute():
    assert [pause_before(tries).total_seconds() for tries in (0, 1, 4, 5, 1000)] == [1, 2, 16, 30, 30]


async def test_paths_and_the_demo_have_no_upstream_to_spare(resources: Resources):
    async with AsyncExitStack() as stack:
        for url in ["", "/srv/feed.json", "demo://feeds/kev.json"] * (SYNCS_PER_UPSTREAM + 1):
            assert await stack.enter_async_context(upstream_slot(resources, url))


async def test_sync_that_takes_too_long_fails_and_says_so(main: Person, upstream: UpstreamServer):
    object.__setattr__(main.resources.settings, "sync_max_s", 0)
    mirror = await main.sync("main")
    assert mirror.state == "failed"
    assert "took longer than the 0 s of ANTIVENOM_SYNC_MAX_S" in mirror.last_error


class Clock:
    """The monotonic clock; it goes on when a chunk was waited for."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("sizes", "fails"),
    [
        ([1] * 40, True),  # a byte a second
        ([30_000] + [1] * 60, True),  # fast at first: each window counts by itself
        ([999] * 31, True),
        ([1000] * 100, False),
        ([0] * 20 + [30_000] + [0] * 9, False),  # a pause in a window that is fast enough
    ],
)
async def test_download_below_the_minimum_rate_is_given_up(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], fails: bool
):
    clock = Clock()
    monkeypatch.setattr("antivenom.server.adapters.http_answers.time", clock)

    async def chunks() -> AsyncIterator[bytes]:
        for size in sizes:
            clock.now += 1
            yield bytes(size)

    async def read() -> int:
        received = 0
        async for chunk in _paced(chunks(), MinimumRate(1000, 30), "http://slow.example/x"):
            received += len(chunk)
            clock.now += 100  # whoever reads takes their time: that does not count
        return received

    if fails:
        with pytest.raises(UpstreamError, match=r"slow\.example/x is too slow: .* less than the 1000 bytes"):
            await read()
    else:
        assert await read() == sum(sizes)


def read_for_ever(*_: object) -> None:
    while True:
        pass


async def test_index_that_takes_for_ever_to_read_fails_its_sync_and_frees_the_reader(
    main: Person, upstream: UpstreamServer, monkeypatch: pytest.MonkeyPatch
):
    write_channel(upstream.folder, {"noarch": [make_record(n, "2.0", subdir="noarch") for n in ("alpha", "beta")]})
    monkeypatch.setattr(ingesting, "ingest_whole", read_for_ever)
    monkeypatch.setattr("antivenom.server.mirrors.index_reading.READ_MAX_S", 0.05)
    mirror = await main.sync("main")
    assert mirror.state == "failed"
    assert "it takes more than 0.05 seconds of computing" in mirror.last_error
    monkeypatch.undo()
    assert (await main.sync("main")).state == "ok"
    assert await main.kept("main") == {"alpha-2.0-h0_0.conda", "beta-2.0-h0_0.conda"}
