"""Reading members, groups, roles, sessions and tokens."""
# ruff: noqa: S608  # the SQL that is put together here has nothing of a request

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import case, func, literal_column, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.rights import Rights, add_up, read_levels
from antivenom.server.db.paging import Page, check_paging, order_by
from antivenom.server.members.models import (
    GroupMember,
    Member,
    MemberGroup,
    MemberSession,
    Role,
    RoleGrant,
    Token,
)

MEMBER_SORTS = {
    "name": (Member.name,),
    "role": (Member.role, Member.name),
    "created": (Member.created_at, Member.name),
}
TOKEN_SORTS = {
    "name": (Token.name,),
    "role": (Token.role, Token.name),
    "created": (Token.created_at, Token.name),
    "used": (Token.last_used_at, Token.name),
    "expires": (Token.expires_at, Token.name),
}

# The levels and the channel (null: the installation) of each role that somebody holds, as JSON. What one holds comes
# with the row that says who one is: a sign-in costs no query more.
_OF_EVERYONE: Final = """
    SELECT levels, NULL AS channel FROM role WHERE name = 'everyone'
    UNION ALL SELECT levels, channel FROM role_grant JOIN role ON role.name = role_grant.role
    WHERE num_nonnulls(member_id, group_id, token_id) = 0"""
_OF_TOKEN: Final = f"""{_OF_EVERYONE}
    UNION ALL SELECT levels, NULL FROM role WHERE name = token.role
    UNION ALL SELECT levels, channel FROM role_grant JOIN role ON role.name = role_grant.role
    WHERE token_id = token.id"""
_OF_GROUP: Final = """
    SELECT levels, channel FROM role_grant JOIN role ON role.name = role_grant.role
    WHERE role_grant.group_id IN (
        WITH RECURSIVE above(id) AS (
            SELECT member_group.id
            UNION SELECT group_id FROM group_member JOIN above ON group_member.child_id = above.id
        ) SELECT id FROM above)"""
_OF_MEMBER: Final = f"""{_OF_EVERYONE}
    UNION ALL SELECT levels, NULL FROM role WHERE name = member.role
    UNION ALL SELECT levels, channel FROM role_grant JOIN role ON role.name = role_grant.role
    WHERE role_grant.member_id = member.id OR role_grant.group_id IN (
        WITH RECURSIVE above(id) AS (
            SELECT group_id FROM group_member WHERE group_member.member_id = member.id
            UNION SELECT group_id FROM group_member JOIN above ON group_member.child_id = above.id
        ) SELECT id FROM above)"""


def _grants(of: str) -> Any:
    found = f"(SELECT coalesce(jsonb_agg(jsonb_build_array(levels, channel)), '[]') FROM ({of}) AS held)"
    return literal_column(found, JSONB)


def _rights(grants: list[list[Any]]) -> Rights:
    return add_up((read_levels(levels), channel) for levels, channel in grants)


async def find_rights_of_everyone(session: AsyncSession) -> Rights:
    """What anybody may do, also who is not signed in."""
    return _rights((await session.execute(select(_grants(_OF_EVERYONE)))).scalar_one())


async def find_rights_of_member(session: AsyncSession, member_id: int) -> Rights:
    """What a member may do, by roles of their own, of their groups and of everyone."""
    return _rights((await session.execute(select(_grants(_OF_MEMBER)).where(Member.id == member_id))).scalar_one())


async def find_rights_of_group(session: AsyncSession, group_id: int) -> Rights:
    """What a group gives to its members: its roles, and those of the groups that it is in."""
    found = await session.execute(select(_grants(_OF_GROUP)).where(MemberGroup.id == group_id))
    return _rights(found.scalar_one())


async def find_member(session: AsyncSession, name: str) -> Member | None:
    return await session.scalar(select(Member).where(Member.name == name))


async def page_members(session: AsyncSession, *, q: str, sort: str, page: int, page_size: int) -> Page[Member]:
    offset, limit = check_paging(page, page_size)
    query = select(Member)
    if q:
        query = query.where(or_(*(place.icontains(q, autoescape=True) for place in (Member.name, Member.role))))
    total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = await session.scalars(query.order_by(*order_by(sort, MEMBER_SORTS)).offset(offset).limit(limit))
    return Page(list(rows), total, page, page_size)


async def count_members(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Member)) or 0


async def find_session(
    session: AsyncSession, id_hash: bytes, now: datetime
) -> tuple[MemberSession, Member, Rights] | None:
    """A session that has not ended, of a member who is not disabled, with what they may do."""
    found = await session.execute(
        select(MemberSession, Member, _grants(_OF_MEMBER))
        .join(Member, Member.id == MemberSession.member_id)
        .where(MemberSession.id_hash == id_hash, MemberSession.expires_at > now, Member.disabled_at.is_(None))
    )
    row = found.first()
    return (row[0], row[1], _rights(row[2])) if row else None


