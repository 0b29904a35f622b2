"""The pages of members, groups and roles: what they show, what their forms do, and to whom."""

from __future__ import annotations

import re
from typing import Any

import pytest

from antivenom.server.channels import service as channels
from antivenom.server.context import LOCAL, Resources
from antivenom.server.members import groups, roles, service

PASSWORD = "correct-horse-battery-1"


async def sign_in(client: Any, name: str) -> str:
    """Sign in through the form; the secret of the session's forms."""
    answer = await client.post("/sign-in", data={"name": name, "password": PASSWORD, "next": "/account"})
    assert answer.status_code == 303
    found = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/account")).text)
    assert found
    return found[1]


@pytest.fixture
async def people(resources: Resources) -> None:
    async with resources.context(LOCAL) as ctx:
        for name, role in (("boss", "admin"), ("ana", None), ("bob", "member")):
            await service.create_member(ctx, name, PASSWORD, role=role)
        await channels.create_channel(ctx, "research", privacy="authenticated")
        await channels.create_channel(ctx, "secret", privacy="authenticated")
        await groups.create_group(ctx, "students", description="Who learns")
        await groups.create_group(ctx, "science")
        await groups.add_to_group(ctx, "students", "member:ana")
        await groups.add_to_group(ctx, "science", "group:students")
        await roles.grant_role(ctx, "author", "group:science", channel="research")


async def test_matrix_shows_every_role_and_who_is_granted_it(anonymous_client: Any, people: None) -> None:
    await sign_in(anonymous_client, "boss")
    text = (await anonymous_client.get("/roles")).text
    for words in ("admin", "author", "member", "everyone", "not used yet", "Create a role", "science", "research"):
        assert words in text, words


async def test_member_page_says_why(anonymous_client: Any, people: None) -> None:
    await sign_in(anonymous_client, "boss")
    there = (await anonymous_client.get("/members/ana?channel=research")).text
    assert "in the group students, which is in science" in there
    assert "What ana may do with research, and why" in there
    everywhere = (await anonymous_client.get("/members/ana")).text
    assert "no role gives it" in everywhere
    assert '<a class="text-link" href="/members/ana?channel=research">' in everywhere


async def test_forms_change_what_they_say(anonymous_client: Any, resources: Resources, people: None) -> None:
    csrf = await sign_in(anonymous_client, "boss")

    async def send(path: str, status: int = 303, **data: str) -> str:
        answer = await anonymous_client.post(path, data={"csrf": csrf, **data})
        assert answer.status_code == status, answer.text
        return answer.text

    assert re.search(r'id="member-password"[^>]*>[^<]{12,}<', await send("/members", 200, name="new", role="member"))
    assert "cannot name" in await send("/members", 422, name="no spaces please", role="member")
    await send("/members/new/role", role="author")
    await send("/members/new/disabled", disabled="yes")
    assert re.search(r'id="member-password"[^>]*>[^<]{12,}<', await send("/members/new/password", 200))
    await send("/groups", name="staff", description="Works here")
    await send("/groups/staff/members", member="new")
    assert "would be in itself" in await send("/groups/students/members", 409, member="group:science")
    await send("/roles", name="looker", description="Looks", **{"level-channels": "read"})
    await send("/roles/looker", description="Looks on", **{"level-policies": "read"})
    await send("/roles/grants", role="looker", holder="group:staff", channel="research", back="/groups/staff")
    async with resources.context(LOCAL) as ctx:
        member = await service.get_member(ctx, "new")
        assert (member.role, member.disabled_at is None) == ("author", False)
        assert (await groups.get_group(ctx, "staff")).members == ["member:new"]
        assert dict((await roles.get_role(ctx, "looker")).levels) == {"channels": "read", "policies": "read"}
        assert [grant.channel for grant in await roles.list_grants(ctx, role="looker")] == ["research"]
    assert "Grant a role" in (await anonymous_client.get("/groups/staff")).text
    await send("/roles/grants/revoke", role="looker", holder="group:staff", channel="research")
    await send("/roles/looker/remove")
    await send("/groups/staff/members/remove", member="member:new")
    await send("/groups/staff/remove")
    await send("/members/new/remove")
    await send("/members/boss/remove", 409)
    async with resources.context(LOCAL) as ctx:
        assert {member.name for member in (await service.list_members(ctx)).items} == {"ana", "bob", "boss"}
        assert {row.name for row in await groups.list_groups(ctx)} == {"science", "students"}


async def test_a_member_sees_themselves_and_the_roles_alone(anonymous_client: Any, people: None) -> None:
    await sign_in(anonymous_client, "ana")
    own = await anonymous_client.get("/members/ana?channel=research")
    assert own.status_code == 200
    assert "Remove member" not in own.text
    assert (await anonymous_client.get("/roles")).status_code == 200
    refused = [
        await anonymous_client.get(path) for path in ("/members", "/members/bob", "/members/x", "/groups", "/groups/x")
    ]
    assert [answer.status_code for answer in refused] == [403] * 5


async def test_who_may_see_one_channel_gets_every_page_with_that_one_alone(anonymous_client: Any, people: None) -> None:
    await sign_in(anonymous_client, "ana")
    for path in ("/", "/channels", "/search?q=x", "/account"):
        answer = await anonymous_client.get(path)
        assert answer.status_code == 200, path
        assert "secret" not in answer.text, path
    assert "research" in (await anonymous_client.get("/channels")).text
    there, absent = [await anonymous_client.get(f"/channels/{name}") for name in ("secret", "absent")]
    assert (there.status_code, absent.status_code) == (404, 404)
    assert there.text.replace("secret", "absent") == absent.text
    assert (await anonymous_client.get("/channels/research")).status_code == 200
