"""What nothing names is deleted, and nothing else; by hand, by the clock, and after a channel was deleted."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import random
import re
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from antivenom.core.conda.shards import shard_records
from antivenom.core.errors import UnavailableError
from antivenom.server.adapters.blobs import FolderStore
from antivenom.server.channels import service as channels
from antivenom.server.context import LOCAL, SYSTEM
from antivenom.server.db.base import Base
from antivenom.server.db.blob_guard import blobs_in_use
from antivenom.server.publications import retention
from antivenom.server.publications.publish_channel import publish_channel
from antivenom.server.storage import collecting, jobs, marking, queries
from antivenom.server.storage.marking import KINDS
from antivenom.server.storage.reports import RunOptions, total_of
from tests.e2e.upstream_channel import Package, write_upstream
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.server.storage.conftest import collect, look, stored, waits_or_is_done
from tests.upstreams import UpstreamServer, make_record, write_channel
from tests.waiting import until

BAN = 'name: ban\nrules:\n  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["%s"]}}\n'
KEY = re.compile(rf"(?:{'|'.join(KINDS)})(?:/[0-9a-z]+)*/[0-9a-f]{{32,64}}(?:\.json\.zst)?")


def write(upstream: UpstreamServer, *names: str) -> dict[str, bytes]:
    return write_upstream(upstream.folder, [Package(name, "1.0", subdir="noarch") for name in names])


async def delete_channel(person: Person, name: str) -> None:
    async with person.resources.context(LOCAL) as ctx:
        await channels.delete_channel(ctx, name)


async def test_deleted_channel_leaves_nothing_of_its_own(person: Person, upstream: UpstreamServer, ask: Asker):
    write(upstream, "alpha", "beta")
    await person.mirror("one", upstream, subdirs=["noarch"], mode="active")
    before = stored(person.resources)
    write(upstream, "alpha", "beta", "gamma")  # within two seconds alpha and beta get the same bytes, later others
    await person.mirror("two", upstream, subdirs=["noarch"], mode="active")
    for path in ("current_repodata.json", "run_exports.json", "gamma-1.0-0.conda"):
        await ask(f"/conda/two/noarch/{path}")
    await delete_channel(person, "two")
    report = await collect(person)
    left = stored(person.resources)
    assert set(left) == set(before) - {key for key in before if key.startswith("knowledge/")}
    assert total_of(report.freed).count > 0
    await delete_channel(person, "one")
    await collect(person)
    assert stored(person.resources) == {}


async def test_deletion_of_a_channel_asks_for_a_collection(
    person: Person, upstream: UpstreamServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(collecting, "time", type("Later", (), {"time": staticmethod(lambda: 9e9)}))
    write(upstream, "alpha")
    await person.mirror("one", upstream, subdirs=["noarch"])
    await delete_channel(person, "one")
    await person.run_jobs(person.resources)
    assert stored(person.resources) == {}
    async with person.resources.context(SYSTEM) as ctx:
        event = await ctx.session.scalar(text("SELECT data FROM event WHERE kind = 'storage.collected'"))
    assert event["files"] > 0


async def test_dry_run_says_what_would_be_freed_and_frees_nothing(person: Person, upstream: UpstreamServer):
    write(upstream, "alpha")
    await person.mirror("one", upstream, subdirs=["noarch"])
    await delete_channel(person, "one")
    before = stored(person.resources)
    said = await collect(person, dry_run=True)
    assert stored(person.resources) == before
    done = await collect(person)
    assert said.freed == done.freed == said.unnamed
    assert total_of(said.freed).count == len(before)


async def test_young_blob_and_what_is_not_ours_stay(person: Person):
    blobs = person.resources.blobs
    await blobs.put("pack/orphan", b"1234")
    await blobs.put("backup/of-somebody", b"precious")
    report = await collecting.collect(person.resources, RunOptions(min_age_s=3600))
    assert (report.freed, total_of(report.unnamed).count) == ({}, 1)
    await collect(person)
    assert stored(person.resources) == {}
    assert await blobs.get("backup/of-somebody") == b"precious"


async def test_scratch_of_dead_processes_goes(person: Person, monkeypatch: pytest.MonkeyPatch):
    folder = person.resources.settings.scratch / "mirror-9"
    folder.mkdir(parents=True)
    (folder / "repodata.json.zst").write_bytes(b"12345")
    monkeypatch.setattr("antivenom.server.adapters.scratch.time.time", lambda: 9e9)
    report = await collect(person)
    assert (report.freed["scratch"].count, report.freed["scratch"].size_bytes) == (1, 5)
    assert not folder.exists()


async def test_unreadable_map_holds_back_packs_and_artifacts(person: Person, upstream: UpstreamServer):
    """What it names is not known: an earlier release, or a later one, may have written it."""
    write(upstream, "alpha")
    await person.mirror("one", upstream, subdirs=["noarch"])
    await person.resources.blobs.put("pack/orphan", b"1234")
    await person.resources.blobs.put("index/of-another-release", b"not a map")
    async with person.resources.context(SYSTEM) as ctx:
        await ctx.session.execute(
            text(
                "UPDATE publication SET subdirs = jsonb_set(subdirs, '{noarch,index}', '\"index/of-another-release\"')"
            )
        )
    report = await collect(person)
    assert "pack" not in report.freed
    assert report.notes
    assert await person.resources.blobs.size("pack/orphan") == 4


async def test_every_key_in_the_database_is_named(person: Person, upstream: UpstreamServer, ask: Asker):
    """A new column that holds a key, and that `list_named` does not read, would have its blobs deleted."""
    write(upstream, "alpha", "beta")
    (upstream.folder / "channeldata.json").write_text(json.dumps({"subdirs": ["noarch"], "packages": {}}))
    (upstream.folder / "noarch" / "run_exports.json").write_text(json.dumps({"info": {}, "packages": {}}))
    await person.mirror("one", upstream, policy_text=BAN % "alpha")
    await person.run_jobs(person.resources)
    async with person.resources.context(SYSTEM) as ctx:
        named = {blob.key for blob in await queries.list_named(ctx.session)}
        in_database: dict[str, set[str]] = {}
        for table in Base.metadata.sorted_tables:
            rows = await ctx.session.scalars(text(f"SELECT to_jsonb(t)::text FROM {table.name} t"))
            in_database[table.name] = {key for row in rows for key in KEY.findall(row)}
    in_database.pop("event")  # the past
    assert in_database["publication"]
    assert {key.partition("/")[0] for key in in_database["mirror"]} == {"index", "upstream"}
    assert {name: keys - named for name, keys in in_database.items() if keys - named} == {}
    found = await look(person.resources)
    assert (found.missing, found.hidden) == ([], [])


async def test_looking_for_who_needs_an_artifact_reads_each_shard_once(
    person: Person, upstream: UpstreamServer, ask: Asker, monkeypatch: pytest.MonkeyPatch
):
    for names in (("alpha",), ("alpha", "beta"), ("alpha", "beta", "gamma")):  # three maps, which share shards
        records = [make_record(name, "1.0", subdir="noarch") for name in names]
        write_channel(upstream.folder, {"noarch": records})
        await (person.sync("one") if len(names) > 1 else person.mirror("one", upstream, subdirs=["noarch"]))
    async with person.resources.context(SYSTEM) as ctx:
        maps = sorted({blob.key for blob in await queries.list_named(ctx.session) if blob.role in marking.MAPS})
    wanted = [f"artifact/{record['sha256'][:2]}/{record['sha256']}" for _, record in records]
    read = []

    def note_and_read(shard: bytes) -> Any:
        read.append(shard)
        return shard_records(shard)

    monkeypatch.setattr(marking, "shard_records", note_and_read)
    found = marking.find_needing(person.resources.blobs.url, maps, wanted)
    assert [len(found[key]) for key in wanted] == [3, 2, 1]
    assert len(read) == len(set(read)) == 3


async def test_only_derived_blobs_that_can_name_a_document_are_read(
    person: Person, upstream: UpstreamServer, ask: Asker, monkeypatch: pytest.MonkeyPatch
):
    """Earlier releases kept the documents themselves there, which may be large and many."""
    write(upstream, "alpha")
    await person.mirror("one", upstream, subdirs=["noarch"])
    for fn in ("current_repodata.json", "run_exports.json"):
        await ask(f"/conda/one/noarch/{fn}")
    large, small = [key for key in stored(person.resources) if key.startswith("derived/")]
    person.resources.blobs.put_sync(large, bytes(10_000))
    read = []
    get = FolderStore.get_sync

    def note_and_get(self: FolderStore, key: str) -> bytes:
        read.append(key)
        return get(self, key)

    monkeypatch.setattr(FolderStore, "get_sync", note_and_get)
    roots = await collecting.read_roots(person.resources)
    found = marking.mark(person.resources.blobs.url, roots, None)
    assert small in read
    assert large not in read
    assert not [key for key, _, _ in found.unnamed if key.startswith("derived/")]


# -- retired publications, and builds meanwhile ------------------------------------------------------------------------


@pytest.fixture
async def one(person: Person, upstream: UpstreamServer, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Channel `one` with two publications, the first of which may go; `two` serves what the second does."""
    monkeypatch.setattr(retention, "KEEP_AT_LEAST", 1)
    write_channel(upstream.folder, {"noarch": [make_record(n, "1.0", subdir="noarch") for n in ("alpha", "beta")]})
    for channel in ("one", "two"):
        await person.mirror(channel, upstream, subdirs=["noarch"])
        await person.set_policy(channel, BAN % "alpha")
    async with person.resources.context(SYSTEM) as ctx:
        await ctx.session.execute(text("UPDATE publication SET created_at = created_at - interval '1 year'"))
    return person


