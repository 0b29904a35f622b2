"""Roles, and who holds them: for the installation or for one channel."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import IntegrityError

from antivenom.core.errors import ConflictError, InvalidInputError, NotFoundError
from antivenom.core.rights import ADMIN, Levels, check_levels, read_levels
from antivenom.server.context import NO_ROLE, Context
from antivenom.server.events.service import record
from antivenom.server.members import queries
from antivenom.server.members.authorization import (
    no_such_channel,
    require,
    require_cover,
    require_somewhere,
)
from antivenom.server.members.models import Role, RoleGrant
from antivenom.server.members.queries import GrantRow

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
FORMER_NAMES: Final[Mapping[str, str]] = {"reader": "member"}
"""Names of roles in earlier releases, which scripts go on sending."""
RESERVED: Final = frozenset((*FORMER_NAMES, NO_ROLE, "grants"))  # a page has that address
LIST_HINT: Final = "list them with: antivenom role list"
EVERYONE_HOLDER: Final = "everyone"


@asynccontextmanager
async def changing_rights(ctx: Context) -> AsyncIterator[None]:
    """Let one change at a time to members, groups, roles or grants happen, and refuse one that leaves no administrator.

    The lock lasts until the transaction ends. Without it, two administrators could remove each other at once, and two
    groups could be put into each other.

    Raises:
        ConflictError: Nobody who can sign in would hold the role admin for the installation any more.
    """
    await queries.lock_rights(ctx.session)
    before = await queries.count_admins(ctx.session)
    yield
    await ctx.session.flush()
    if before and not await queries.count_admins(ctx.session):
        raise ConflictError(
            "nobody would be an administrator any more", hint="give the role admin to another member first"
        )


# -- roles -------------------------------------------------------------------------------------------------------------


async def list_roles(ctx: Context) -> list[Role]:
    """Every role: the default ones first, then by name. Anybody who is signed in may know what roles there are."""
    require_somewhere(ctx, "channels:read")
    return await queries.list_roles(ctx.session)


async def get_role(ctx: Context, name: str) -> Role:
    """The role of that name, or of that former name.

    Raises:
        NotFoundError: There is none.
    """
    require_somewhere(ctx, "channels:read")
    role = await queries.find_role(ctx.session, FORMER_NAMES.get(name, name))
    if role is None:
        raise NotFoundError(f"there is no role {name[:80]!r}", hint=LIST_HINT)
    return role


async def create_role(ctx: Context, name: str, levels: Mapping[str, str], *, description: str = "") -> Role:
    """Create a role; nobody holds it yet.

    Raises:
        InvalidInputError: The name cannot name a role, or a level cannot be.
        ForbiddenError: It has a level that the actor has not.
        ConflictError: There is one of that name.
    """
    require(ctx, "members:manage", subject=f"role:{name}")
    if not NAME.fullmatch(name) or name in RESERVED:
        raise InvalidInputError(
            f"{name[:80]!r} cannot name a role",
            hint="start with a lower-case letter; then letters, digits, '-' and '_', 40 characters at most",
            field="name",
        )
    stored = check_levels(levels)
    require_cover(ctx, read_levels(stored), subject=f"role:{name}")
    async with changing_rights(ctx):
        if await queries.find_role(ctx.session, name):
            raise ConflictError(f"there is a role {name!r} already", field="name")
        role = Role(name=name, description=description[:500], levels=stored, is_default=False)
        ctx.session.add(role)
    await record(ctx, "role.created", subject=f"role:{name}", levels=stored)
    return role


async def edit_role(
    ctx: Context, name: str, *, levels: Mapping[str, str] | None = None, description: str | None = None
) -> Role:
    """Change the levels that are given, for everybody who holds the role; the others stay.

    Raises:
        InvalidInputError: A level cannot be.
        ForbiddenError: The role has, or would have, a level that the actor has not.
        NotFoundError: There is none of that name.
        ConflictError: It is `admin`, which always may do everything.
    """
    require(ctx, "members:manage", subject=f"role:{name}")
    async with changing_rights(ctx):
        role = await get_role(ctx, name)
        if levels is not None:
            if role.name == ADMIN:
                raise ConflictError("the role admin always may do everything", hint="make a role of your own")
            check_levels(levels)
            before = role.levels
            stored = check_levels({**before, **levels})
            for held in (before, stored):
                require_cover(ctx, read_levels(held), subject=f"role:{role.name}")
            role.levels = stored
            if stored != before:
                await record(ctx, "role.changed", subject=f"role:{role.name}", before=before, after=stored)
        if description is not None:
            role.description = description[:500]
    return role


async def remove_role(ctx: Context, name: str) -> None:
    """Remove a role that nobody holds.

    Raises:
        NotFoundError: There is none of that name.
        ConflictError: It is one of the default ones, or somebody holds it.
    """
    require(ctx, "members:manage", subject=f"role:{name}")
    async with changing_rights(ctx):
        role = await get_role(ctx, name)
        if role.is_default:
            raise ConflictError(f"the role {role.name} is one of the default ones, which stay")
        if holders := await queries.count_holders(ctx.session, role.name):
            raise ConflictError(
                f"the role {role.name} is held {holders} time{'s' if holders != 1 else ''}",
                hint=f"see by whom with: antivenom role show {role.name}",
            )
        await ctx.session.delete(role)
    await record(ctx, "role.removed", subject=f"role:{role.name}", levels=role.levels)


async def find_role_to_give(
    ctx: Context, name: str, *, subject: str, channel: str | None = None, field: str = "role"
) -> str:
    """The name of a role that the actor may give: one whose levels they hold themselves.

    Raises:
        InvalidInputError: There is no such role.
        ForbiddenError: It has a level that the actor has not.
    """
    role = await queries.find_role(ctx.session, FORMER_NAMES.get(name, name))
    if role is None:
        known = ", ".join(role.name for role in await queries.list_roles(ctx.session))
        raise InvalidInputError(f"role {name[:80]!r} is not one of {known}", field=field)
    require_cover(ctx, levels_of(role), subject=subject, channel=channel)
    return role.name


async def find_own_role(ctx: Context, name: str | None, *, subject: str) -> str | None:
    """The same for the role that a member or token has of its own; None for None and "none"."""
    return None if name in (None, NO_ROLE) else await find_role_to_give(ctx, str(name), subject=subject)


def levels_of(role: Role) -> Levels:
    """The levels of a role."""
    return read_levels(role.levels)


# -- grants ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a role: a member, a group or a token by name, or everyone."""

    kind: str  # member | group | token | everyone
    name: str = ""

    @classmethod
    def read(cls, text: str) -> Holder:
        """The holder that "member:ana", "group:data-science", "token:ci" or "everyone" names.

        Raises:
            InvalidInputError: It is none of these.
        """
        kind, _, name = text.partition(":")
        if (kind in ("member", "group", "token") and name) or text == EVERYONE_HOLDER:
            return cls(kind, name)
        raise InvalidInputError(
            f"{text[:80]!r} names nobody who can hold a role",
            hint="member:NAME, group:NAME, token:NAME or everyone",
            field="holder",
        )

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


