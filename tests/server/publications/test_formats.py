"""Publications of earlier formats go on being served, and are rewritten in the background."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import zstandard
from sqlalchemy import text

from antivenom.core.policy.compile import Reason
from antivenom.core.publication.publication_map import (
    ANY_FILE,
    FORMAT,
    READABLE_FORMATS,
    NameDecisions,
    PublicationMap,
    SharedDecision,
    UnreadablePublicationError,
    decode_decisions,
    load_publication,
)
from antivenom.core.source.packs import content_key, read
from antivenom.core.source.source_map import store
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.context import SYSTEM
from antivenom.server.publications import jobs, service
from tests.reports.conftest import FollowingAsker
from tests.server.mirrors.conftest import Person, person, upstream
from tests.upstreams import UpstreamServer, make_record, write_channel

__all__ = ["person", "upstream"]

BAN = 'name: ban\nrules:\n  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["%s"]}}\n'
FILES = (
    "repodata.json",
    "repodata.json.zst",
    "repodata_shards.msgpack.zst",
    "current_repodata.json",
    "run_exports.json",
)


def rewritten(blobs: StoreBlobs, published: PublicationMap, written: int) -> str:
    """The map as a release with that format wrote it; its key."""
    buckets = []
    for bucket in published.buckets:
        if bucket.decisions_digest:
            frame = read(blobs, bucket.decisions)
            data = zstandard.compress(earlier_decisions(frame, written))
            key = content_key("pack", data)
            blobs.put(key, data)
            bucket = msgspec.structs.replace(
                bucket, decisions=bucket.decisions._replace(pack=key, offset=0, length=len(data))
            )
        buckets.append(bucket)
    return store(blobs, msgspec.structs.replace(published, format=written, buckets=buckets))


def earlier_decisions(frame: bytes, written: int) -> bytes:
    """A bucket's decisions as that format has them."""
    if written == 1:
        return msgspec.msgpack.encode(decode_decisions(frame))
    names = msgspec.msgpack.decode(zstandard.decompress(frame), type=list[NameDecisions])
    if written == 2:
        names = [msgspec.structs.replace(name, shared=[without_mark(one) for one in name.shared]) for name in names]
    return msgspec.msgpack.encode(names)


def without_mark(shared: SharedDecision) -> SharedDecision:
    def plain(reason: Reason) -> Reason:
        return msgspec.structs.replace(reason, trigger_id=reason.trigger_id.removesuffix(ANY_FILE))

    excepted = tuple((item, plain(reason)) for item, reason in shared.excepted)
    return msgspec.structs.replace(shared, reasons=tuple(map(plain, shared.reasons)), excepted=excepted)


@pytest.fixture
async def main(person: Person, upstream: UpstreamServer) -> Person:
    """Channels `main` and `twin` that serve the same."""
    records = [make_record(name, "1.0", subdir="noarch") for name in ("alpha", "beta", "gamma")]
    write_channel(upstream.folder, {"noarch": records})
    for channel in ("main", "twin"):
        await person.mirror(channel, upstream, subdirs=["noarch"], policy_text=BAN % "alpha")
    return person


INDEX = (
    "SELECT subdirs->'noarch'->>'index' FROM publication p JOIN channel c ON c.id = p.channel_id AND c.name = 'main'"
)
REPLACE = """
    UPDATE publication SET format = 0, subdirs = jsonb_set(subdirs, '{noarch,index}', to_jsonb(CAST(:key AS text)))
    WHERE channel_id = (SELECT id FROM channel WHERE name = 'main')
"""


async def ask_database(person: Person, query: str) -> Any:
    async with person.resources.context(SYSTEM) as ctx:
        return await ctx.session.scalar(text(query))


async def publish_as(person: Person, written: int) -> str:
    """Let the publication of `main` be one of an earlier release, before anybody has read it; the key of its map."""
    blobs = StoreBlobs(person.resources.blobs)
    key = rewritten(blobs, load_publication(blobs, await ask_database(person, INDEX)), written)
    async with person.resources.context(SYSTEM) as ctx:
        await ctx.session.execute(text(REPLACE), {"key": key})
    return key


async def answers(ask: FollowingAsker, channel: str) -> dict[str, tuple[int, bytes]]:
    found = {}
    for fn in (*FILES, "alpha-1.0-h0_0.conda"):
        answer = await ask(f"/conda/{channel}/noarch/{fn}")
        found[fn] = answer.status, answer.body.replace(channel.encode(), b"CHANNEL")
    return found


async def count_behind(person: Person) -> int:
    return int(await ask_database(person, "SELECT sum(wanted - applied) FROM channel"))


@pytest.mark.parametrize("written", READABLE_FORMATS)
async def test_publication_of_an_earlier_format_is_served_and_rewritten(main: Person, app: Any, written: int):
    ask = FollowingAsker(app)
    await publish_as(main, written)
    served, expected = await answers(ask, "main"), await answers(ask, "twin")
    assert {status for status, _ in expected.values()} == {200, 403}
    served.pop("repodata_shards.msgpack.zst"), expected.pop("repodata_shards.msgpack.zst")  # have the time of making
    assert served == expected
    assert await main.kept("main") == await main.kept("twin") == {"beta-1.0-h0_0.conda", "gamma-1.0-h0_0.conda"}
    assert await main.withheld("main") == await main.withheld("twin")
    await jobs.reconcile_channels(main.resources)
    assert await count_behind(main) == 1
    await main.run_jobs(main.resources)
    newest = await ask_database(main, f"{INDEX} ORDER BY p.number DESC LIMIT 1")
    assert load_publication(StoreBlobs(main.resources.blobs), newest).format == FORMAT
    assert await main.withheld("main") == await main.withheld("twin")
    await jobs.reconcile_channels(main.resources)
    assert await count_behind(main) == 0


async def test_edit_over_an_earlier_format_is_published(main: Person):
    await publish_as(main, 1)
    await main.set_policy("main", BAN % "beta")
    assert await main.kept("main") == {"alpha-1.0-h0_0.conda", "gamma-1.0-h0_0.conda"}


async def test_rollback_to_an_earlier_format_is_left_as_it_is(main: Person):
    await publish_as(main, 2)
    await main.set_policy("main", BAN % "beta")
    await main.ask(service.rollback, "main", 1)
    await jobs.reconcile_channels(main.resources)
    await main.run_jobs(main.resources)
    assert await main.kept("main") == {"beta-1.0-h0_0.conda", "gamma-1.0-h0_0.conda"}


async def test_format_of_a_later_release_is_an_error_that_says_what_helps(main: Person, app: Any):
    ask = FollowingAsker(app)
    key = await publish_as(main, FORMAT + 1)
    answer = await ask("/conda/main/noarch/repodata.json")
    assert (answer.status, b"antivenom channel publish" in answer.body) == (503, True)
    with pytest.raises(UnreadablePublicationError):
        load_publication(StoreBlobs(main.resources.blobs), key, formats=READABLE_FORMATS)
    await main.ask(service.request_publication, "main")
    assert await main.run_jobs(main.resources) == []
    assert (await ask("/conda/main/noarch/repodata.json")).status == 200