async def channel_id(person: Person, name: str) -> int:
    async with person.resources.context(SYSTEM) as ctx:
        found = await ctx.session.scalar(text("SELECT id FROM channel WHERE name = :name"), {"name": name})
    assert found is not None
    return int(found)


async def retire(person: Person, channel: str) -> int:
    async with person.resources.context(SYSTEM) as ctx:
        return await retention.retire_publications(ctx, await channel_id(person, channel))


async def test_retired_publication_is_thrown_away_and_the_served_one_stays(one: Person):
    for channel in ("one", "two"):
        assert await retire(one, channel) == 1
        await collect(one)
        found = await look(one.resources)
        assert (found.missing, found.unnamed) == ([], [])


async def test_nothing_is_deleted_while_somebody_builds(one: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("antivenom.server.storage.collecting.WAIT_S", 0.01)
    await retire(one, "one")
    await retire(one, "two")
    before = stored(one.resources)
    async with blobs_in_use(one.resources.engine):
        with pytest.raises(UnavailableError, match="in use"):
            await collecting.collect(one.resources, RunOptions(min_age_s=-1))
    assert stored(one.resources) == before


@pytest.mark.parametrize("waits_for", ["linux-64/repodata.json.zst", "linux-64/run_exports.json"])
async def test_sync_that_waits_for_its_upstream_holds_up_no_collection_and_loses_nothing(
    person: Person, upstream: UpstreamServer, waits_for: str
):
    """What it has stored by then is named by its mirror, also while nothing is published of it."""
    subdirs = ("noarch", "linux-64")
    write_upstream(upstream.folder, [Package(f"of-{subdir}", "1.0", subdir=subdir) for subdir in subdirs], shards=False)
    for subdir in subdirs:
        (upstream.folder / subdir / "run_exports.json").write_text(json.dumps({"info": {"subdir": subdir}}))
    (upstream.folder / "channeldata.json").write_text(json.dumps({"subdirs": ["noarch"], "packages": {}}))
    with upstream.holding(waits_for):
        sync = asyncio.create_task(person.mirror("one", upstream, subdirs=["noarch", "linux-64"], by_shards=False))
        await until(lambda: waits_for in upstream.asked)
        kept = stored(person.resources)
        assert {key.partition("/")[0] for key in kept} == {"index", "pack", "upstream"}
        await person.resources.blobs.put("pack/orphan", b"1234")
        report = await collecting.collect(person.resources, RunOptions(min_age_s=-1))
        assert list(report.freed) == ["pack"]
        assert stored(person.resources) == kept
    mirror = await sync
    assert (mirror.state, mirror.stored_keys) == ("ok", [])
    await collect(person)
    found = await look(person.resources)
    assert (found.missing, found.unnamed, found.hidden) == ([], [], [])


async def test_what_a_failed_sync_stored_is_collected_after_the_next_one(person: Person, upstream: UpstreamServer):
    write(upstream, "alpha")
    (upstream.folder / "channeldata.json").write_text(json.dumps({"subdirs": ["noarch"], "packages": {}}))
    upstream.faults["linux-64/repodata.json.zst"] = upstream.faults["linux-64/repodata.json"] = 403
    mirror = await person.mirror("one", upstream, subdirs=["noarch", "linux-64"], by_shards=False)
    assert mirror.state == "failed"
    assert mirror.stored_keys
    (upstream.folder / "channeldata.json").write_text(json.dumps({"subdirs": ["noarch"], "packages": {"a": {}}}))
    upstream.faults.clear()
    assert (await person.sync("one")).state == "ok"
    await collect(person)
    found = await look(person.resources)
    assert (found.missing, found.unnamed, found.hidden) == ([], [], [])


async def is_asked_for_alone(person: Person) -> bool:
    """Whether a collector has asked for the lock that builders share; it has not got it."""
    async with person.resources.context(SYSTEM) as ctx:
        asked = await ctx.session.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND (query LIKE '%pg_advisory_lock(%' OR query LIKE '%pg_try_advisory_lock(%')"
            )
        )
    return bool(asked)