async def find_token(session: AsyncSession, token_hash: bytes) -> tuple[Token, Rights] | None:
    """The token with what it may do; it may be revoked or expired."""
    found = await session.execute(select(Token, _grants(_OF_TOKEN)).where(Token.token_hash == token_hash))
    row = found.first()
    return (row[0], _rights(row[1])) if row else None


async def find_token_by_name(session: AsyncSession, name: str) -> Token | None:
    return await session.scalar(select(Token).where(Token.name == name))


async def page_tokens(session: AsyncSession, *, q: str, sort: str, page: int, page_size: int) -> Page[Token]:
    offset, limit = check_paging(page, page_size)
    query = select(Token)
    if q:
        query = query.where(Token.name.icontains(q, autoescape=True) | Token.created_by.icontains(q, autoescape=True))
    total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = await session.scalars(query.order_by(*order_by(sort, TOKEN_SORTS)).offset(offset).limit(limit))
    return Page(list(rows), total, page, page_size)


# -- roles, groups and grants ------------------------------------------------------------------------------------------

_COUNT_ADMINS: Final = """
    WITH RECURSIVE held(member_id, group_id) AS (
        SELECT member_id, group_id FROM role_grant
        WHERE role = 'admin' AND channel IS NULL AND num_nonnulls(member_id, group_id) = 1
        UNION SELECT group_member.member_id, group_member.child_id
        FROM group_member JOIN held ON held.group_id = group_member.group_id
    )
    SELECT count(*) FROM member
    WHERE disabled_at IS NULL AND (role = 'admin' OR id IN (SELECT member_id FROM held WHERE member_id IS NOT NULL))"""
_HOLDER: Final = case(
    (Member.id.is_not(None), "member:" + Member.name),
    (MemberGroup.id.is_not(None), "group:" + MemberGroup.name),
    (Token.id.is_not(None), "token:" + Token.name),
    else_="everyone",
)


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A role that somebody holds besides the one of their own."""

    id: int
    role: str
    holder: str  # "member:ana", "group:data-science", "token:ci", "everyone"
    channel: str | None  # None: for the installation
    created_at: datetime
    created_by: str


async def lock_rights(session: AsyncSession) -> None:
    """Wait until nobody else changes members, groups, roles or grants, and keep others waiting until the end."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('who may do what'))"))


async def count_admins(session: AsyncSession) -> int:
    """How many members who can sign in hold the role admin for the installation."""
    return int((await session.execute(text(_COUNT_ADMINS))).scalar_one())


async def list_roles(session: AsyncSession) -> list[Role]:
    return list(await session.scalars(select(Role).order_by(Role.is_default.desc(), Role.name)))


async def find_role(session: AsyncSession, name: str) -> Role | None:
    return await session.scalar(select(Role).where(Role.name == name))


async def count_holders(session: AsyncSession, role: str) -> int:
    """How many members, tokens and grants have the role."""
    counts = (select(func.count()).where(place.role == role).scalar_subquery() for place in (Member, Token, RoleGrant))
    return sum((await session.execute(select(*counts))).one())


async def find_grant(
    session: AsyncSession,
    role: str,
    member_id: int | None,
    group_id: int | None,
    token_id: int | None,
    channel: str | None,
) -> RoleGrant | None:
    return await session.scalar(
        select(RoleGrant).where(
            RoleGrant.role == role,
            RoleGrant.member_id.is_not_distinct_from(member_id),
            RoleGrant.group_id.is_not_distinct_from(group_id),
            RoleGrant.token_id.is_not_distinct_from(token_id),
            RoleGrant.channel.is_not_distinct_from(channel),
        )
    )


async def list_grants(
    session: AsyncSession, *, among: Collection[str] | None, holder: str, role: str, channel: str
) -> list[GrantRow]:
    """The grants for those channels (None: all grants), of a holder, role and channel unless these are ""."""
    query = (
        select(RoleGrant, _HOLDER.label("holder"))
        .outerjoin(Member, Member.id == RoleGrant.member_id)
        .outerjoin(MemberGroup, MemberGroup.id == RoleGrant.group_id)
        .outerjoin(Token, Token.id == RoleGrant.token_id)
        .order_by(RoleGrant.role, "holder", RoleGrant.channel.nulls_first())
    )
    if among is not None:
        query = query.where(RoleGrant.channel.in_(among))
    for wanted, place in ((holder, _HOLDER), (role, RoleGrant.role), (channel, RoleGrant.channel)):
        if wanted:
            query = query.where(place == wanted)
    rows = await session.execute(query)
    return [GrantRow(g.id, g.role, found, g.channel, g.created_at, g.created_by) for g, found in rows]


