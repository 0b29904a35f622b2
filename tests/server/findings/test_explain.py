"""Explaining a component over the API and on its page: one service, the same words."""

from __future__ import annotations

from typing import Any

import pytest

from antivenom.server.advisories.models import Feed
from antivenom.server.context import LOCAL, Resources
from tests.server.findings.test_match import OPENSSL, REQUESTS, conda, learn
from tests.server.test_pages import member_client, stranger  # noqa: F401  # fixtures


@pytest.fixture
async def knowing(resources: Resources, run_jobs: Any) -> Resources:
    await learn(resources, REQUESTS, maps={"requests": ["requests"], "attr": []})
    async with resources.context(LOCAL) as ctx:
        ctx.session.add(Feed(kind="nvd", location="test:unread", created_at=ctx.now))
        ctx.session.add(Feed(kind="name-map", location="test:map", created_at=ctx.now, last_success_at=ctx.now))
    await learn(resources, OPENSSL)
    await run_jobs(resources)
    return resources


async def explain(client: Any, component: dict[str, Any], advisory: str = "", status: int = 200) -> dict[str, Any]:
    answer = await client.post("/api/v1/match/explain", json={"component": component, "advisory": advisory})
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_it_works(knowing: Resources, app_client: Any) -> None:
    found = await explain(app_client, conda("requests", "2.25.0", channel="conda-forge"))
    [item] = found["considered"]
    assert (item["ids"][0], item["outcome"], item["comparisons"][0]["result"]) == (
        "CVE-2023-32681",
        "finding",
        "inside",
    )
    assert (found["counts"]["finding"], found["revision"] > 0) == (1, True)
    feeds = {feed["location"]: feed for feed in found["feeds"]}
    assert (feeds["test:PYSEC-2023-74"]["is_heard"], feeds["test:PYSEC-2023-74"]["advisories"]) == (True, 1)
    assert feeds["test:map"]["why"] == "conda-forge: PyPI requests"
    assert (feeds["test:unread"]["is_heard"], feeds["test:unread"]["why"]) == (False, "not read yet")
    assert not feeds["test:CVE-2022-3602"]["is_heard"]
    assert found["feeds"][0]["is_heard"]  # those that are heard come first


async def test_one_advisory_by_any_of_its_ids(knowing: Resources, app_client: Any) -> None:
    found = await explain(app_client, conda("requests", "2.31.0"), "ghsa-j8r2-6x86-q33q")
    [item] = found["considered"]
    assert (item["outcome"], item["why"]) == (
        "not-affected",
        "2.31.0 is not in >=2.3.0,<2.31.0, says an advisory of its own ecosystem",
    )


async def test_an_advisory_of_another_package_says_what_it_is_about(knowing: Resources, app_client: Any) -> None:
    refused = await explain(app_client, conda("requests", "2.25.0"), "CVE-2022-3602", status=404)
    assert "it names cpe/openssl:openssl, and requests was looked up as pypi/requests" in refused["detail"]
    unknown = await explain(app_client, conda("requests", "2.25.0"), "CVE-1999-0001", status=404)
    assert "no feed that is read knows" in unknown["detail"]


async def test_a_package_that_a_map_knows_to_be_elsewhere_says_so(knowing: Resources, app_client: Any) -> None:
    found = await explain(app_client, conda("attr", "2.5.1", channel="conda-forge"))
    assert not found["assessed"]
    assert {f["location"]: f["why"] for f in found["feeds"]}["test:map"] == "conda-forge: not on PyPI"


async def test_what_is_no_component_is_refused(knowing: Resources, app_client: Any) -> None:
    refused = await explain(app_client, {"type": "conda", "name": "openssl"}, status=422)
    assert "has no version" in refused["detail"]


async def test_without_knowledge_there_is_nothing_to_explain(app_client: Any) -> None:
    refused = await explain(app_client, conda("openssl", "3.0.7"), status=404)
    assert "nothing can be explained" in refused["detail"]


async def test_the_page_says_what_the_api_says(knowing: Resources, member_client: Any) -> None:  # noqa: F811
    page = await member_client.get("/match", params={"component": "requests=2.25.0", "channel": "conda-forge"})
    assert page.status_code == 200
    assert "2.25.0 is in &gt;=2.3.0,&lt;2.31.0, says an advisory of its own ecosystem" in page.text
    assert "name map of conda-forge: conda requests is PyPI requests" in page.text
    refused = await member_client.get("/match", params={"component": "requests"})
    assert refused.status_code == 422
    assert "neither a conda component nor a purl" in refused.text