async def test_nobody_stands_behind_a_collector_that_waits(one: Person):
    """Else who commits waits for the collector, which waits for who commits."""
    engine = one.resources.lock_engine
    await one.resources.blobs.put("pack/orphan", b"1234")
    async with blobs_in_use(engine) as check_held:
        collector = asyncio.create_task(collecting.collect(one.resources, RunOptions(min_age_s=-1)))
        await until(lambda: is_asked_for_alone(one))
        async with one.resources.context(SYSTEM) as ctx:
            await ctx.session.execute(text("SET LOCAL lock_timeout = '1s'"))
            await check_held(ctx.session)
        begins = contextvars.Context().run(asyncio.create_task, _build(engine))
        await begins
        assert not collector.done()
    assert "pack" in (await collector).freed


async def _build(engine: AsyncEngine) -> None:
    """Another builder, from its beginning to its end."""
    async with blobs_in_use(engine):
        pass


async def test_collector_that_lost_its_lock_deletes_nothing_more(one: Person, monkeypatch: pytest.MonkeyPatch):
    """Builders begin again as soon as the database does, and come to need what the collector meant to delete."""
    for key in ("pack/orphan-1", "pack/orphan-2"):
        await one.resources.blobs.put(key, b"1234")
    delete = FolderStore.delete

    async def end_connections_and_delete(self: FolderStore, key: str) -> None:
        await delete(self, key)
        async with one.resources.context(SYSTEM) as ctx:
            await ctx.session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'antivenom locks' AND datname = current_database()"
                )
            )

    monkeypatch.setattr(FolderStore, "delete", end_connections_and_delete)
    with pytest.raises(UnavailableError, match="went away"):
        await collecting.collect(one.resources, RunOptions(min_age_s=-1))
    assert len([key for key in stored(one.resources) if key.startswith("pack/orphan")]) == 1


