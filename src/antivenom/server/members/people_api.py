"""/api/v1/members, /api/v1/groups, /api/v1/roles and /api/v1/grants: who there is, and who may do what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from antivenom.server.members import explaining, groups, passwords, roles, service
from antivenom.server.members.authentication import RequestContext
from antivenom.server.members.people_schemas import (
    GrantBody,
    GrantView,
    GroupChange,
    GroupCreate,
    GroupDetailsView,
    GroupMemberBody,
    GroupView,
    MemberChange,
    MemberCreate,
    MemberCreated,
    MemberRightsView,
    MemberView,
    RoleChange,
    RoleCreate,
    RoleView,
)
from antivenom.server.members.schemas import PasswordReset, PasswordView
from antivenom.server.web.listing import Listing

router = APIRouter(tags=["people"])

ChannelQuery = Annotated[str | None, Query(description="Only for this channel; without one, for the installation")]


# -- members -----------------------------------------------------------------------------------------------------------


@router.get("/members")
async def list_members(
    ctx: RequestContext, q: str = "", sort: str = "name", page: int = 1, page_size: int = 50
) -> Listing[MemberView]:
    """Members, disabled ones too. `q` is searched in the name and the role."""
    return Listing.of(
        (await service.list_members(ctx, q=q, sort=sort, page=page, page_size=page_size)).map(MemberView.of)
    )


@router.post("/members", status_code=201)
async def create_member(ctx: RequestContext, body: MemberCreate) -> MemberCreated:
    """Create a member. Without a password, they get a random one, which is in this answer and nowhere else."""
    password = body.password or passwords.make_password()
    member = await service.create_member(ctx, body.name, password, role=body.role)
    return MemberCreated(**MemberView.of(member).model_dump(), password=None if body.password else password)


@router.get("/members/{name}")
async def show_member(ctx: RequestContext, name: str) -> MemberView:
    """One member."""
    return MemberView.of(await service.get_member(ctx, name))


@router.patch("/members/{name}")
async def edit_member(ctx: RequestContext, name: str, body: MemberChange) -> MemberView:
    """Change the member's own role, or disable or enable them. Who is disabled is signed out at once."""
    return MemberView.of(await service.edit_member(ctx, name, role=body.role or ..., disabled=body.disabled))


@router.delete("/members/{name}", status_code=204)
async def remove_member(ctx: RequestContext, name: str) -> None:
    """Remove a member with their sessions and grants."""
    await service.remove_member(ctx, name)


@router.get("/members/{name}/rights")
async def explain_member(ctx: RequestContext, name: str, channel: ChannelQuery = None) -> MemberRightsView:
    """What a member may do, by category, and which roles give it to them. Members may ask it for themselves."""
    return MemberRightsView.of(await explaining.explain_member(ctx, name, channel=channel))


@router.post("/members/{name}/password")
async def reset_password(ctx: RequestContext, name: str, body: PasswordReset) -> PasswordView:
    """Give a member a new password and end their sessions."""
    return PasswordView(name=name, password=await service.reset_password(ctx, name, body.password))


# -- groups ------------------------------------------------------------------------------------------------------------


@router.get("/groups")
async def list_groups(ctx: RequestContext, q: str = "") -> Listing[GroupView]:
    """Every group. `q` is searched in the name and the description."""
    return Listing.whole([GroupView.of(row) for row in await groups.list_groups(ctx, q=q)])


@router.post("/groups", status_code=201)
async def create_group(ctx: RequestContext, body: GroupCreate) -> GroupDetailsView:
    """Create a group without members."""
    await groups.create_group(ctx, body.name, description=body.description)
    return GroupDetailsView.of(await groups.get_group(ctx, body.name))


@router.get("/groups/{name}")
async def show_group(ctx: RequestContext, name: str) -> GroupDetailsView:
    """A group, with who is directly in it and the groups that it is in."""
    return GroupDetailsView.of(await groups.get_group(ctx, name))


@router.patch("/groups/{name}")
async def edit_group(ctx: RequestContext, name: str, body: GroupChange) -> GroupDetailsView:
    """Change the description of a group."""
    await groups.edit_group(ctx, name, description=body.description)
    return GroupDetailsView.of(await groups.get_group(ctx, name))


@router.delete("/groups/{name}", status_code=204)
async def remove_group(ctx: RequestContext, name: str) -> None:
    """Remove a group; its members stay, without what it gave them."""
    await groups.remove_group(ctx, name)


@router.post("/groups/{name}/members")
async def add_to_group(ctx: RequestContext, name: str, body: GroupMemberBody) -> GroupDetailsView:
    """Put a member (`member:ana`) or another group (`group:students`) into a group."""
    await groups.add_to_group(ctx, name, body.member)
    return GroupDetailsView.of(await groups.get_group(ctx, name))


@router.delete("/groups/{name}/members/{member}")
async def remove_from_group(ctx: RequestContext, name: str, member: str) -> GroupDetailsView:
    """Take a member (`member:ana`) or a group (`group:students`) out of a group."""
    await groups.remove_from_group(ctx, name, member)
    return GroupDetailsView.of(await groups.get_group(ctx, name))


# -- roles and who holds them ------------------------------------------------------------------------------------------


@router.get("/roles")
async def list_roles(ctx: RequestContext) -> Listing[RoleView]:
    """Every role with its level for each category."""
    return Listing.whole([RoleView.of(role) for role in await roles.list_roles(ctx)])


@router.post("/roles", status_code=201)
async def create_role(ctx: RequestContext, body: RoleCreate) -> RoleView:
    """Create a role. Categories that are not named have the level none."""
    return RoleView.of(await roles.create_role(ctx, body.name, body.levels, description=body.description))


@router.get("/roles/{name}")
async def show_role(ctx: RequestContext, name: str) -> RoleView:
    """One role."""
    return RoleView.of(await roles.get_role(ctx, name))


@router.patch("/roles/{name}")
async def edit_role(ctx: RequestContext, name: str, body: RoleChange) -> RoleView:
    """Change the levels that are sent, for everybody who holds the role."""
    return RoleView.of(await roles.edit_role(ctx, name, levels=body.levels, description=body.description))


@router.delete("/roles/{name}", status_code=204)
async def remove_role(ctx: RequestContext, name: str) -> None:
    """Remove a role that nobody holds."""
    await roles.remove_role(ctx, name)


@router.get("/grants")
async def list_grants(
    ctx: RequestContext,
    holder: Annotated[str, Query(description="Such as member:ana, group:students, token:ci, everyone")] = "",
    role: str = "",
    channel: str = "",
) -> Listing[GrantView]:
    """The roles that are granted besides those that members and tokens have of their own."""
    found = await roles.list_grants(ctx, holder=holder, role=role, channel=channel)
    return Listing.whole([GrantView.of(row) for row in found])


@router.post("/grants", status_code=201)
async def grant_role(ctx: RequestContext, body: GrantBody) -> GrantView:
    """Let somebody hold a role for the installation, or for one channel."""
    return GrantView.of(await roles.grant_role(ctx, body.role, body.holder, channel=body.channel))


@router.post("/grants/revoke", status_code=204)
async def revoke_role(ctx: RequestContext, body: GrantBody) -> None:
    """Take back a grant, named as it was given."""
    await roles.revoke_role(ctx, body.role, body.holder, channel=body.channel)
