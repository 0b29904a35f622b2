"""Tokens: made once, shown once, stored hashed, ended at once; and what else may stand in a request."""

from __future__ import annotations

import base64
import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from antivenom.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from antivenom.server.context import LOCAL, Actor, Context, Resources
from antivenom.server.members import service
from antivenom.server.members.authentication import find_token_actor, read_credential

CONDA_TOKEN = re.compile(r"/t/([a-zA-Z0-9-]+)/")  # conda 24.7 conda/common/url.py


async def make(resources: Resources, name: str = "ci", **options: Any) -> str:
    async with resources.context(LOCAL) as ctx:
        return (await service.create_token(ctx, name, **options)).value


async def test_new_token_is_its_actor(resources: Resources):
    value = await make(resources, role="author")
    assert await find_token_actor(resources, value) == Actor("token", "ci", "author")


async def test_token_fits_where_conda_looks_for_one(resources: Resources):
    value = await make(resources)
    found = CONDA_TOKEN.search(f"http://host/t/{value}/conda/main")
    assert found is not None
    assert found[1] == value
    assert len(value) >= 43


async def test_value_is_nowhere_in_the_database(resources: Resources):
    value = await make(resources)
    async with resources.context(LOCAL) as ctx:
        for table in ("token", "event"):
            rows = await ctx.session.scalars(text(f"SELECT t::text FROM {table} AS t"))
            dump = "\n".join(rows)
            assert dump
            assert value not in dump
            assert value.encode().hex() not in dump


async def test_revoked_token_is_refused_at_once(resources: Resources):
    value = await make(resources)
    async with resources.context(LOCAL) as ctx:
        await service.revoke_token(ctx, "ci")
    assert await find_token_actor(resources, value) is None


async def test_the_name_of_a_revoked_token_stays_taken_and_says_why(resources: Resources):
    await make(resources)
    async with resources.context(LOCAL) as ctx:
        await service.revoke_token(ctx, "ci")
    with pytest.raises(ConflictError) as refused:
        await make(resources)
    assert refused.value.message == "there was a token 'ci' already"
    assert "audit trail" in refused.value.hint


async def test_expired_token_is_refused(resources: Resources):
    value = await make(resources, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert await find_token_actor(resources, value) is not None
    resources.clock = lambda: datetime.now(UTC) + timedelta(hours=2)
    assert await find_token_actor(resources, value) is None


async def test_use_is_noted_and_not_with_every_request(resources: Resources):
    value = await make(resources)
    await find_token_actor(resources, value)
    async with resources.context(LOCAL) as ctx:
        first = (await service.list_tokens(ctx)).items[0].last_used_at
    await find_token_actor(resources, value)
    async with resources.context(LOCAL) as ctx:
        assert (await service.list_tokens(ctx)).items[0].last_used_at == first
    assert first is not None


@pytest.mark.parametrize(
    "value", ["", "av-", "av-" + "0" * 64, "avlocal-" + "0" * 64, "é" * 40, "av-\x00", "x" * 10_000]
)
async def test_what_is_no_token_is_nobody(resources: Resources, local_token: str, value: str):
    assert await find_token_actor(resources, value) is None


async def test_local_token_is_the_local_administrator(resources: Resources, local_token: str):
    assert await find_token_actor(resources, local_token) == LOCAL
    assert await find_token_actor(resources, local_token + "0") is None


async def test_name_cannot_be_taken_twice(resources: Resources):
    await make(resources)
    with pytest.raises(ConflictError):
        await make(resources)


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", "a" * 65, "<script>", "a\x00b", "-x", "é"])
async def test_hostile_name_is_refused(resources: Resources, name: str):
    with pytest.raises(InvalidInputError, match="cannot name"):
        await make(resources, name)


@pytest.mark.parametrize(
    "options",
    [
        {"role": "owner"},
        {"expires_at": datetime(2001, 1, 1, tzinfo=UTC)},
        {"expires_at": datetime.now(UTC) + timedelta(days=9999)},
    ],
)
async def test_wrong_options_are_refused(resources: Resources, options: dict[str, Any]):
    with pytest.raises(InvalidInputError):
        await make(resources, **options)


async def test_only_administrators_make_tokens(resources: Resources):
    async with resources.context(Actor("token", "ci", "author")) as ctx:
        with pytest.raises(ForbiddenError):
            await service.create_token(ctx, "more", role="admin")


async def test_unknown_token_cannot_be_revoked(resources: Resources):
    async with resources.context(LOCAL) as ctx:
        with pytest.raises(NotFoundError):
            await service.revoke_token(ctx, "none")


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        ("Bearer av-123", "av-123"),
        ("bearer   av-123 ", "av-123"),
        ("token av-123", "av-123"),
        (basic("token:av-123"), "av-123"),
        (basic("av-123:"), "av-123"),
        (basic("av-123:x"), "av-123"),
        (basic("ana:secret"), "secret"),
        ("Basic !!!", None),
        ("Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(), None),
        ("Digest x", None),
        ("", None),
        ("Bearer", None),
    ],
)
def test_token_is_found_in_the_header(header: str, credential: str | None):
    assert read_credential(header) == credential


