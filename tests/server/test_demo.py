"""The demo: authored data that the real readers accept, the channel it makes, and its removal."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import pytest
import zstandard

from antivenom import demo as data
from antivenom.core.policy.compile import parse_policy
from antivenom.server import demo
from antivenom.server.advisories import service as advisories
from antivenom.server.catalog import service as catalog
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.channels import service as channels
from antivenom.server.context import LOCAL, SYSTEM, Context, Resources
from antivenom.server.mirrors import service as mirrors
from antivenom.server.policies import service as policies
from antivenom.server.publications import service as publications


def records(subdir: str) -> dict[str, Any]:
    index = json.loads(data.read(f"channel/{subdir}/repodata.json") or b"")
    return dict(index["packages.conda"])


def test_demo_policy_is_valid() -> None:
    assert {rule.gate for rule in parse_policy(data.policy_text()).rules} >= {"vulnerabilities", "licenses", "packages"}


@pytest.mark.parametrize("subdir", data.SUBDIRS)
def test_every_record_has_the_digest_and_size_of_its_artifact(subdir: str) -> None:
    found = records(subdir)
    assert found
    for fn, record in found.items():
        artifact = data.read(f"channel/{subdir}/{fn}") or b""
        assert (record["sha256"], record["size"]) == (hashlib.sha256(artifact).hexdigest(), len(artifact))


def test_artifacts_are_conda_files_whose_index_agrees_with_their_record() -> None:
    fn, record = next(iter(records("linux-64").items()))
    with zipfile.ZipFile(io.BytesIO(data.read(f"channel/linux-64/{fn}") or b"")) as archive:
        info = zstandard.decompress(archive.read(f"info-{fn.removesuffix('.conda')}.tar.zst"), max_output_size=1 << 20)
    assert f'"name":"{record["name"]}"'.encode() in info


def test_every_dependency_names_a_package_of_the_demo() -> None:
    everything = [record for subdir in data.SUBDIRS for record in records(subdir).values()]
    names = {record["name"] for record in everything}
    assert {spec.split()[0] for record in everything for spec in record["depends"]} <= names


@pytest.mark.parametrize(
    "path", ["", "channel", "channel/linux-64/", "channel/../policy.yaml", "feeds/none", "policy.yaml"]
)
def test_nothing_else_is_served(path: str) -> None:
    assert data.read(path) is None


async def seed(resources: Resources, run_jobs: Any) -> None:
    await demo.start(resources)
    assert await run_jobs(resources) == []


async def test_demo_channel_is_published_with_what_was_withheld_and_why(resources: Resources, run_jobs: Any) -> None:
    await seed(resources, run_jobs)
    async with resources.context(LOCAL) as ctx:
        assert (await mirrors.get_mirror(ctx, "demo")).last_error == ""
        feeds = (await advisories.list_feeds(ctx)).items
        assert [(f.kind, f.state, f.counts.set_aside or 0) for f in feeds] == [
            (kind, "ok", 0) for kind in data.FEED_URLS
        ]
        withheld = await withheld_rules(ctx)
    assert "banned" in withheld["xz 5.6.1"]
    assert "exploited" in withheld["pillow 10.0.0"]
    assert "exploited" in withheld["libwebp 1.3.1"]
    assert "critical-fixable" in withheld["libcurl 8.3.0"]
    assert "likely-exploited" in withheld["aiohttp 3.9.1"]
    assert "network-copyleft" in withheld["ghostscript 10.04.0"]
    assert "banned" in withheld["terraform 1.9.8"]
    assert "python 3.8.12" in withheld, "it needs an openssl 1.1.1 that is withheld"
    for kept in ("openssl 3.4.1", "pillow 11.1.0", "xz 5.6.4", "terraform 1.5.7", "pytorch 2.5.1", "numpy 2.2.3"):
        assert kept not in withheld


async def withheld_rules(ctx: Context) -> dict[str, set[str]]:
    page = await catalog.list_withheld(ctx, "demo", page_size=500)
    rules: dict[str, set[str]] = {}
    for row in page.items:
        rules.setdefault(f"{row.name} {row.version}", set()).update(reason.rule_id for reason in row.reasons)
    return rules


async def test_starting_again_changes_nothing(resources: Resources) -> None:
    await demo.start(resources)
    await demo.start(resources)
    async with resources.context(LOCAL) as ctx:
        assert (await publications.list_channel_summaries(ctx)).total == 1


async def test_everything_of_the_demo_says_so(resources: Resources) -> None:
    await demo.start(resources)
    async with resources.context(LOCAL) as ctx:
        assert (await channels.get_channel(ctx, "demo")).is_demo
        assert all(feed.is_demo for feed in (await advisories.list_feeds(ctx)).items)
        assert (await policies.get_policy(ctx, "demo"))[0].is_demo


async def test_removing_the_demo_leaves_nothing_of_it(resources: Resources, run_jobs: Any) -> None:
    await seed(resources, run_jobs)
    async with resources.context(LOCAL) as ctx:
        assert await demo.remove_demo(ctx) == demo.RemovedDemo(channels=1, feeds=len(data.FEED_URLS), policies=1)
    async with resources.context(LOCAL) as ctx:
        assert (await publications.list_channel_summaries(ctx)).total == 0
        assert (await advisories.list_feeds(ctx)).total == 0
        assert (await policies.list_policies(ctx)).total == 0
        assert (await advisories.search_advisories(ctx)).total == 0


async def test_a_demo_policy_in_use_elsewhere_stays(resources: Resources) -> None:
    await demo.start(resources)
    async with resources.context(SYSTEM) as ctx:
        await channels.create_channel(ctx, "mine")
        await channel_policies.set_policy(ctx, "mine", data.policy_text())
        assert (await demo.remove_demo(ctx)).policies == 0
    async with resources.context(LOCAL) as ctx:
        assert not (await policies.get_policy(ctx, "demo"))[0].is_demo