async def find_group(session: AsyncSession, name: str) -> MemberGroup | None:
    return await session.scalar(select(MemberGroup).where(MemberGroup.name == name))


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group, with how many members and groups are directly in it."""

    name: str
    description: str
    created_at: datetime
    created_by: str
    members: int
    groups: int


async def list_groups(session: AsyncSession, *, q: str) -> list[GroupRow]:
    inside = select(func.count(GroupMember.member_id), func.count(GroupMember.child_id)).where(
        GroupMember.group_id == MemberGroup.id
    )
    counts = inside.lateral()
    query = select(MemberGroup, *counts.c).join(counts, literal_column("true")).order_by(MemberGroup.name)
    if q:
        places = (MemberGroup.name, MemberGroup.description)
        query = query.where(or_(*(place.icontains(q, autoescape=True) for place in places)))
    rows = await session.execute(query)
    return [GroupRow(g.name, g.description, g.created_at, g.created_by, members, groups) for g, members, groups in rows]


async def list_group_members(session: AsyncSession, group_id: int) -> tuple[list[str], list[str]]:
    """Who is directly in a group ("group:students" before "member:ana"), and the names of the groups that it is in."""
    members = await session.scalars(
        select(case((Member.id.is_not(None), "member:" + Member.name), else_="group:" + MemberGroup.name).label("who"))
        .select_from(GroupMember)
        .outerjoin(Member, Member.id == GroupMember.member_id)
        .outerjoin(MemberGroup, MemberGroup.id == GroupMember.child_id)
        .where(GroupMember.group_id == group_id)
        .order_by("who")
    )
    inside = await session.scalars(
        select(MemberGroup.name)
        .join(GroupMember, GroupMember.group_id == MemberGroup.id)
        .where(GroupMember.child_id == group_id)
        .order_by(MemberGroup.name)
    )
    return list(members), list(inside)


async def find_group_member(
    session: AsyncSession, group_id: int, member_id: int | None, child_id: int | None
) -> GroupMember | None:
    return await session.scalar(
        select(GroupMember).where(
            GroupMember.group_id == group_id,
            GroupMember.member_id.is_not_distinct_from(member_id),
            GroupMember.child_id.is_not_distinct_from(child_id),
        )
    )


async def list_groups_above(session: AsyncSession, group_id: int) -> set[int]:
    """The ids of a group and of every group that it is in, however deep."""
    above = select(MemberGroup.id).where(MemberGroup.id == group_id).cte("above", recursive=True)
    above = above.union(select(GroupMember.group_id).join(above, GroupMember.child_id == above.c.id))
    return set(await session.scalars(select(above.c.id)))


async def list_group_paths(session: AsyncSession, member_id: int) -> dict[int, tuple[str, ...]]:
    """How a member is in each of their groups, by its id: the names from the one that they are directly in up to it."""
    edges = await session.execute(
        select(GroupMember.child_id, GroupMember.member_id, MemberGroup.id, MemberGroup.name)
        .join(MemberGroup, MemberGroup.id == GroupMember.group_id)
        .where(or_(GroupMember.member_id == member_id, GroupMember.child_id.is_not(None)))
        .order_by(MemberGroup.name)
    )
    above: dict[int | None, list[tuple[int, str]]] = {}
    for child_id, _, group_id, name in edges:
        above.setdefault(child_id, []).append((group_id, name))
    paths: dict[int, tuple[str, ...]] = {}
    waiting: list[tuple[int | None, tuple[str, ...]]] = [(None, ())]
    for below, path in waiting:  # the list grows: shortest ways first
        for group_id, name in above.get(below, []):
            if group_id not in paths:
                paths[group_id] = (*path, name)
                waiting.append((group_id, paths[group_id]))
    return paths


async def list_grants_reaching(session: AsyncSession, member_id: int, group_ids: list[int]) -> list[RoleGrant]:
    """The grants to a member, to those groups and to everyone."""
    is_everyone = func.num_nonnulls(RoleGrant.member_id, RoleGrant.group_id, RoleGrant.token_id) == 0
    query = select(RoleGrant).where(
        or_(RoleGrant.member_id == member_id, RoleGrant.group_id.in_(group_ids), is_everyone)
    )
    return list(await session.scalars(query.order_by(RoleGrant.role, RoleGrant.channel.nulls_first(), RoleGrant.id)))
