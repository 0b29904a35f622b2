"""Superseded publications are thrown away; what somebody builds on meanwhile is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.core.errors import UnavailableError
from antivenom.server.adapters.blobs import FolderStore
from antivenom.server.context import SYSTEM
from antivenom.server.publications import retention
from antivenom.server.publications.blob_guard import blobs_in_use
from antivenom.server.publications.publish_channel import publish_channel
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer, make_record, write_channel
from tests.waiting import until

BAN = 'name: ban\nrules:\n  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["%s"]}}\n'


@pytest.fixture
async def one(person: Person, upstream: UpstreamServer, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Channel `one` with two publications, the first of which may go; `two` serves what the second does."""
    monkeypatch.setattr(retention, "KEEP_AT_LEAST", 1)
    write_channel(upstream.folder, {"noarch": [make_record(n, "1.0", subdir="noarch") for n in ("alpha", "beta")]})
    for channel in ("one", "two"):
        await person.mirror(channel, upstream, subdirs=["noarch"])
        await person.set_policy(channel, BAN % "alpha")
    await grow_old(person)
    return person


async def grow_old(person: Person) -> None:
    async with person.resources.context(SYSTEM) as ctx:
        await ctx.session.execute(text("UPDATE publication SET created_at = created_at - interval '1 year'"))


async def channel_id(person: Person, name: str) -> int:
    async with person.resources.context(SYSTEM) as ctx:
        found = await ctx.session.scalar(text("SELECT id FROM channel WHERE name = :name"), {"name": name})
    assert found is not None
    return int(found)


async def missing(person: Person, channel: str) -> set[str]:
    """The blobs that a channel's served publication names and the store does not have."""
    resources = person.resources
    async with resources.context(SYSTEM) as ctx:
        publication = await retention.queries.find_publication(
            ctx.session,
            await ctx.session.scalar(text("SELECT publication_id FROM channel WHERE name = :n"), {"n": channel}),
        )
    assert publication is not None
    named = {blobs.source for blobs in publication.subdirs.values()}
    named |= {blobs.index for blobs in publication.subdirs.values()}
    named |= {blobs.monolith for blobs in publication.subdirs.values()}
    keys = {*named, *retention._keys_of_all(resources, [publication])}
    return {key for key in keys if not key.startswith("derived/") and await resources.blobs.size(key) is None}


async def test_superseded_publication_is_thrown_away_and_the_served_one_stays(one: Person):
    assert await retention.collect_channel(one.resources, await channel_id(one, "one")) > 0
    assert await missing(one, "one") == await missing(one, "two") == set()
    assert await retention.collect_channel(one.resources, await channel_id(one, "two")) > 0
    assert await missing(one, "one") == await missing(one, "two") == set()


async def test_nothing_is_deleted_while_somebody_builds(one: Person):
    async with blobs_in_use(one.resources):
        with pytest.raises(UnavailableError, match="in use"):
            await retention.collect_channel(one.resources, await channel_id(one, "one"))


async def waits_or_is_done(person: Person, task: asyncio.Task[Any]) -> bool:
    async with person.resources.context(SYSTEM) as ctx:
        waiting = await ctx.session.scalar(
            text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        )
    return task.done() or bool(waiting)


async def test_channel_that_comes_to_need_a_blob_while_it_is_deleted_waits_and_has_it(
    one: Person, monkeypatch: pytest.MonkeyPatch
):
    """`two` goes back to what both served first, just while the collector deletes exactly that."""
    await retention.collect_channel(one.resources, await channel_id(one, "one"))
    is_deleting, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    delete = FolderStore.delete_sync

    def wait_and_delete(self: FolderStore, key: str) -> None:
        loop.call_soon_threadsafe(is_deleting.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        delete(self, key)

    monkeypatch.setattr(FolderStore, "delete_sync", wait_and_delete)
    collecting = asyncio.create_task(retention.collect_channel(one.resources, await channel_id(one, "two")))
    await is_deleting.wait()
    async with one.resources.context(SYSTEM) as ctx:
        await ctx.session.execute(text("UPDATE channel SET policy_revision_id = NULL WHERE name = 'two'"))
    publishing: asyncio.Task[Any] = asyncio.create_task(
        publish_channel(one.resources, await channel_id(one, "two"), cause="policy")
    )
    await until(lambda: waits_or_is_done(one, publishing))
    go_on.set()
    await asyncio.gather(collecting, publishing)
    assert await missing(one, "two") == set()
