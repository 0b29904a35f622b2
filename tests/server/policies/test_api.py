"""/api/v1/policies as a client sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antivenom.server.context import LOCAL, Resources
from antivenom.server.policies.service import save_policy

TEXT = """\
name: baseline
rules:
  - {id: exploited, gate: vulnerabilities, trigger: package, action: stop, params: {kev: true}}
"""


async def test_a_right_policy_is_said_to_be_right(app_client: Any) -> None:
    answer = await app_client.post("/api/v1/policies/check", json={"text": TEXT})
    assert answer.status_code == 200
    expected = {"valid": True, "name": "baseline", "rules": 1, "allowlist": 0, "gates": ["vulnerabilities"]}
    assert answer.json() == expected


async def test_a_wrong_policy_answers_its_problems(app_client: Any) -> None:
    answer = await app_client.post("/api/v1/policies/check", json={"text": TEXT.replace("kev", "kve")})
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert (problem["line"], problem["column"]) == (3, 85)
    assert problem["problems"][0]["field"] == "rules[0].params.kve"
    assert problem["problems"][0]["hint"] == "did you mean 'kev'?"


@pytest.mark.parametrize(
    "body",
    [{}, {"text": 3}, {"text": "x", "more": 1}, [], {"text": "\ud800"}, {"text": "a\x00b"}, {"text": "[" * 100_000}],
)
async def test_hostile_bodies_are_refused(app_client: Any, body: Any) -> None:
    content = json.dumps(body)  # not the client's own: it refuses a lone surrogate, which a hostile client would send
    headers = {"content-type": "application/json"}
    answer = await app_client.post("/api/v1/policies/check", content=content, headers=headers)
    assert answer.status_code in (400, 422)


async def test_a_policy_and_its_revisions_are_answered(app_client: Any, resources: Resources) -> None:
    for text in (TEXT, TEXT + "# again\n"):
        async with resources.context(LOCAL) as ctx:
            await save_policy(ctx, text)
    listed = (await app_client.get("/api/v1/policies")).json()
    assert (listed["total"], listed["items"][0]["name"], listed["items"][0]["revision"]) == (1, "baseline", 2)
    latest = (await app_client.get("/api/v1/policies/baseline")).json()
    assert latest["text"].endswith("# again\n")
    first = (await app_client.get("/api/v1/policies/baseline?revision=1")).json()
    assert first["text"] == TEXT
    revisions = (await app_client.get("/api/v1/policies/baseline/revisions")).json()
    assert [r["number"] for r in revisions["items"]] == [2, 1]
    diff = (await app_client.get("/api/v1/policies/baseline/diff?from=1&to=2")).json()
    assert "+# again" in diff["lines"]
    assert (await app_client.get("/api/v1/policies/nope")).status_code == 404


async def test_a_stranger_sees_no_policy(anonymous_client: Any) -> None:
    for path in ("/api/v1/policies", "/api/v1/policies/baseline"):
        assert (await anonymous_client.get(path)).status_code in (401, 403)
    answer = await anonymous_client.post("/api/v1/policies/check", json={"text": TEXT})
    assert answer.status_code in (401, 403)
