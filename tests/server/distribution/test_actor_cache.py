"""The cache of actors: what it answers, for how long, and what a revocation that comes in between does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from antivenom.core.errors import UnauthenticatedError
from antivenom.core.rights import Level, Rights
from antivenom.server.context import ANONYMOUS, Actor
from antivenom.server.distribution import actor_cache
from antivenom.server.distribution.actor_cache import KEEP_REFUSED_S, KEEP_S, ActorCache, may_read

RIGHT, WRONG = (b"av-right", b""), (b"", b"Bearer av-wrong")
READER = Actor("token", "ci", "member")


class Door:
    """What the cache asks. `open` lets an answer through that was held; `now` is the clock of the cache."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str | None, str | None]] = []
        self.entered, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.now = 1000.0
        monkeypatch.setattr(actor_cache, "authenticate", self.authenticate)
        monkeypatch.setattr(actor_cache.time, "monotonic", lambda: self.now)

    async def authenticate(self, resources: Any, *, token: str | None, authorization: str | None) -> Actor:
        assert resources == "resources"
        self.asked.append((token, authorization))
        self.entered.set()
        await self.open.wait()
        if token != "av-right":
            raise UnauthenticatedError("wrong")
        return READER


@pytest.fixture
async def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(monkeypatch)


@pytest.fixture
def cache(door: Door) -> ActorCache:
    return ActorCache("resources")  # type: ignore[arg-type]


async def test_an_actor_is_asked_for_once_and_again_when_its_time_is_over(cache: ActorCache, door: Door) -> None:
    assert cache.cached(RIGHT) is None
    assert [await cache.identify(RIGHT) for _ in range(3)] == [READER] * 3
    assert door.asked == [("av-right", None)]
    door.now += KEEP_S - 0.001
    assert (cache.cached(RIGHT), await cache.identify(RIGHT), len(door.asked)) == (READER, READER, 1)
    door.now += 0.001
    assert cache.cached(RIGHT) is None
    assert (await cache.identify(RIGHT), len(door.asked)) == (READER, 2)


async def test_wrong_credentials_are_remembered_for_a_shorter_time(cache: ActorCache, door: Door) -> None:
    assert [await cache.identify(WRONG) for _ in range(2)] == [None, None]
    assert door.asked == [(None, "Bearer av-wrong")]
    door.now += KEEP_REFUSED_S
    assert (await cache.identify(WRONG), len(door.asked)) == (None, 2)


async def test_equal_credentials_are_checked_once_at_a_time_even_if_the_first_client_goes(
    cache: ActorCache, door: Door
) -> None:
    door.open.clear()
    clients = [asyncio.create_task(cache.identify(RIGHT)) for _ in range(3)]
    await door.entered.wait()
    clients[0].cancel()
    door.open.set()
    assert await asyncio.gather(*clients[1:]) == [READER, READER]
    assert (len(door.asked), cache.cached(RIGHT)) == (1, READER)


async def test_after_a_revocation_nobody_waits_for_an_answer_from_before_it(cache: ActorCache, door: Door) -> None:
    unhandled: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    door.open.clear()
    before = asyncio.create_task(cache.identify(RIGHT))
    await door.entered.wait()
    cache.forget_all()
    door.entered.clear()
    after = asyncio.create_task(cache.identify(RIGHT))
    await door.entered.wait()  # it asks itself
    door.open.set()
    assert await asyncio.gather(before, after) == [READER, READER]
    assert (len(door.asked), cache.cached(RIGHT)) == (2, READER)


@pytest.mark.parametrize("earlier", [0, 1, 2])
async def test_an_answer_from_before_a_revocation_is_not_kept(cache: ActorCache, door: Door, earlier: int) -> None:
    for _ in range(earlier):
        cache.forget_all()
    door.open.clear()
    asking = asyncio.create_task(cache.identify(RIGHT))
    await door.entered.wait()
    cache.forget_all()
    door.open.set()
    assert await asking == READER
    assert cache.cached(RIGHT) is None


async def test_the_cache_is_bounded_and_the_oldest_goes(
    cache: ActorCache, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor_cache, "KEPT", 2)
    for header in (b"1", b"2", b"3"):
        await cache.identify((b"av-right", header))
    assert [cache.cached((b"av-right", header)) for header in (b"1", b"2", b"3")] == [None, READER, READER]


@pytest.mark.parametrize(
    ("actor", "may"),
    [
        (None, False), (ANONYMOUS, False), (Actor("member", "bob", "nobody"), False),
        (Actor("member", "ana", "none"), False), (Actor("member", "ana", "member"), True), (READER, True),
    ],
)  # fmt: skip
def test_who_may_read_a_closed_channel(actor: Actor | None, may: bool) -> None:
    assert may_read(actor, "main") is may


def test_what_is_granted_for_one_channel_opens_that_one_alone() -> None:
    of_main = Rights(channels={"main": {"channels": Level.read}})
    actor = Actor("token", "ci", "none", of_main)
    assert (may_read(actor, "main"), may_read(actor, "mainly")) == (True, False)
    assert may_read(replace(ANONYMOUS, rights=of_main), "main")


async def test_credentials_longer_than_any_real_ones_are_not_kept(cache: ActorCache, door: Door) -> None:
    long = (b"", b"Bearer " + b"x" * 1_000)
    assert [await cache.identify(long) for _ in range(2)] == [None, None]
    assert len(door.asked) == 2
