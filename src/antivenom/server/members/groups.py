"""Groups of members, and groups in groups: who is in a group is in every group that it is in."""

from __future__ import annotations

from dataclasses import dataclass

from antivenom.core.errors import ConflictError, InvalidInputError, NotFoundError
from antivenom.server.context import Context
from antivenom.server.events.service import record
from antivenom.server.members import queries
from antivenom.server.members.authorization import require, require_no_less
from antivenom.server.members.models import GroupMember, MemberGroup
from antivenom.server.members.names import check_name
from antivenom.server.members.queries import GroupRow
from antivenom.server.members.roles import Holder, changing_rights

LIST_HINT = "list them with: antivenom group list"


@dataclass(frozen=True, slots=True)
class GroupDetails:
    """A group with who is directly in it ("member:ana", "group:students") and the groups that it is directly in."""

    group: MemberGroup
    members: list[str]
    inside: list[str]


async def list_groups(ctx: Context, *, q: str = "") -> list[GroupRow]:
    """Groups by name, with how many members and groups are directly in them. `q` is in name or description."""
    require(ctx, "members:read", subject="group:*")
    return await queries.list_groups(ctx.session, q=q)


async def get_group(ctx: Context, name: str) -> GroupDetails:
    """A group.

    Raises:
        NotFoundError: There is none of that name.
    """
    require(ctx, "members:read", subject=f"group:{name[:80]}")
    group = await _find_group(ctx, name)
    members, inside = await queries.list_group_members(ctx.session, group.id)
    return GroupDetails(group, members, inside)


async def create_group(ctx: Context, name: str, *, description: str = "") -> MemberGroup:
    """Create a group without members.

    Raises:
        InvalidInputError: The name cannot name a group.
        ConflictError: There is one of that name.
    """
    require(ctx, "members:manage", subject=f"group:{name[:80]}")
    check_name(name, "a group")
    if await queries.find_group(ctx.session, name):
        raise ConflictError(f"there is a group {name!r} already", field="name")
    group = MemberGroup(name=name, description=description[:500], created_at=ctx.now, created_by=ctx.actor.label)
    ctx.session.add(group)
    await ctx.session.flush()
    await record(ctx, "group.created", subject=f"group:{name}")
    return group


async def edit_group(ctx: Context, name: str, *, description: str) -> MemberGroup:
    """Change what a group is for.

    Raises:
        NotFoundError: There is none of that name.
    """
    require(ctx, "members:manage", subject=f"group:{name[:80]}")
    group = await _find_group(ctx, name)
    group.description = description[:500]
    return group


async def remove_group(ctx: Context, name: str) -> None:
    """Remove a group with its grants; its members and the groups in it stay, without what it gave them.

    Raises:
        ForbiddenError: It gives rights that the actor has not.
        NotFoundError: There is none of that name.
        ConflictError: Nobody would be an administrator any more.
    """
    async with changing_rights(ctx):
        group = await _find_group_to_change(ctx, name)
        await ctx.session.delete(group)
        await record(ctx, "group.removed", subject=f"group:{name}")


async def add_to_group(ctx: Context, name: str, member: str) -> None:
    """Put a member ("member:ana"), or a group with its members, into a group. Does nothing if it is in it.

    Raises:
        ForbiddenError: The group gives rights that the actor has not.
        InvalidInputError: There is no such member or group.
        NotFoundError: There is no group of that name.
        ConflictError: The group would be in itself.
    """
    async with changing_rights(ctx):
        group = await _find_group_to_change(ctx, name)
        who = Holder.read(member)
        member_id, child_id = await _find_member(ctx, who)
        if child_id is not None and child_id in await queries.list_groups_above(ctx.session, group.id):
            raise ConflictError(f"the group {name} would be in itself", hint=f"it is in {who.name} already, or is it")
        if await queries.find_group_member(ctx.session, group.id, member_id, child_id) is None:
            ctx.session.add(GroupMember(group_id=group.id, member_id=member_id, child_id=child_id))
            await record(ctx, "group.member_added", subject=f"group:{name}", member=str(who))


async def remove_from_group(ctx: Context, name: str, member: str) -> None:
    """Take a member or a group out of a group.

    Raises:
        ForbiddenError: The group gives rights that the actor has not.
        NotFoundError: There is no group of that name, or who was named is not directly in it.
        ConflictError: Nobody would be an administrator any more.
    """
    async with changing_rights(ctx):
        group = await _find_group_to_change(ctx, name)
        who = Holder.read(member)
        member_id, child_id = await _find_member(ctx, who)
        known = await queries.find_group_member(ctx.session, group.id, member_id, child_id)
        if known is None:
            raise NotFoundError(f"{who} is not directly in the group {name}", hint=f"antivenom group show {name}")
        await ctx.session.delete(known)
        await record(ctx, "group.member_removed", subject=f"group:{name}", member=str(who))


async def _find_group_to_change(ctx: Context, name: str) -> MemberGroup:
    """The group, if the actor holds all that its members get by it."""
    require(ctx, "members:manage", subject=f"group:{name[:80]}")
    group = await _find_group(ctx, name)
    require_no_less(ctx, await queries.find_rights_of_group(ctx.session, group.id), subject=f"group:{name}")
    return group


async def _find_group(ctx: Context, name: str) -> MemberGroup:
    group = await queries.find_group(ctx.session, name)
    if group is None:
        raise NotFoundError(f"there is no group {name[:80]!r}", hint=LIST_HINT)
    return group


async def _find_member(ctx: Context, member: Holder) -> tuple[int | None, int | None]:
    """(member id, group id) of who can be in a group.

    Raises:
        InvalidInputError: There is none of that name, or it is neither member nor group.
    """
    if member.kind not in ("member", "group"):
        raise InvalidInputError(f"{member} cannot be in a group", hint="member:NAME or group:NAME", field="member")
    is_member = member.kind == "member"
    found = await (queries.find_member if is_member else queries.find_group)(ctx.session, member.name)
    if found is None:
        raise InvalidInputError(f"there is no {member.kind} {member.name[:80]!r}", field="member")
    return (found.id, None) if is_member else (None, found.id)
