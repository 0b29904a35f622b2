"""A plan tells what differs from what is served, whatever of that is lost or was written by an earlier release."""

from __future__ import annotations

import msgspec
import pytest
import zstandard
from sqlalchemy import text

from antivenom.core.errors import LostBlobError
from antivenom.core.publication.publication_map import READABLE_FORMATS, PublicationMap, load_publication
from antivenom.core.publishing.publish import Plan
from antivenom.core.source.packs import content_key
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.channels.service import get_channel
from antivenom.server.context import LOCAL, SYSTEM
from antivenom.server.publications.build_publication import BuildRequest, plan_publication
from antivenom.server.publications.publish_channel import request_with_policy
from antivenom.server.storage import queries
from antivenom.server.storage.collecting import read_roots
from antivenom.server.storage.marking import KINDS
from tests.server.mirrors.conftest import Person, person, upstream
from tests.upstreams import UpstreamServer, make_record, write_channel

__all__ = ["person", "upstream"]

BAN = "name: ban\nrules:\n  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: [%s]}}\n"


@pytest.fixture
async def main(person: Person, upstream: UpstreamServer) -> Person:
    """A channel that withholds alpha, and by its closure what needs it."""
    records = [make_record(name, "1.0", subdir="noarch") for name in ("alpha", "beta", "gamma")]
    records.append(make_record("needs-alpha", "1.0", subdir="noarch", depends=["alpha"]))
    write_channel(upstream.folder, {"noarch": records})
    await person.mirror("main", upstream, subdirs=["noarch"], policy_text=BAN % "alpha")
    return person


async def request_to_plan(person: Person, policy_text: str) -> BuildRequest:
    async with person.resources.context(LOCAL) as ctx:
        return await request_with_policy(ctx, await get_channel(ctx, "main"), policy_text)


def plan(person: Person, request: BuildRequest) -> Plan:
    planned: Plan = plan_publication(person.resources.blobs.url, request)
    return planned


def names(planned: Plan) -> tuple[set[str], set[str]]:
    return {item.name for item in planned.withheld}, {item.name for item in planned.released}


async def test_plan_is_the_same_whatever_of_the_served_publication_is_lost_or_says_what_is(main: Person):
    request = await request_to_plan(main, BAN % "alpha, beta")
    whole = plan(main, request)
    assert names(whole) == ({"beta"}, set())
    blobs = main.resources.blobs
    differs: dict[str, object] = {}
    refused: set[tuple[str, str]] = set()
    for key in sorted(key for kind in KINDS for key, _, _ in blobs.list_sync(f"{kind}/")):
        data = blobs.get_sync(key)
        blobs.delete_sync(key)
        try:
            if (planned := plan(main, request)) != whole:
                differs[key] = names(planned)
        except LostBlobError as error:
            refused.add((key, error.key))
        blobs.put_sync(key, data)
    assert differs == {}
    async with main.resources.context(SYSTEM) as ctx:
        needed = {blob.key for blob in await queries.list_named(ctx.session) if blob.role in ("source", "index")}
    assert {(key, key) for key in needed} <= refused
    assert not [key for key, told in refused if key != told or key.startswith("repodata/")]


@pytest.mark.parametrize("written", [number for number in READABLE_FORMATS if number > 1])
async def test_plan_is_compared_with_a_publication_of_an_earlier_format(main: Person, written: int):
    request = await request_to_plan(main, BAN % "alpha, beta")
    whole = plan(main, request)
    store = StoreBlobs(main.resources.blobs)
    (key,) = request.previous.values()
    found: PublicationMap = msgspec.structs.replace(load_publication(store, key), format=written)
    data = zstandard.compress(msgspec.msgpack.encode(found))
    earlier = content_key("index", data)
    store.put(earlier, data)
    planned = plan(main, msgspec.structs.replace(request, previous={"noarch": earlier}))
    assert planned == whole


async def test_who_plans_tells_what_is_lost(main: Person):
    (key,) = (await read_roots(main.resources)).indexes
    main.resources.blobs.delete_sync(key)
    with pytest.raises(LostBlobError):
        await channel_policies.plan_policy(main.resources, LOCAL, "main", BAN % "beta")
    async with main.resources.context(SYSTEM) as ctx:
        told = await ctx.session.scalars(text("SELECT subject FROM event WHERE kind = 'blob.lost'"))
        assert list(told) == [f"blob:{key}"]