async def list_grants(ctx: Context, *, holder: str = "", role: str = "", channel: str = "") -> list[GrantRow]:
    """The grants of roles that the actor may see, by role, holder and channel; those of channels to who manages them.

    Raises:
        InvalidInputError: The holder is none.
    """
    readable = require_somewhere(ctx, "members:read")
    wanted = str(Holder.read(holder)) if holder else ""
    role = FORMER_NAMES.get(role, role)
    return await queries.list_grants(ctx.session, among=readable, holder=wanted, role=role, channel=channel)


async def grant_role(ctx: Context, role: str, holder: str, *, channel: str | None = None) -> GrantRow:
    """Let somebody hold a role for the installation, or for one channel. Does nothing if they do already.

    Args:
        holder: Such as "member:ana", "group:students", "token:ci" or "everyone".

    Raises:
        InvalidInputError: There is no such role or holder.
        ForbiddenError: The actor may not give it, or it has a level that they have not.
        NotFoundError: There is no such channel.
    """
    subject = f"channel:{channel}" if channel is not None else f"role:{role}"
    require(ctx, "members:manage", subject=subject)
    who = Holder.read(holder)
    async with changing_rights(ctx):
        name = await find_role_to_give(ctx, role, subject=f"role:{role}", channel=channel)
        if (known := await _find_grant(ctx, name, who, channel)) is None:
            known = RoleGrant(role=name, channel=channel, created_at=ctx.now, created_by=ctx.actor.label)
            known.member_id, known.group_id, known.token_id = await _find_holder(ctx, who)
            ctx.session.add(known)
            try:
                await ctx.session.flush()
            except IntegrityError as error:  # the room of channels is above this one: the database knows them
                if channel is not None and "channel" in str(error.orig):
                    raise no_such_channel(channel) from None
                raise
            await record(ctx, "role.granted", subject=str(who), role=name, channel=channel or "")
    return GrantRow(known.id, name, str(who), channel, known.created_at, known.created_by)


async def revoke_role(ctx: Context, role: str, holder: str, *, channel: str | None = None) -> None:
    """Take back a grant of a role. The role that members and tokens have of their own is changed with them.

    Raises:
        ForbiddenError: The actor may not give it, so may not take it either.
        NotFoundError: There is no such grant.
        ConflictError: Nobody would be an administrator any more.
    """
    subject = f"channel:{channel}" if channel is not None else f"role:{role}"
    require(ctx, "members:manage", subject=subject)
    who = Holder.read(holder)
    async with changing_rights(ctx):
        name = FORMER_NAMES.get(role, role)
        known = await _find_grant(ctx, name, who, channel)
        if known is None:
            place = f" for the channel {channel}" if channel is not None else ""
            raise NotFoundError(
                f"{who} is not granted the role {role}{place}", hint="list them with: antivenom role grants"
            )
        await find_role_to_give(ctx, name, subject=f"role:{role}", channel=channel)
        await ctx.session.delete(known)
        await record(ctx, "role.revoked", subject=str(who), role=name, channel=channel or "")


async def _find_grant(ctx: Context, role: str, holder: Holder, channel: str | None) -> RoleGrant | None:
    member_id, group_id, token_id = await _find_holder(ctx, holder)
    return await queries.find_grant(ctx.session, role, member_id, group_id, token_id, channel)


async def _find_holder(ctx: Context, holder: Holder) -> tuple[int | None, int | None, int | None]:
    """(member id, group id, token id); all None for everyone.

    Raises:
        InvalidInputError: There is none of that name.
    """
    find = {"member": queries.find_member, "group": queries.find_group, "token": queries.find_token_by_name}
    if holder.kind == EVERYONE_HOLDER:
        return None, None, None
    found = await find[holder.kind](ctx.session, holder.name)
    if found is None:
        raise InvalidInputError(f"there is no {holder.kind} {holder.name[:80]!r}", field="holder")
    ids = {kind: found.id if kind == holder.kind else None for kind in find}
    return ids["member"], ids["group"], ids["token"]
