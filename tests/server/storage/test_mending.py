"""Lost blobs are noticed and mended: whatever is missing, cut short or flipped, what is served is right or nothing."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.core.errors import DamagedBlobError
from antivenom.server.adapters.blobs import FolderStore
from antivenom.server.channels import service as channels
from antivenom.server.context import LOCAL, SYSTEM
from antivenom.server.db.blob_guard import blobs_in_use
from antivenom.server.distribution import client_documents
from antivenom.server.mirrors import service as mirrors
from antivenom.server.mirrors.subdir_state import HeldLoss
from antivenom.server.publications import service as publications
from antivenom.server.publications.jobs import reconcile_channels
from antivenom.server.publications.publish_channel import publish_channel
from antivenom.server.storage import jobs, mending, queries, service, verifying
from antivenom.server.storage.marking import KINDS, scrub
from antivenom.server.storage.mending import Need, Way, choose_ways
from antivenom.server.storage.queries import NamedBlob, Namer
from antivenom.server.storage.reports import RunOptions
from tests.e2e.upstream_channel import Package, write_upstream
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.server.storage.conftest import collect, run, stored, waits_or_is_done
from tests.upstreams import UpstreamServer, make_record, write_channel
from tests.waiting import until

BAN = 'name: ban\nrules:\n  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["%s"]}}\n'
BIG = Package("big", "1.0", payload=bytes(range(256)) * 4000)
FILES = ("repodata.json", "repodata.json.zst", "current_repodata.json", "repodata_shards.msgpack.zst")


def delete(person: Person, key: str) -> None:
    person.resources.blobs.delete_sync(key)


def cut(person: Person, key: str) -> None:
    path = person.resources.blobs.local_path(key)
    assert path is not None
    path.write_bytes(path.read_bytes()[:-1])


def flip(person: Person, key: str) -> None:
    path = person.resources.blobs.local_path(key)
    assert path is not None
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


Damage = Callable[[Person, str], None]
DAMAGES = [delete, cut, flip]


@pytest.fixture
async def main(person: Person, upstream: UpstreamServer, ask: Asker) -> Person:
    """Channel `main` with every kind of blob."""
    write_upstream(upstream.folder, [Package("alpha", "1.0"), Package("beta", "1.0"), BIG])
    (upstream.folder / "channeldata.json").write_text(json.dumps({"subdirs": ["noarch"], "packages": {}}))
    (upstream.folder / "noarch" / "run_exports.json").write_text(json.dumps({"info": {}, "packages": {}}))
    await person.mirror("main", upstream, subdirs=["noarch"], policy_text=BAN % "beta")
    await read_all(ask)
    return person


async def read_all(ask: Asker) -> dict[str, bytes]:
    """What a client gets of the channel; everything must be there."""
    found = {}
    for fn in (*FILES, "alpha-1.0-0.conda", BIG.fn):
        answer = await ask(f"/conda/main/noarch/{fn}")
        assert answer.status == 200, (fn, answer.body)
        found[fn] = answer.body
    found.pop("repodata_shards.msgpack.zst")  # has the time of its making
    return found


async def lost(person: Person) -> dict[str, str]:
    """The plan for each blob that is known to be lost."""
    async with person.resources.context(LOCAL) as ctx:
        return {row.key: row.plan for row in await service.list_lost(ctx)}


async def settle(person: Person) -> None:
    """Let time pass: jobs run, and each lost blob is looked at again three times."""
    await person.run_jobs(person.resources)
    for _ in range(3):
        async with person.resources.context(SYSTEM) as ctx:
            await ctx.session.execute(text("UPDATE lost_blob SET next_try_at = NULL"))
            await ctx.session.execute(text("UPDATE channel SET publish_retry_at = NULL"))
        await jobs.mend_due(person.resources)
        await reconcile_channels(person.resources)
        await person.run_jobs(person.resources)


async def is_whole(person: Person) -> bool:
    """Whether nothing that is served, or that the next publication is made of, is lost."""
    report = (await run(person, "verify", RunOptions())).report
    return [row for row in report.lost if row.plan != Way.retire.value] == []


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("monolith", "derived", "knowledge")])
async def test_verify_finds_every_lost_blob_and_repair_mends_it(main: Person, ask: Asker, kind: str, damage: Damage):
    before = await read_all(ask)
    keys = {key for key in stored(main.resources) if key.startswith(f"{kind}/")}
    assert keys, kind
    for key in keys:
        damage(main, key)
    told = (await run(main, "verify", RunOptions())).report
    expected = set() if damage is delete and kind in ("artifact", "document") else keys  # they come when asked for
    assert {row.key for row in told.lost} == expected
    assert all(row.plan and row.needed_by.startswith(("main", "documents")) for row in told.lost)
    assert {row.problem for row in told.lost} <= {"missing" if damage is delete else "damaged"}
    await run(main, "verify", RunOptions(repair=True))
    await settle(main)
    assert await lost(main) == {}
    assert await is_whole(main)
    assert await read_all(ask) == before


@pytest.mark.parametrize("damage", DAMAGES)
async def test_lost_match_index_is_compiled_again(main: Person, damage: Damage, tmp_path):
    from antivenom.server.advisories import service as advisories

    advisory = {
        "id": "GHSA-aaaa-bbbb-cccc", "modified": "2026-01-01T00:00:00Z", "summary": "x",
        "affected": [{"package": {"ecosystem": "PyPI", "name": "alpha"}, "ranges": [
            {"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}],
    }  # fmt: skip
    (tmp_path / "osv.json").write_text(json.dumps(advisory))
    async with main.resources.context(LOCAL) as ctx:
        await advisories.add_feed(ctx, "osv", str(tmp_path / "osv.json"))
    await main.run_jobs(main.resources)
    async with main.resources.context(SYSTEM) as ctx:
        named = [blob.key for blob in await queries.list_named(ctx.session) if blob.role == "knowledge"]
    assert named
    damage(main, named[0])
    report = (await run(main, "verify", RunOptions(repair=True))).report
    assert [(row.key, row.plan) for row in report.lost] == [(named[0], Way.recompile.value)]
    await settle(main)
    assert await is_whole(main)


# -- nobody has to ask -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["index", "pack"])
async def test_policy_that_is_accepted_over_lost_sources_is_served_in_the_end(main: Person, kind: str, damage: Damage):
    """The republish finds that its source is lost, the mirror reads the upstream anew, and that publishes."""
    for key in [key for key in stored(main.resources) if key.startswith(f"{kind}/")]:
        damage(main, key)
    await main.set_policy("main", BAN % "alpha")
    await settle(main)
    assert await main.kept("main") == {"beta-1.0-0.conda", BIG.fn}
    assert await is_whole(main)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("act", ["sync", "edit", "new mirror"])
async def test_mirror_never_goes_on_from_what_is_lost(main: Person, upstream: UpstreamServer, damage: Damage, act: str):
    for key in [key for key in stored(main.resources) if key.startswith(("index/", "pack/", "upstream/"))]:
        damage(main, key)
    settings = mirrors.MirrorSettings(upstream.url, subdirs=["noarch"], every_s=7200)
    if act == "sync":
        await main.sync("main")
    elif act == "edit":
        await main.ask(mirrors.update_mirror, "main", settings)
    else:
        await main.ask(mirrors.delete_mirror, "main")
        await main.ask(mirrors.create_mirror, "main", settings)
    await main.run_jobs(main.resources)
    mirror = await main.look("main")
    assert (mirror.state, mirror.last_error) == ("ok", "")
    assert await main.kept("main") == {"alpha-1.0-0.conda", BIG.fn}
    assert await is_whole(main)


async def test_loss_at_the_upstream_is_held_although_the_map_of_what_it_had_is_lost(
    main: Person, upstream: UpstreamServer
):
    write_channel(upstream.folder, {"noarch": [make_record(f"a{n}", "1.0", subdir="noarch") for n in range(40)]})
    assert (await main.sync("main")).state == "ok"
    mirror = await main.look("main")
    assert mirror.subdir_states["noarch"].records == 40
    delete(main, mirror.subdir_states["noarch"].source)
    write_channel(upstream.folder, {"noarch": [make_record("a1", "1.0", subdir="noarch")]})
    mirror = await main.sync("main")
    assert (mirror.state, mirror.held) == ("held", {"noarch": HeldLoss(40, 1)})


async def test_subdir_that_is_lost_here_and_gone_upstream_is_not_published_empty(
    main: Person, upstream: UpstreamServer
):
    for key in [key for key in stored(main.resources) if key.startswith("index/")]:
        delete(main, key)
    for fn in ("repodata.json", "repodata.json.zst"):
        (upstream.folder / "noarch" / fn).unlink()
    mirror = await main.sync("main")
    assert mirror.state == "failed"
    assert "gone upstream" in mirror.last_error


@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize("fn", ["alpha-1.0-0.conda", BIG.fn])
async def test_damaged_artifact_is_fetched_again_before_it_is_served(main: Person, ask: Asker, fn: str, damage: Damage):
    good = await ask(f"/conda/main/noarch/{fn}")
    for key in [key for key in stored(main.resources) if key.startswith("artifact/")]:
        damage(main, key)
    again = await Asker(ask.application)(f"/conda/main/noarch/{fn}")
    assert (again.status, again.body) == (200, good.body)


@pytest.mark.parametrize("damage", [cut, flip])
async def test_damaged_artifact_that_cannot_be_fetched_is_an_error_with_a_reason(
    main: Person, ask: Asker, damage: Damage
):
    await main.ask(mirrors.delete_mirror, "main")
    for key in [key for key in stored(main.resources) if key.startswith("artifact/")]:
        damage(main, key)
    answer = await ask(f"/conda/main/noarch/{BIG.fn}")
    assert answer.status == 503
    assert "damaged on this server" in json.loads(answer.body)["detail"]
    assert "artifact/" not in answer.body.decode()
    await main.run_jobs(main.resources)
    assert list((await lost(main)).values()) == [""]  # nothing mends it, and people are told


@pytest.mark.parametrize("damage", DAMAGES)
async def test_whole_index_that_is_lost_is_put_together_again_before_it_is_served(
    main: Person, ask: Asker, damage: Damage
):
    before = await read_all(ask)
    for key in [key for key in stored(main.resources) if key.startswith("repodata/")]:
        damage(main, key)
    assert await read_all(ask) == before


async def test_whole_index_of_a_superseded_publication_is_not_kept_and_a_rollback_has_it(main: Person, ask: Asker):
    before = await read_all(ask)
    await main.set_policy("main", BAN % "alpha")
    await collect(main)
    (left,) = [key for key in stored(main.resources) if key.startswith("repodata/")]
    async with main.resources.context(SYSTEM) as ctx:
        named = await ctx.session.scalars(
            text("SELECT subdirs->'noarch'->>'monolith' FROM publication ORDER BY number")
        )
        assert list(named)[1:] == [left]
    await main.ask(publications.rollback, "main", 1)
    assert await read_all(ask) == before


async def test_whole_index_that_cannot_be_put_together_right_is_not_stored(
    main: Person, ask: Asker, monkeypatch: pytest.MonkeyPatch
):
    """Its key is the digest of what was published: other bytes under it would be served as if they were those."""
    (key,) = [key for key in stored(main.resources) if key.startswith("repodata/")]
    delete(main, key)
    assemble = client_documents.assemble_monolith

    def assemble_wrong(*args: Any) -> Any:
        found = assemble(*args)
        return found._replace(data=found.data + b"\0")

    async with main.resources.context(SYSTEM) as ctx:
        (index,) = {blob.key for blob in await queries.list_named(ctx.session) if blob.role == "index"}
    monkeypatch.setattr(client_documents, "assemble_monolith", assemble_wrong)
    with pytest.raises(DamagedBlobError):
        client_documents.make_whole(main.resources.blobs.url, index, key)
    assert key not in stored(main.resources)


async def test_source_that_nothing_can_bring_back_is_told_and_what_was_published_stays(main: Person, ask: Asker):
    await main.ask(mirrors.delete_mirror, "main")
    async with main.resources.context(SYSTEM) as ctx:
        sources = [blob.key for blob in await queries.list_named(ctx.session) if blob.role == "source"]
    for key in set(sources):
        flip(main, key)
    report = (await run(main, "verify", RunOptions(repair=True))).report
    assert [(row.key, row.plan) for row in report.lost] == [(key, "") for key in sorted(set(sources))]
    assert (await ask("/conda/main/noarch/repodata.json")).status == 200
    await main.run_jobs(main.resources)
    assert set(await lost(main)) == set(sources)


async def test_superseded_publication_that_lacks_a_blob_is_retired(main: Person, ask: Asker):
    async with main.resources.context(SYSTEM) as ctx:
        old = {blob.key for blob in await queries.list_named(ctx.session) if blob.role == "index"}
    await main.set_policy("main", BAN % "alpha")
    async with main.resources.context(SYSTEM) as ctx:
        await ctx.session.execute(text("UPDATE publication SET number = number + 5 WHERE number > 1"))
    for key in old:
        delete(main, key)
    report = (await run(main, "verify", RunOptions(repair=True))).report
    assert {row.plan for row in report.lost} == {Way.retire.value}
    await main.run_jobs(main.resources)
    async with main.resources.context(SYSTEM) as ctx:
        rows = await ctx.session.execute(text("SELECT number, collected_at IS NULL FROM publication ORDER BY number"))
        assert [tuple(row) for row in rows][:1] == [(1, False)]


async def test_collection_notices_what_is_missing(main: Person):
    for key in [key for key in stored(main.resources) if key.startswith("repodata/")]:
        delete(main, key)
    await run(main, "collect", RunOptions())
    await settle(main)
    assert await is_whole(main)


# -- what others do meanwhile ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["folder", "bucket"])
@pytest.mark.parametrize("kind", ["artifact", "document", "index", "pack", "repodata"])
async def test_blob_that_was_stored_anew_after_it_was_found_damaged_stays(
    main: Person, kind: str, where: str, monkeypatch: pytest.MonkeyPatch
):
    (key, *_) = [key for key in sorted(stored(main.resources)) if key.startswith(f"{kind}/")]
    whole = main.resources.blobs.get_sync(key)
    cut(main, key)
    if where == "bucket":
        monkeypatch.setattr(FolderStore, "local_path", lambda self, key: None)
    diagnose = mending.diagnose

    async def diagnose_while_it_is_stored(*args: Any) -> list[mending.Diagnosis]:
        found = await diagnose(*args)
        main.resources.blobs.put_sync(key, whole)
        return found

    monkeypatch.setattr(mending, "diagnose", diagnose_while_it_is_stored)
    left = await mending.mend(main.resources, [key])
    assert main.resources.blobs.get_sync(key) == whole
    if kind in ("artifact", "document") or where == "bucket":
        assert left == []
        assert await lost(main) == {}


async def test_what_builders_store_is_deleted_from_a_bucket_only_while_nobody_builds(
    main: Person, monkeypatch: pytest.MonkeyPatch
):
    (key, *_) = [key for key in stored(main.resources) if key.startswith("repodata/")]
    cut(main, key)
    monkeypatch.setattr(FolderStore, "local_path", lambda self, key: None)
    monkeypatch.setattr(mending, "WAIT_S", 0.0)
    async with blobs_in_use(main.resources.lock_engine):
        await mending.mend(main.resources, [key])
    assert key in stored(main.resources)
    assert set(await lost(main)) == {key}
    await settle(main)
    assert await lost(main) == {}
    assert await is_whole(main)


async def test_two_menders_note_one_blob(main: Person):
    (key, *_) = [key for key in stored(main.resources) if key.startswith("index/")]
    delete(main, key)
    found = await mending.diagnose(main.resources, {key: "missing"})
    async with main.resources.context(SYSTEM) as ctx:
        await mending._note(ctx, [key], [], found)
        await ctx.session.flush()
        other = asyncio.create_task(mending.mend_found(main.resources, [key], found))
        await until(lambda: waits_or_is_done(main, other))
    await other
    assert set(await lost(main)) == {key}


async def test_who_mends_locks_channels_as_everybody_does(main: Person, upstream: UpstreamServer):
    """By id, and each before its mirror: whatever is asked for of which channel, two never wait for each other."""
    for name in ("c", "b", "a"):
        await main.mirror(name, upstream, subdirs=["noarch"], mode="active")
    ways = [Way.resync, Way.refetch, Way.republish, Way.retire]
    for first, second in itertools.permutations(ways, 2):
        found = [
            mending.Diagnosis("index/x", "missing", [], {first: {Namer("a", "noarch", 1, False)}}),
            mending.Diagnosis("index/y", "missing", [], {second: {Namer("b", "noarch", 1, False)}}),
        ]
        async with main.resources.context(SYSTEM) as ctx:
            await ctx.session.execute(text("SELECT id FROM channel WHERE name = 'b' FOR UPDATE"))  # b was made first
            mender = asyncio.create_task(_act_alone(main, found))
            await until(functools.partial(waits_or_is_done, main, mender))
            lock = "SELECT 1 FROM {} FOR UPDATE NOWAIT"
            await ctx.session.execute(text(lock.format("channel WHERE name = 'a'")))
            of_both = "mirror WHERE channel_id IN (SELECT id FROM channel WHERE name IN ('a', 'b'))"
            await ctx.session.execute(text(lock.format(of_both)))
        await mender


async def _act_alone(person: Person, found: list[mending.Diagnosis]) -> None:
    async with person.resources.context(SYSTEM) as ctx:
        await mending._act(ctx, found)


async def test_edit_of_a_mirror_locks_its_channel_first(main: Person):
    """As the deletion of a channel does, which ends with its mirror."""
    async with main.resources.context(SYSTEM) as ctx:
        await ctx.session.execute(text("SELECT id FROM channel FOR UPDATE"))
        other = mirrors.MirrorSettings("https://mirror.example/main", subdirs=["noarch"])
        edit = asyncio.create_task(main.ask(mirrors.update_mirror, "main", other))
        await until(lambda: waits_or_is_done(main, edit))
        await ctx.session.execute(text("SELECT id FROM mirror FOR UPDATE NOWAIT"))
    await edit


async def test_what_is_lost_and_needed_no_more_is_forgotten_when_its_channel_goes(main: Person):
    """It was told to monitoring for an hour, until its next try was due."""
    await main.ask(mirrors.delete_mirror, "main")
    for key in stored(main.resources):
        delete(main, key)
    await run(main, "verify", RunOptions(repair=True))
    async with main.resources.context(LOCAL) as ctx:
        lost = await queries.list_lost(ctx.session)
        await ctx.session.execute(text("UPDATE lost_blob SET next_try_at = now() + interval '1 hour'"))
    assert lost
    await main.ask(channels.delete_channel, "main")
    await main.run_jobs(main.resources)
    await jobs.mend_due(main.resources)
    async with main.resources.context(LOCAL) as ctx:
        assert await queries.count_lost(ctx.session) == 0


async def test_repair_looks_once_at_what_is_lost(main: Person, monkeypatch: pytest.MonkeyPatch):
    looks = []
    diagnose = mending.diagnose

    async def count_and_diagnose(*args: Any) -> list[mending.Diagnosis]:
        looks.append(args)
        return await diagnose(*args)

    for module in (mending, verifying):
        monkeypatch.setattr(module, "diagnose", count_and_diagnose)
    (key, *_) = [key for key in stored(main.resources) if key.startswith("repodata/")]
    delete(main, key)
    report = await verifying.verify_store(main.resources, RunOptions(repair=True))
    assert ([row.key for row in report.lost], len(looks)) == ([key], 1)
    assert set(await lost(main)) == {key}


# -- the scrub ---------------------------------------------------------------------------------------------------------


async def test_scrub_reads_everything_in_portions_and_finds_damage(main: Person):
    keys = sorted(stored(main.resources))
    damaged = [key for key in keys if key.startswith(("pack/", "artifact/"))]
    for key in damaged:
        flip(main, key)
    after, found, read = "", [], 0
    for _ in keys:
        portion = scrub(main.resources.blobs, after, 1)
        found += portion.damaged
        read += portion.size_bytes
        after = portion.key
        if not after:
            break
    assert sorted(found) == damaged
    assert read == sum(size for key, size in stored(main.resources).items() if key not in damaged)


async def test_scrub_goes_on_where_it_was_and_what_it_finds_is_mended(main: Person):
    for key in [key for key in stored(main.resources) if key.startswith("pack/")]:
        flip(main, key)
    await jobs.scrub(main.resources)
    await settle(main)
    assert await is_whole(main)
    async with main.resources.context(SYSTEM) as ctx:
        position = await queries.find_scrub(ctx.session)
        assert position.key == ""
        assert position.last_round_ended_at is not None


# -- what to do, by what a blob is for ---------------------------------------------------------------------------------

OLD, SERVED, STATE = Namer("main", "noarch", 1, False), Namer("main", "noarch", 2), Namer("main", "noarch")


@pytest.mark.parametrize(
    ("role", "by", "fn", "with_mirror", "without"),
    [
        ("source", SERVED, "", Way.resync, Way.nothing),
        ("source", STATE, "", Way.resync, Way.nothing),
        ("source", OLD, "", Way.retire, Way.retire),
        ("source", OLD, "alpha-1.0-0.conda", Way.refetch, Way.nothing),
        ("index", SERVED, "", Way.republish, Way.republish),
        ("index", OLD, "", Way.retire, Way.retire),
        ("monolith", SERVED, "", Way.republish, Way.republish),
        ("findings", SERVED, "", Way.republish, Way.republish),
        ("findings", OLD, "", Way.retire, Way.retire),
        ("derived", OLD, "", Way.rederive, Way.rederive),
        ("knowledge", Namer(), "", Way.recompile, Way.recompile),
        ("channeldata", Namer("main"), "", Way.resync, Way.nothing),
        ("run_exports", STATE, "", Way.resync, Way.nothing),
    ],
)
def test_way_follows_from_what_a_blob_is_for(role: str, by: Namer, fn: str, with_mirror: Way, without: Way):
    need = Need(NamedBlob("pack/x", role, by), fn)
    assert set(choose_ways([need], {"main"})) == {with_mirror}
    assert set(choose_ways([need], set())) == {without}


def test_sync_stands_for_the_publication_that_follows_it():
    needs = [Need(NamedBlob("pack/x", role, SERVED)) for role in ("index", "source")]
    assert set(choose_ways(needs, {"main"})) == {Way.resync}
    assert set(choose_ways(needs, set())) == {Way.nothing, Way.republish}


async def test_publishing_says_which_blob_is_lost(main: Person):
    async with main.resources.context(SYSTEM) as ctx:
        sources = {blob.key for blob in await queries.list_named(ctx.session) if blob.role == "source"}
        channel_id = await ctx.session.scalar(text("SELECT id FROM channel"))
    for key in sources:
        flip(main, key)
    with pytest.raises(DamagedBlobError) as raised:
        await publish_channel(main.resources, channel_id, cause="policy")
    assert raised.value.key in sources
