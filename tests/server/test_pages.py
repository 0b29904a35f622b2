"""What pages answer: strangers, forged forms, regions for htmx, errors. (What they look like is in tests/browser.)"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antivenom.server.context import LOCAL, Resources
from antivenom.server.distribution import own_channel
from antivenom.server.members import service as members

HTML = {"accept": "text/html"}
PASSWORD = "correct-horse-battery"


@pytest.fixture
async def stranger(app: Any) -> AsyncIterator[Any]:
    import httpx2

    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://antivenom.test", headers=HTML) as client:
        yield client


@pytest.fixture
async def member_client(stranger: Any, resources: Resources) -> Any:
    """A client that signed in as `ana` through the form."""
    async with resources.context(LOCAL) as ctx:
        await members.create_member(ctx, "ana", PASSWORD, role="admin")
    answer = await stranger.post("/sign-in", data={"name": "ana", "password": PASSWORD, "next": "/tokens"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/tokens")
    return stranger


async def csrf_of(client: Any) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/tokens")).text)
    assert found
    return found[1]


async def test_a_stranger_is_sent_to_sign_in_and_back(stranger: Any) -> None:
    answer = await stranger.get("/channels?q=a")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fchannels%3Fq%3Da"


async def test_htmx_is_told_to_leave_the_page_when_the_session_ended(stranger: Any) -> None:
    answer = await stranger.get("/channels", headers={"hx-request": "true", "hx-request-type": "partial"})
    assert answer.status_code == 204
    assert answer.headers["hx-redirect"].startswith("/sign-in")


async def test_after_signing_in_again_one_is_on_the_page_and_not_on_a_part_of_it(stranger: Any) -> None:
    window = {"hx-current-url": "http://antivenom.test/channels/main/mirror?x=1"}
    answer = await stranger.get("/channels/main/mirror/progress", headers={"hx-request": "true", **window})
    assert answer.headers["hx-redirect"] == "/sign-in?next=%2Fchannels%2Fmain%2Fmirror%3Fx%3D1"


async def test_a_form_that_outlived_its_session_changes_nothing_and_says_so(stranger: Any) -> None:
    page = {"referer": "http://antivenom.test/channels/main/policy/edit"}
    answer = await stranger.post("/channels/main/policy", data={"text": "x"}, headers=page)
    assert answer.headers["location"] == "/sign-in?next=%2Fchannels%2Fmain%2Fpolicy%2Fedit"
    assert "nothing was changed" in (await stranger.get(answer.headers["location"])).text
    elsewhere = await stranger.post("/tokens", data={}, headers={"referer": "http://evil.example//evil.example"})
    assert elsewhere.headers["location"] == "/sign-in"


async def test_the_session_cookie_is_for_no_script(stranger: Any, resources: Resources) -> None:
    async with resources.context(LOCAL) as ctx:
        await members.create_member(ctx, "ana", PASSWORD, role="admin")
    answer = await stranger.post("/sign-in", data={"name": "ana", "password": PASSWORD, "next": "//evil.example"})
    assert answer.headers["location"] == "/"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "samesite=lax" in answer.headers["set-cookie"].lower()


async def test_a_form_without_its_secret_changes_nothing(member_client: Any) -> None:
    for forged in ({}, {"csrf": ""}, {"csrf": "guess"}, {"csrf": "ü"}):
        answer = await member_client.post(
            "/tokens", data={"name": "x", "role": "admin", "expires_days": "30", **forged}
        )
        assert answer.status_code == 403
    assert "No tokens yet" in (await member_client.get("/tokens")).text


async def test_a_form_from_another_site_changes_nothing(member_client: Any) -> None:
    data = {"name": "x", "role": "admin", "expires_days": "30", "csrf": await csrf_of(member_client)}
    answer = await member_client.post("/tokens", data=data, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert "No tokens yet" in (await member_client.get("/tokens")).text


async def test_a_slow_form_tells_its_outcome_as_the_last_line(member_client: Any) -> None:
    made = {"name": "main", "privacy": "public", "csrf": await csrf_of(member_client)}
    assert (await member_client.post("/new-channel", data=made)).status_code == 303
    form = {"text": "name: x\nrules: [", "csrf": await csrf_of(member_client)}
    answer = await member_client.post("/channels/main/policy/plan", data=form, headers={"x-progress": "1"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    last = json.loads(answer.text.splitlines()[-1])
    assert "nothing was changed" in last["page"]
    forged = await member_client.post(
        "/channels/main/policy/plan", data={**form, "csrf": "guess"}, headers={"x-progress": "1"}
    )
    assert "older than your session" in json.loads(forged.text)["page"]
    await member_client.post("/sign-out", data={"csrf": form["csrf"]})
    ended = await member_client.post("/channels/main/policy/plan", data=form, headers={"x-progress": "1"})
    assert json.loads(ended.text) == {"location": "/sign-in"}


@pytest.mark.parametrize("path", ["/channels", "/policies", "/feeds", "/tokens", "/advisories", "/audit"])
async def test_every_list_refuses_an_order_that_it_does_not_have(member_client: Any, path: str) -> None:
    answer = await member_client.get(f"{path}?sort=colour")
    assert answer.status_code == 422
    assert "cannot sort by" in answer.text


async def test_a_refused_form_shows_what_was_typed_and_why(member_client: Any) -> None:
    data = {"name": "no spaces please", "role": "reader", "expires_days": "30", "csrf": await csrf_of(member_client)}
    answer = await member_client.post("/tokens", data=data)
    assert answer.status_code == 422
    assert 'value="no spaces please"' in answer.text
    assert "cannot name a token" in answer.text


async def test_htmx_gets_the_region_alone_and_history_the_whole_page(member_client: Any) -> None:
    whole = await member_client.get("/channels")
    region = await member_client.get("/channels", headers={"hx-request": "true", "hx-request-type": "partial"})
    restored = await member_client.get(
        "/channels", headers={"hx-request-type": "partial", "hx-history-restore-request": "true"}
    )
    assert region.text.strip().startswith('<section id="results"')
    assert region.text.strip() in whole.text
    assert restored.text.startswith("<!doctype html>")
    assert whole.headers["vary"].lower().startswith("hx-request")
    assert whole.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/channels/%00",
        "/channels/..%2f..%2fetc",
        "/channels/a/packages/%F0%9F%90%8D",
        "/advisories/%00",
        "/advisories/" + "A" * 2000,
        "/policies/x?revision=abc",
        "/feeds/99999999999999999999",
        "/feeds/x",
        "/channels?page=-1",
        "/channels/nothing/mirror/progress",
        "/no/such/page",
    ],
)
async def test_a_hostile_address_is_a_page_that_explains(member_client: Any, path: str) -> None:
    answer = await member_client.get(path)
    assert 400 <= answer.status_code < 500
    assert "<h1" in answer.text
    assert "Traceback" not in answer.text


async def test_text_of_others_never_becomes_markup(member_client: Any) -> None:
    answer = await member_client.get("/search", params={"q": "<script>alert(1)</script>"})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text


async def test_no_page_allows_inline_scripts_or_styles(member_client: Any) -> None:
    answer = await member_client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", answer.text)


async def test_a_changed_password_ends_every_session_and_opens_the_next(member_client: Any) -> None:
    csrf = await csrf_of(member_client)
    new = "a-better-password-than-before"
    refused = await member_client.post(
        "/account/password", data={"csrf": csrf, "old": PASSWORD, "new": new, "again": "something else"}
    )
    assert refused.status_code == 422
    assert "differ" in refused.text
    wrong = await member_client.post("/account/password", data={"csrf": csrf, "old": "wrong", "new": new, "again": new})
    assert wrong.status_code == 422
    assert "the old password is wrong" in wrong.text
    answer = await member_client.post(
        "/account/password", data={"csrf": csrf, "old": PASSWORD, "new": new, "again": new}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (await member_client.get("/account")).status_code == 303
    again = await member_client.post("/sign-in", data={"name": "ana", "password": new, "next": "/account"})
    assert (again.status_code, again.headers["location"]) == (303, "/account")


async def test_the_built_in_channel_is_listed_with_what_it_has(
    member_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_channel, "PACKAGES", tmp_path)
    assert "were not built on this server" in (await member_client.get("/channels")).text
    (tmp_path / "noarch").mkdir()
    record = {"name": "antivenom-client", "version": "1.2", "subdir": "noarch"}
    (tmp_path / "noarch/repodata.json").write_text(json.dumps({"packages.conda": {"x.conda": record}}))
    shown = (await member_client.get("/channels")).text
    assert "antivenom-client 1.2 (noarch)" in shown
    assert "-c http://antivenom.test/antivenom -c conda-forge antivenom" in shown
    assert "were not built on this server" not in shown
