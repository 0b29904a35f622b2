"""Channel files out of a real S3 service: shards, a large monolith, artifacts, ranges."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import uuid
from collections.abc import Iterator

import pytest

from antivenom.server.adapters.cpu import CpuPool
from antivenom.server.web import blob_content
from tests.e2e.upstream_channel import Package, write_upstream
from tests.s3_service import ACCESS
from tests.server.asking import Asker
from tests.server.distribution.test_channel_files import shards_of
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer, make_record, write_channel


@pytest.fixture
def heavy_work() -> Iterator[CpuPool]:
    """A child process of this test's own: it starts after the credentials were put into the environment."""
    pool = CpuPool(1)
    yield pool
    asyncio.run(pool.close())


@pytest.fixture
def settings_environment(s3_endpoint: str) -> dict[str, str]:
    return {
        "ANTIVENOM_OUTBOUND_ALLOW": "127.0.0.1,localhost",
        "ANTIVENOM_BLOB_URL": f"s3://antivenom/{uuid.uuid4().hex}",
        "ANTIVENOM_S3_ENDPOINT": s3_endpoint,
        "ANTIVENOM_S3_ACCESS_KEY_ID": ACCESS["AWS_ACCESS_KEY_ID"],
        "ANTIVENOM_S3_SECRET_ACCESS_KEY": ACCESS["AWS_SECRET_ACCESS_KEY"],
    }


async def test_a_bucket_serves_shards_monolith_and_artifacts(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    big = Package("big", "1.0", payload=os.urandom(1_500_000))
    write_upstream(upstream.folder, [Package("alpha", "1.0"), big], shards=True)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    for digest in (await shards_of(ask)).values():
        shard = await ask(f"/conda/main/noarch/shards/{digest}.msgpack.zst")
        assert (shard.status, hashlib.sha256(shard.body).hexdigest()) == (200, digest)
    whole = (upstream.folder / "noarch" / big.fn).read_bytes()
    assert (await ask(f"/conda/main/noarch/{big.fn}")).body == whole  # from upstream, stored meanwhile
    await ask.application.artifacts.finish_recording()
    upstream.requests.clear()
    assert (await ask(f"/conda/main/noarch/{big.fn}")).body == whole
    assert (await ask(f"/conda/main/noarch/{big.fn}", range="bytes=-7")).body == whole[-7:]
    assert upstream.requests == []


async def test_a_bucket_serves_a_large_monolith_in_pieces(
    person: Person, upstream: UpstreamServer, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_content, "SMALL_BYTES", 1000)
    monkeypatch.setattr(blob_content, "OBJECT_CHUNK_BYTES", 10_000)
    records = [make_record(f"p{i % 50}", f"{i}.0", subdir="noarch") for i in range(600)]
    write_channel(upstream.folder, {"noarch": records})
    await person.mirror("main", upstream, subdirs=["noarch"])
    compressed = await ask("/conda/main/noarch/repodata.json.zst")
    assert compressed.status == 200
    assert len(compressed.body) == int(compressed.headers["content-length"]) > 20_000
    part = await ask("/conda/main/noarch/repodata.json.zst", range="bytes=9990-20010")
    assert (part.status, part.body) == (206, compressed.body[9990:20011])
    plain = await ask("/conda/main/noarch/repodata.json")
    assert set(json.loads(plain.body)["packages.conda"]) == {fn for fn, _ in records}
