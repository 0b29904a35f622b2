"""First downloads of artifacts: slow ones hold up nobody else, and clients that leave hold nothing that others want."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from antivenom.server.app import Application
from antivenom.server.mirrors.download_slots import DOWNLOADS_PER_UPSTREAM, DownloadSlots
from tests.e2e.upstream_channel import Package, write_upstream
from tests.server.asking import Answered, Asker
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer
from tests.waiting import until

MANY = [Package(f"p{at:02}", "1.0") for at in range(DOWNLOADS_PER_UPSTREAM + 2)]
PATHS = [f"noarch/{package.fn}" for package in MANY]


@pytest.fixture
async def slow(person: Person, upstream: UpstreamServer) -> UpstreamServer:
    """The upstream of channel `slow`."""
    write_upstream(upstream.folder, MANY, shards=False)
    await person.mirror("slow", upstream, subdirs=["linux-64"])
    upstream.asked.clear()
    return upstream


Leaves = Callable[[], Awaitable[None]]


def ask_and_leave(app: Application, path: str) -> Leaves:
    """A client that asks for a file; what it answers makes it leave, and waits until the server has noticed."""
    gone = asyncio.Event()

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None: ...

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "headers": [],
        "query_string": b"",
    }
    asking = asyncio.create_task(app(scope, receive, send))

    async def leave() -> None:
        gone.set()
        await asking

    return leave


def ask_soon(ask: Asker, path: str) -> asyncio.Task[Answered]:
    return asyncio.create_task(ask(f"/conda/slow/{path}"))


async def test_slow_downloads_of_one_upstream_hold_up_no_other(
    person: Person, slow: UpstreamServer, ask: Asker, tmp_path: Path
):
    other_folder = tmp_path / "other"
    with UpstreamServer(other_folder) as other, ExitStack() as held:
        files = write_upstream(other_folder, [Package("quick", "1.0")], shards=False)
        await person.mirror("other", other, subdirs=["linux-64"])
        for path in PATHS:
            held.enter_context(slow.holding(path))
        waiting = [ask_soon(ask, path) for path in PATHS]
        await until(lambda: len(slow.asked) == DOWNLOADS_PER_UPSTREAM)
        answer = await ask("/conda/other/noarch/quick-1.0-0.conda")
        assert (answer.status, answer.body) == (200, files["quick-1.0-0.conda"])
        assert len(slow.asked) == DOWNLOADS_PER_UPSTREAM
        held.close()
        assert {(await task).status for task in waiting} == {200}


async def test_slow_upstream_captures_no_other_channels_request_for_the_same_file(
    person: Person, slow: UpstreamServer, ask: Asker, tmp_path: Path
):
    path = PATHS[0]
    with UpstreamServer(slow.folder) as twin:
        await person.mirror("twin", twin, subdirs=["linux-64"])
        with slow.holding(path):
            first = ask_soon(ask, path)
            await until(lambda: path in slow.asked)
            assert (await ask(f"/conda/twin/{path}")).status == 200
            assert not first.done()
        assert (await first).status == 200


async def test_download_whose_clients_left_gives_its_slot_to_one_that_somebody_wants(slow: UpstreamServer, ask: Asker):
    with ExitStack() as held:
        for path in PATHS[:-1]:
            held.enter_context(slow.holding(path))
        leave = [ask_and_leave(ask.application, f"/conda/slow/{path}") for path in PATHS[:DOWNLOADS_PER_UPSTREAM]]
        await until(lambda: len(slow.asked) == DOWNLOADS_PER_UPSTREAM)
        wanted = ask_soon(ask, PATHS[-1])
        await leave[3]()
        assert (await wanted).status == 200
        for go in leave[:3] + leave[4:]:
            await go()


async def test_download_whose_clients_left_goes_on_while_its_slot_is_free(slow: UpstreamServer, ask: Asker):
    path = PATHS[0]
    with slow.holding(path):
        leave = ask_and_leave(ask.application, f"/conda/slow/{path}")
        await until(lambda: path in slow.asked)
        await leave()
    await until(lambda: not ask.application.artifacts._downloads)
    await ask.application.artifacts.finish_recording()
    slow.asked.clear()
    assert (await ask(f"/conda/slow/{path}")).status == 200
    assert slow.asked == []


async def test_who_leaves_before_their_turn_is_never_fetched_for(slow: UpstreamServer, ask: Asker):
    with ExitStack() as held:
        for path in PATHS:
            held.enter_context(slow.holding(path))
        waiting = [ask_soon(ask, path) for path in PATHS[:DOWNLOADS_PER_UPSTREAM]]
        await until(lambda: len(slow.asked) == DOWNLOADS_PER_UPSTREAM)
        leave = ask_and_leave(ask.application, f"/conda/slow/{PATHS[-1]}")
        downloads = ask.application.artifacts._downloads
        await until(lambda: len(downloads) == DOWNLOADS_PER_UPSTREAM + 1)
        await leave()
        assert len(downloads) == DOWNLOADS_PER_UPSTREAM
    assert {(await task).status for task in waiting} == {200}
    assert PATHS[-1] not in slow.asked


class Wanted:
    """A download that somebody waits for."""

    is_abandoned = False


async def test_slot_is_not_lost_when_its_turn_comes_at_the_moment_of_giving_up():
    slots = DownloadSlots()

    async def hold(gate: asyncio.Event) -> None:
        async with slots.one("http://h", Wanted(), lambda: None):  # type: ignore[arg-type]
            await gate.wait()

    gates = [asyncio.Event() for _ in range(DOWNLOADS_PER_UPSTREAM)]
    holding = [asyncio.create_task(hold(gate)) for gate in gates]
    await asyncio.sleep(0)
    free = asyncio.Event()
    waiting, next_one = asyncio.create_task(hold(free)), asyncio.create_task(hold(free))
    await asyncio.sleep(0)
    waiting.cancel()  # its future is cancelled at once, itself only when it runs again
    gates[0].set()
    await holding[0]
    free.set()
    await next_one
    for gate in gates:
        gate.set()
    await asyncio.gather(*holding)
    assert waiting.cancelled()
    assert slots._upstreams == {}