async def states(person: Person) -> list[str]:
    """Of all runs, the newest first."""
    async with person.resources.context(LOCAL) as ctx:
        return [run.state for run in await queries.list_runs(ctx.session)]


async def test_collection_that_found_blobs_in_use_is_asked_for_again(one: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("antivenom.server.storage.collecting.WAIT_S", 0.01)
    await one.resources.blobs.put("pack/orphan", b"1234")
    async with one.resources.context(LOCAL) as ctx:
        await jobs.service.request_run(ctx, "collect", RunOptions(min_age_s=-1))
    async with blobs_in_use(one.resources.engine):
        await one.run_jobs(one.resources)
    assert await states(one) == ["failed"]
    await jobs.collect_due(one.resources)
    await jobs.collect_due(one.resources)  # one waits already
    await one.run_jobs(one.resources)
    assert await states(one) == ["done", "failed"]
    await jobs.collect_due(one.resources)  # nothing is due for an hour
    assert await states(one) == ["done", "failed"]


async def test_channel_that_comes_to_need_a_blob_while_it_is_deleted_waits_and_has_it(
    one: Person, monkeypatch: pytest.MonkeyPatch
):
    """`two` goes back to what both served first, just while the collector deletes exactly that."""
    await retire(one, "one")
    await retire(one, "two")
    is_deleting, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    delete = FolderStore.delete_sync

    def wait_and_delete(self: FolderStore, key: str) -> None:
        loop.call_soon_threadsafe(is_deleting.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        delete(self, key)

    monkeypatch.setattr(FolderStore, "delete_sync", wait_and_delete)
    collecting_all = asyncio.create_task(collecting.collect(one.resources, RunOptions(min_age_s=-1)))
    await is_deleting.wait()
    async with one.resources.context(SYSTEM) as ctx:
        await ctx.session.execute(text("UPDATE channel SET policy_revision_id = NULL WHERE name = 'two'"))
    publishing: asyncio.Task[Any] = asyncio.create_task(
        publish_channel(one.resources, await channel_id(one, "two"), cause="policy")
    )
    await until(lambda: waits_or_is_done(one, publishing))
    go_on.set()
    await asyncio.gather(collecting_all, publishing)
    found = await look(one.resources)
    assert (found.missing, found.unnamed) == ([], [])


# -- the law -----------------------------------------------------------------------------------------------------------


class Life:
    """Two channels over one upstream, and what may happen to them in any order."""

    def __init__(self, person: Person, upstream: UpstreamServer, ask: Asker, seed: int) -> None:
        self.person, self.upstream, self.ask = person, upstream, ask
        self.chance = random.Random(seed)
        self.names = ["alpha", "beta", "gamma", "delta"]

    async def channels(self) -> set[str]:
        async with self.person.resources.context(SYSTEM) as ctx:
            return set(await ctx.session.scalars(text("SELECT name FROM channel")))

    async def step(self) -> None:
        """One random thing."""
        channel = self.chance.choice(["one", "two"])
        does_exist = channel in await self.channels()
        if not does_exist:
            await self.person.mirror(channel, self.upstream, subdirs=["noarch"])
            return
        await self.chance.choice([self.sync, self.change, self.edit, self.download, self.delete, self.retire])(channel)

    async def sync(self, channel: str) -> None:
        await self.person.sync(channel)

    async def change(self, channel: str) -> None:
        write(self.upstream, *self.chance.sample(self.names, 2))
        await self.person.sync(channel)

    async def edit(self, channel: str) -> None:
        await self.person.set_policy(channel, BAN % self.chance.choice(self.names))

    async def download(self, channel: str) -> None:
        for path in ("noarch/current_repodata.json", f"noarch/{self.chance.choice(self.names)}-1.0-0.conda"):
            await self.ask(f"/conda/{channel}/{path}")

    async def delete(self, channel: str) -> None:
        await delete_channel(self.person, channel)

    async def retire(self, channel: str) -> None:
        async with self.person.resources.context(SYSTEM) as ctx:
            await ctx.session.execute(text("UPDATE publication SET created_at = created_at - interval '1 year'"))
        await retire(self.person, channel)

    async def collect(self) -> None:
        with contextlib.suppress(UnavailableError):
            await collecting.collect(self.person.resources, RunOptions(min_age_s=-1))


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_named_is_missing_and_nothing_unnamed_outlives_a_collection(
    person: Person, upstream: UpstreamServer, ask: Asker, monkeypatch: pytest.MonkeyPatch, seed: int
):
    monkeypatch.setattr(retention, "KEEP_AT_LEAST", 1)
    life = Life(person, upstream, ask, seed)
    write(upstream, "alpha", "beta")
    for _ in range(8):
        await asyncio.gather(life.step(), life.collect())
        found = await look(person.resources)
        assert (found.missing, found.hidden) == ([], [])
    await life.collect()
    found = await look(person.resources)
    assert (found.missing, found.unnamed) == ([], [])
