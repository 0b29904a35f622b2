"""What the API answers of a channel: rows with exactly the fields that OpenAPI describes, paged or streamed."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from antivenom.server.catalog.rows import (
    ChannelFinding,
    PackageDetails,
    PackageOverview,
    RecordDecision,
    WithheldRecord,
)
from antivenom.server.channel_policies.plans import PolicyPlan
from tests.server.catalog.samples import channel_finding
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.test_syncing import BAN_XZ, small_channel
from tests.upstreams import UpstreamServer, write_channel

LISTS = {
    "packages": PackageOverview,
    "withheld": WithheldRecord,
    "explain?what=xz": RecordDecision,
}


@pytest.fixture
async def api(person: Person, upstream: UpstreamServer, app_client: Any) -> Any:
    """A client of a server with the channel "main", of which a policy withholds xz 5.6.0."""
    write_channel(upstream.folder, small_channel())
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=BAN_XZ)
    return app_client


@pytest.mark.parametrize(("path", "row"), LISTS.items())
async def test_a_list_answers_rows_with_exactly_the_fields_of_the_row(api: Any, path: str, row: type[Any]) -> None:
    answer = (await api.get(f"/api/v1/channels/main/{path}")).json()
    assert answer["items"]
    assert answer.keys() == {"items", "total", "page", "page_size"}
    for item in answer["items"]:
        assert msgspec.to_builtins(msgspec.convert(item, row)) == item


async def test_a_stream_has_the_same_rows_as_the_pages(api: Any) -> None:
    paged = (await api.get("/api/v1/channels/main/withheld")).json()
    streamed = await api.get("/api/v1/channels/main/withheld", params={"stream": True})
    assert streamed.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in streamed.text.splitlines()] == paged["items"]
    assert paged["total"] == 2


async def test_a_package_has_its_records_and_the_version_that_is_allowed(api: Any) -> None:
    answer = (await api.get("/api/v1/channels/main/packages/xz")).json()
    package = msgspec.convert(answer, PackageDetails)
    assert msgspec.to_builtins(package) == answer
    assert {record.version: record.decision for record in package.records} == {"5.4.6": "admitted", "5.6.0": "withheld"}
    assert package.allowed_version == "5.4.6"


async def test_a_plan_names_the_records_and_the_rules(api: Any) -> None:
    answer = (await api.post("/api/v1/channels/main/policy/plan", json={"text": "name: all\nrules: []\n"})).json()
    plan = msgspec.convert(answer, PolicyPlan)
    assert msgspec.to_builtins(plan) == answer
    assert (plan.counts.withheld, plan.counts.released, plan.counts.after.withheld) == (0, 2, 0)
    assert plan.by_rule["banned"].released == 1


def test_a_finding_is_encoded_with_its_fields_and_those_of_its_component() -> None:
    row = channel_finding(ids=("CVE-1", "GHSA-1"), fix_in_channel=True)
    assert msgspec.json.decode(msgspec.json.encode(row), type=ChannelFinding) == row
    assert {"ids", "severity", "name", "version", "records", "fix_in_channel"} <= msgspec.to_builtins(row).keys()
