"""The same in a bucket: what nothing names goes, what is lost is mended."""

from __future__ import annotations

import uuid

import pytest

from antivenom.server.channels import service as channels
from antivenom.server.context import LOCAL
from antivenom.server.storage.reports import RunOptions
from tests.e2e.upstream_channel import Package, write_upstream
from tests.s3_service import ACCESS
from tests.server.mirrors.conftest import Person
from tests.server.storage.conftest import collect, look, run, stored
from tests.upstreams import UpstreamServer


@pytest.fixture
def settings_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in ACCESS.items():
        monkeypatch.setenv(name, value)
    return {
        "ANTIVENOM_OUTBOUND_ALLOW": "127.0.0.1,localhost",
        "ANTIVENOM_BLOB_URL": f"s3://antivenom/{uuid.uuid4().hex}",
        "ANTIVENOM_S3_ENDPOINT": s3_endpoint,
        "ANTIVENOM_S3_ACCESS_KEY_ID": ACCESS["AWS_ACCESS_KEY_ID"],
        "ANTIVENOM_S3_SECRET_ACCESS_KEY": ACCESS["AWS_SECRET_ACCESS_KEY"],
    }


async def test_bucket_is_collected_and_mended_like_a_folder(person: Person, upstream: UpstreamServer, heavy_work):
    await heavy_work.close()  # a child that knows the bucket's credentials
    write_upstream(upstream.folder, [Package("alpha", "1.0"), Package("beta", "1.0")])
    await person.mirror("one", upstream, subdirs=["noarch"])
    found = await look(person.resources)
    assert (found.missing, found.unnamed) == ([], [])
    keys = [key for key in stored(person.resources) if key.startswith("pack/")]
    for key in keys:
        await person.resources.blobs.delete(key)
    report = (await run(person, "verify", RunOptions(repair=True))).report
    assert {row.key for row in report.lost} == set(keys)
    await person.run_jobs(person.resources)
    assert await person.kept("one") == {"alpha-1.0-0.conda", "beta-1.0-0.conda"}
    async with person.resources.context(LOCAL) as ctx:
        await channels.delete_channel(ctx, "one")
    await collect(person)
    assert stored(person.resources) == {}
