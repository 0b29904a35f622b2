"""Who holds what: by a role of their own, by grants, by groups in groups; and that an administrator always stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from antivenom.core.rights import DEFAULT_ROLES, Level
from antivenom.server.channels import service as channels
from antivenom.server.context import ANONYMOUS, LOCAL, Actor, Context, Resources
from antivenom.server.members import explaining, groups, queries, roles, service
from antivenom.server.members.authentication import find_anonymous_actor, find_session_actor, find_token_actor
from antivenom.server.members.roles import Holder
from antivenom.server.mirrors import service as mirrors
from antivenom.server.publications import service as publications

PASSWORD = "correct-horse-battery-1"


async def make_member(ctx: Context, name: str, role: str | None = None) -> None:
    await service.create_member(ctx, name, PASSWORD, role=role)


async def signed_in(resources: Resources, name: str) -> Actor:
    async with resources.context(ANONYMOUS) as ctx:
        session = await service.sign_in(ctx, name, PASSWORD)
    found = await find_session_actor(resources, session.value)
    assert found is not None
    return found.actor


async def make_channels(ctx: Context, *names: str) -> None:
    for name in names:
        await channels.create_channel(ctx, name, privacy="authenticated")


async def test_roles_of_a_new_installation_are_those_of_the_code(ctx: Context):
    found = {role.name: roles.levels_of(role) for role in await roles.list_roles(ctx)}
    assert found == {name: dict(levels) for name, levels in DEFAULT_ROLES.items()}


async def test_a_former_name_of_a_role_is_understood(resources: Resources):
    async with resources.context(LOCAL) as ctx:
        token = await service.create_token(ctx, "ci", role="reader")
        assert token.token.role == "member"
        await make_member(ctx, "ana")
        grant = await roles.grant_role(ctx, "reader", "member:ana")
        assert grant.role == "member"


@pytest.mark.parametrize("depth", [0, 1, 5])
async def test_a_grant_to_a_group_reaches_who_is_in_groups_of_it(resources: Resources, depth: int):
    async with resources.context(LOCAL) as ctx:
        await make_channels(ctx, "main", "other")
        await make_member(ctx, "ana")
        for level in range(depth + 1):
            await groups.create_group(ctx, f"g{level}")
        await groups.add_to_group(ctx, "g0", "member:ana")
        for level in range(depth):
            await groups.add_to_group(ctx, f"g{level + 1}", f"group:g{level}")
        await roles.grant_role(ctx, "author", f"group:g{depth}", channel="main")
    ana = await signed_in(resources, "ana")
    assert (ana.rights.level("channels", "main"), ana.rights.level("channels", "other")) == (Level.write, Level.none)
    async with resources.context(LOCAL) as ctx:
        await groups.remove_from_group(ctx, "g0", "member:ana")
    assert (await signed_in(resources, "ana")).rights.channels == {}


async def test_a_token_and_everyone_hold_what_they_are_granted(resources: Resources):
    async with resources.context(LOCAL) as ctx:
        await make_channels(ctx, "main", "open")
        value = (await service.create_token(ctx, "ci", role="none")).value
        await roles.grant_role(ctx, "member", "token:ci", channel="main")
        await roles.grant_role(ctx, "member", "everyone", channel="open")
    token = await find_token_actor(resources, value)
    assert token is not None
    assert token.role == "none"
    assert token.rights.channels_with("channels:read") == {"main", "open"}
    assert (await find_anonymous_actor(resources)).rights.channels_with("channels:read") == {"open"}


async def test_a_grant_for_a_channel_ends_with_the_channel(resources: Resources):
    async with resources.context(LOCAL) as ctx:
        await make_channels(ctx, "main")
        await make_member(ctx, "ana")
        await roles.grant_role(ctx, "author", "member:ana", channel="main")
    async with resources.context(LOCAL) as ctx:
        await channels.delete_channel(ctx, "main")
    async with resources.context(LOCAL) as ctx:
        await make_channels(ctx, "main")
    assert (await signed_in(resources, "ana")).rights.channels == {}


async def test_lists_show_what_is_granted_and_count_nothing_else(resources: Resources):
    async with resources.context(LOCAL) as ctx:
        await make_channels(ctx, "a", "b", "c")
        await make_member(ctx, "ana")
        await make_member(ctx, "nobody")
        await roles.grant_role(ctx, "member", "member:ana", channel="b")
        for name in ("a", "b"):
            await mirrors.create_mirror(ctx, name, mirrors.MirrorSettings(f"https://example.org/{name}"))
    async with resources.context(await signed_in(resources, "ana")) as ctx:
        found = await publications.list_channel_summaries(ctx)
        assert ([channel.name for channel in found.items], found.total) == (["b"], 1)
        assert [name for name, _ in await mirrors.list_mirrors(ctx)] == ["b"]
        for hidden in ("a", "not-there"):
            with pytest.raises(NotFoundError, match=f"there is no channel '{hidden}'"):
                await publications.get_channel_summary(ctx, hidden)
            with pytest.raises(NotFoundError, match=f"there is no channel '{hidden}'"):
                await mirrors.get_mirror(ctx, hidden)
        with pytest.raises(ForbiddenError):
            await channels.create_channel(ctx, "a")
    async with resources.context(await signed_in(resources, "nobody")) as ctx:
        assert (await publications.list_channel_summaries(ctx)).total == 0


# -- nobody gives more than they have ----------------------------------------------------------------------------------


async def manager(resources: Resources) -> Actor:
    """A member who may manage members, and read channels, and nothing else."""
    async with resources.context(LOCAL) as ctx:
        await roles.create_role(ctx, "registrar", {"members": "manage", "channels": "read"})
        await make_member(ctx, "reg", "registrar")
        await make_member(ctx, "boss", "admin")
        await groups.create_group(ctx, "admins")
        await roles.grant_role(ctx, "admin", "group:admins")
        await make_member(ctx, "low")
    return await signed_in(resources, "reg")


@pytest.mark.parametrize(
    "act",
    [
        lambda ctx: service.create_member(ctx, "x", PASSWORD, role="admin"),
        lambda ctx: service.create_token(ctx, "x", role="author"),
        lambda ctx: service.edit_member(ctx, "reg", role="admin"),
        lambda ctx: service.edit_member(ctx, "boss", disabled=True),
        lambda ctx: service.remove_member(ctx, "boss"),
        lambda ctx: service.reset_password(ctx, "boss"),
        lambda ctx: roles.grant_role(ctx, "admin", "member:reg"),
        lambda ctx: roles.revoke_role(ctx, "admin", "group:admins"),
        lambda ctx: roles.create_role(ctx, "x", {"settings": "read"}),
        lambda ctx: roles.edit_role(ctx, "registrar", levels={"settings": "manage"}),
        lambda ctx: roles.edit_role(ctx, "author", levels={"channels": "none"}),
        lambda ctx: groups.add_to_group(ctx, "admins", "member:reg"),
        lambda ctx: groups.remove_group(ctx, "admins"),
    ],
)
async def test_who_manages_members_does_not_become_more_by_it(resources: Resources, act: Any):
    actor = await manager(resources)
    with pytest.raises(ForbiddenError):
        async with resources.context(actor) as ctx:
            await act(ctx)
    assert (await signed_in(resources, "boss")).rights.holds("settings:manage")
    assert not (await signed_in(resources, "reg")).rights.holds("settings:read")


async def test_who_manages_members_does_so_within_what_they_have(resources: Resources):
    async with resources.context(await manager(resources)) as ctx:
        await service.create_member(ctx, "new", PASSWORD, role="registrar")
        await service.reset_password(ctx, "low")
        await service.edit_member(ctx, "low", disabled=True)
        await roles.create_role(ctx, "looker", {"channels": "read"})
        await roles.grant_role(ctx, "looker", "member:low")


async def test_who_manages_a_channel_gives_what_they_have_on_it(resources: Resources):
    async with resources.context(LOCAL) as ctx:
        await make_channels(ctx, "main", "other")
        await make_member(ctx, "owner")
        await make_member(ctx, "ana")
        await roles.grant_role(ctx, "admin", "member:owner", channel="main")
        await roles.grant_role(ctx, "author", "member:ana", channel="other")
    async with resources.context(await signed_in(resources, "owner")) as ctx:
        await roles.grant_role(ctx, "author", "member:ana", channel="main")
        assert {grant.channel for grant in await roles.list_grants(ctx)} == {"main"}
        with pytest.raises(NotFoundError):
            await roles.grant_role(ctx, "author", "member:ana", channel="other")
        with pytest.raises(ForbiddenError):
            await roles.grant_role(ctx, "author", "member:ana")
    assert (await signed_in(resources, "ana")).rights.holds("channels:write", "main")


# -- an administrator stays ---------------------------------------------------------------------------------------------


async def two_admins(resources: Resources) -> None:
    async with resources.context(LOCAL) as ctx:
        await make_member(ctx, "ana", "admin")
        await make_member(ctx, "bob")
        await groups.create_group(ctx, "admins")
        await groups.create_group(ctx, "inner")
        await groups.add_to_group(ctx, "admins", "group:inner")
        await groups.add_to_group(ctx, "inner", "member:bob")
        await roles.grant_role(ctx, "admin", "group:admins")


LEAVING: dict[str, Any] = {
    "removed": lambda ctx: service.remove_member(ctx, "bob"),
    "disabled": lambda ctx: service.edit_member(ctx, "bob", disabled=True),
    "out of the group": lambda ctx: groups.remove_from_group(ctx, "inner", "member:bob"),
    "group out of the group": lambda ctx: groups.remove_from_group(ctx, "admins", "group:inner"),
    "group removed": lambda ctx: groups.remove_group(ctx, "inner"),
    "upper group removed": lambda ctx: groups.remove_group(ctx, "admins"),
    "grant revoked": lambda ctx: roles.revoke_role(ctx, "admin", "group:admins"),
}


@pytest.mark.parametrize("how", LEAVING)
async def test_the_last_administrator_cannot_leave(resources: Resources, how: str):
    await two_admins(resources)
    async with resources.context(LOCAL) as ctx:
        await service.edit_member(ctx, "ana", role="author")
    with pytest.raises(ConflictError, match="administrator"):
        async with resources.context(LOCAL) as ctx:
            await LEAVING[how](ctx)
    assert (await signed_in(resources, "bob")).rights.holds("members:manage")


@pytest.mark.parametrize("how", LEAVING)
async def test_of_two_administrators_who_leave_at_once_one_stays(resources: Resources, how: str):
    await two_admins(resources)

    async def leave(act: Any, entered: asyncio.Event, go: asyncio.Event) -> bool:
        try:
            async with resources.context(LOCAL) as ctx:
                await ctx.session.execute(text("SELECT 1"))  # its transaction has begun
                entered.set()
                await go.wait()
                await act(ctx)
        except ConflictError:
            return False
        return True

    go, entered = asyncio.Event(), [asyncio.Event(), asyncio.Event()]
    both = [
        asyncio.create_task(leave(lambda ctx: service.remove_member(ctx, "ana"), entered[0], go)),
        asyncio.create_task(leave(LEAVING[how], entered[1], go)),
    ]
    for event in entered:
        await event.wait()
    go.set()
    assert sorted(await asyncio.gather(*both)) == [False, True]
    async with resources.context(LOCAL) as ctx:
        assert await queries.count_admins(ctx.session) == 1


async def test_two_groups_cannot_be_put_into_each_other_at_once(resources: Resources):
    async with resources.context(LOCAL) as ctx:
        await groups.create_group(ctx, "a")
        await groups.create_group(ctx, "b")

    async def put(inner: str, outer: str) -> bool:
        try:
            async with resources.context(LOCAL) as ctx:
                await groups.add_to_group(ctx, outer, f"group:{inner}")
        except ConflictError:
            return False
        return True

    assert sorted(await asyncio.gather(put("a", "b"), put("b", "a"))) == [False, True]


async def test_a_group_is_never_in_itself(ctx: Context):
    for level in range(5):
        await groups.create_group(ctx, f"g{level}")
        if level:
            await groups.add_to_group(ctx, f"g{level}", f"group:g{level - 1}")
    for outer, inner in (("g0", "g4"), ("g0", "g0"), ("g1", "g3")):
        with pytest.raises(ConflictError, match="in itself"):
            await groups.add_to_group(ctx, outer, f"group:{inner}")
    await groups.add_to_group(ctx, "g4", "group:g0")  # a second way is no loop


# -- roles --------------------------------------------------------------------------------------------------------------


async def test_a_changed_role_counts_at_the_next_request(resources: Resources):
    async with resources.context(LOCAL) as ctx:
        await roles.create_role(ctx, "looker", {"channels": "read"}, description="Looks")
        await make_member(ctx, "ana", "looker")
        value = (await service.create_token(ctx, "ci", role="looker")).value
    assert (await signed_in(resources, "ana")).rights.level("channels") is Level.read
    async with resources.context(LOCAL) as ctx:
        await roles.edit_role(ctx, "looker", levels={"channels": "none", "policies": "write"})
    for actor in (await signed_in(resources, "ana"), await find_token_actor(resources, value)):
        assert actor is not None
        assert (actor.rights.level("channels"), actor.rights.level("policies")) == (Level.none, Level.write)


async def test_roles_that_cannot_be_are_refused(ctx: Context):
    for name in ("", "Admin", "reader", "none", "a b", "a" * 41, "1st"):
        with pytest.raises(InvalidInputError):
            await roles.create_role(ctx, name, {})
    with pytest.raises(ConflictError):
        await roles.create_role(ctx, "admin", {})
    with pytest.raises(ConflictError, match="always may do everything"):
        await roles.edit_role(ctx, "admin", levels={"channels": "none"})
    with pytest.raises(ConflictError, match="default"):
        await roles.remove_role(ctx, "member")
    with pytest.raises(NotFoundError):
        await roles.remove_role(ctx, "owner")


async def test_a_role_that_somebody_holds_stays(ctx: Context):
    await roles.create_role(ctx, "looker", {"channels": "read"})
    await make_member(ctx, "ana", "looker")
    with pytest.raises(ConflictError, match="held 1 time"):
        await roles.remove_role(ctx, "looker")
    await service.edit_member(ctx, "ana", role="none")
    await roles.remove_role(ctx, "looker")
    assert "looker" not in [role.name for role in await roles.list_roles(ctx)]


@pytest.mark.parametrize("holder", ["member:nobody", "group:x", "token:x"])
async def test_nobody_holds_nothing(ctx: Context, holder: str):
    with pytest.raises(InvalidInputError, match="there is no"):
        await roles.grant_role(ctx, "member", holder)


@pytest.mark.parametrize("words", ["", "ana", "member:", "everyone:x", "channel:main", "everybody"])
def test_what_names_no_holder_is_refused(words: str):
    with pytest.raises(InvalidInputError):
        Holder.read(words)


async def test_a_grant_for_a_channel_that_is_not_there_is_refused(resources: Resources):
    with pytest.raises(NotFoundError, match="there is no channel 'nope'"):
        async with resources.context(LOCAL) as ctx:
            await roles.grant_role(ctx, "member", "everyone", channel="nope")


async def test_granting_twice_is_granting_once(ctx: Context):
    await make_member(ctx, "ana")
    for _ in range(2):
        await roles.grant_role(ctx, "member", "member:ana")
    assert [grant.holder for grant in await roles.list_grants(ctx, holder="member:ana")] == ["member:ana"]
    await roles.revoke_role(ctx, "member", "member:ana")
    with pytest.raises(NotFoundError):
        await roles.revoke_role(ctx, "member", "member:ana")


# -- leaving ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["removed", "disabled"])
async def test_who_is_gone_is_signed_out_at_once(resources: Resources, how: str):
    async with resources.context(LOCAL) as ctx:
        await make_member(ctx, "bob", "member")
    async with resources.context(ANONYMOUS) as ctx:
        session = await service.sign_in(ctx, "bob", PASSWORD)
    async with resources.context(LOCAL) as ctx:
        await LEAVING[how](ctx)
    assert await find_session_actor(resources, session.value) is None


# -- why ----------------------------------------------------------------------------------------------------------------


async def test_each_level_names_the_roles_that_give_it(ctx: Context):
    await make_channels(ctx, "main")
    await make_member(ctx, "ana", "member")
    await groups.create_group(ctx, "students")
    await groups.create_group(ctx, "science")
    await groups.add_to_group(ctx, "students", "member:ana")
    await groups.add_to_group(ctx, "science", "group:students")
    await roles.grant_role(ctx, "author", "group:science", channel="main")

    def told(explained: explaining.MemberRights, category: str) -> tuple[str, list[tuple[str, str]]]:
        (row,) = (row for row in explained.categories if row.category == category)
        return row.level.name, [(why.role, why.via) for why in row.because]

    here = await explaining.explain_member(ctx, "ana", channel="main")
    assert told(here, "channels") == ("write", [("author", "in the group students, which is in science")])
    assert told(here, "settings") == ("none", [])
    everywhere = await explaining.explain_member(ctx, "ana")
    assert told(everywhere, "channels") == ("read", [("member", "their own role")])
    assert everywhere.channels == ("main",)


async def test_what_is_explained_is_what_is_decided(resources: Resources):
    await two_admins(resources)
    async with resources.context(LOCAL) as ctx:
        await make_channels(ctx, "main")
        await roles.grant_role(ctx, "author", "everyone", channel="main")
    for name in ("ana", "bob"):
        actor = await signed_in(resources, name)
        async with resources.context(actor) as ctx:
            for channel in (None, "main"):
                explained = await explaining.explain_member(ctx, name, channel=channel)
                for row in explained.categories:
                    assert row.level == actor.rights.level(row.category, channel)
                    assert bool(row.because) == bool(row.level)


async def test_members_explain_themselves_and_nobody_else(resources: Resources):
    async with resources.context(LOCAL) as ctx:
        await make_member(ctx, "ana", "member")
        await make_member(ctx, "bob", "member")
    async with resources.context(await signed_in(resources, "ana")) as ctx:
        assert (await explaining.explain_member(ctx, "ana")).member == "ana"
        for name in ("bob", "not-there"):
            with pytest.raises(ForbiddenError):
                await explaining.explain_member(ctx, name)