@given(st.text())
def test_no_header_breaks_the_reader(header: str):
    read_credential(header)


# -- over HTTP ---------------------------------------------------------------------------------------------------------


async def test_token_is_made_used_and_revoked_over_the_api(app_client, anonymous_client):
    created = await app_client.post("/api/v1/tokens", json={"name": "ci", "role": "reader"})
    assert created.status_code == 201
    value = created.json()["token"]
    headers = {"Authorization": f"Bearer {value}"}
    me = await anonymous_client.get("/api/v1/me", headers=headers)
    assert (me.json()["kind"], me.json()["name"], me.json()["role"]) == ("token", "ci", "member")
    refused = await anonymous_client.post("/api/v1/tokens", json={"name": "more"}, headers=headers)
    assert refused.status_code == 403
    listed = await app_client.get("/api/v1/tokens")
    assert value not in listed.text
    assert [row["name"] for row in listed.json()["items"]] == ["ci"]
    assert (await app_client.delete("/api/v1/tokens/ci")).json()["revoked_at"]
    gone = await anonymous_client.get("/api/v1/me", headers=headers)
    assert gone.status_code == 401
    assert gone.headers["content-type"] == "application/problem+json"


async def test_secrets_never_reach_a_log(app_client, anonymous_client, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    value = (await app_client.post("/api/v1/tokens", json={"name": "ci"})).json()["token"]
    await anonymous_client.get(f"/t/{value}/conda/none/noarch/repodata.json")
    await anonymous_client.get("/api/v1/me", headers={"Authorization": f"Bearer {value}x"})
    await anonymous_client.get("/api/v1/me", headers={"Authorization": basic(f"token:{value}")})
    await anonymous_client.post("/sign-in", data={"name": "admin", "password": "hush-hush-hush"})
    ours = "\n".join(
        r.getMessage() for r in caplog.records if not r.name.startswith(("sqlalchemy", "httpcore", "httpx", "asyncio"))
    )
    assert value not in ours
    assert "hush-hush" not in ours


async def test_audit_trail_says_who_did_what(app_client):
    await app_client.post("/api/v1/tokens", json={"name": "ci"})
    items = (await app_client.get("/api/v1/events", params={"kind": "token.created"})).json()["items"]
    assert [(i["actor"], i["subject"], i["data"]) for i in items] == [("local", "token:ci", {"role": "member"})]


HOSTILE_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"name": 5}',
    b'{"name": "x", "role": "root"}',
    b'{"name": "a\\u0000b"}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", HOSTILE_BODIES)
async def test_hostile_body_is_a_problem_document(app_client, body: bytes):
    answer = await app_client.post("/api/v1/tokens", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.content)
    assert {"type", "title", "status", "detail", "code"} <= set(problem)


async def test_tokens_are_found_and_put_in_order(ctx: Context) -> None:
    for name, role in (("ci", "author"), ("ana-laptop", "member"), ("backup", "admin")):
        await service.create_token(ctx, name, role=role)
    assert [t.name for t in (await service.list_tokens(ctx)).items] == ["ana-laptop", "backup", "ci"]
    assert [t.name for t in (await service.list_tokens(ctx, sort="-role")).items] == ["ana-laptop", "ci", "backup"]
    assert [t.name for t in (await service.list_tokens(ctx, q="LAP")).items] == ["ana-laptop"]
    with pytest.raises(InvalidInputError, match="cannot sort by"):
        await service.list_tokens(ctx, sort="token_hash")
