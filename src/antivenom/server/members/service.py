"""Members, their sign-ins, and tokens."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import EllipsisType

from sqlalchemy import delete

from antivenom.core.errors import ConflictError, InvalidInputError, NotFoundError, UnauthenticatedError
from antivenom.server.context import NO_ROLE, Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page
from antivenom.server.events.service import record
from antivenom.server.home import remove_first_password
from antivenom.server.members import passwords, queries
from antivenom.server.members.authorization import require, require_no_less
from antivenom.server.members.models import Member, MemberSession, Token
from antivenom.server.members.names import NAME, check_name
from antivenom.server.members.roles import changing_rights, find_own_role
from antivenom.server.members.throttle import SLOTS, SignInThrottle

TOKEN_LIFE_MAX = timedelta(days=3660)
ADMIN_NAME = "admin"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as it is handed out: `value` is shown this once and stored nowhere."""

    token: Token
    value: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: `value` goes into the cookie, `csrf` into every form."""

    member: Member
    value: str
    csrf: str
    expires_at: datetime


# -- tokens ------------------------------------------------------------------------------------------------------------


async def create_token(
    ctx: Context, name: str, *, role: str | None = "member", expires_at: datetime | None = None
) -> NewToken:
    """Create a token with a role of its own; with None, it may do only what it is granted besides.

    Raises:
        InvalidInputError: Name, role or expiry are wrong.
        ForbiddenError: The role has a level that the actor has not.
        ConflictError: The name is taken; revoked tokens keep theirs, for the audit trail.
    """
    require(ctx, "members:manage", subject=f"token:{name}")
    check_name(name, "a token")
    role = await find_own_role(ctx, role, subject=f"token:{name}")
    if expires_at is not None and not ctx.now < expires_at <= ctx.now + TOKEN_LIFE_MAX:
        raise InvalidInputError("the token must expire in the future, within ten years", field="expires_at")
    if known := await queries.find_token_by_name(ctx.session, name):
        state = "was" if known.revoked_at else "is"
        raise ConflictError(
            f"there {state} a token {name!r} already",
            hint="choose another name: the audit trail names tokens, revoked ones too",
            field="name",
        )
    value = passwords.make_token()
    token = Token(
        name=name,
        token_hash=passwords.digest(value),
        role=role,
        created_at=ctx.now,
        created_by=ctx.actor.label,
        expires_at=expires_at,
        last_used_at=None,
        revoked_at=None,
    )
    ctx.session.add(token)
    await ctx.session.flush()
    await record(ctx, "token.created", subject=f"token:{name}", role=role or NO_ROLE)
    return NewToken(token, value)


async def list_tokens(
    ctx: Context, *, q: str = "", sort: str = "name", page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[Token]:
    """Tokens by name, role, created, used or expires; with revoked and expired ones. `q` is in name or creator.

    Raises:
        InvalidInputError: The sort is unknown, or there is no such page.
    """
    require(ctx, "members:read", subject="token:*")
    return await queries.page_tokens(ctx.session, q=q, sort=sort, page=page, page_size=page_size)


async def revoke_token(ctx: Context, name: str) -> Token:
    """End a token at once; does nothing if it has ended.

    Raises:
        NotFoundError: There is none of that name.
    """
    require(ctx, "members:manage", subject=f"token:{name}")
    token = await queries.find_token_by_name(ctx.session, name)
    if token is None:
        raise NotFoundError(f"there is no token {name!r}", hint="list them with: antivenom token list")
    if token.revoked_at is None:
        token.revoked_at = ctx.now
        await record(ctx, "token.revoked", subject=f"token:{name}")
    return token


# -- members and their sign-ins ----------------------------------------------------------------------------------------


async def create_member(ctx: Context, name: str, password: str, *, role: str | None = "member") -> Member:
    """Create a member who signs in with a password. With the role None, they may do only what they are granted besides.

    Raises:
        InvalidInputError: Name, role or password are wrong.
        ForbiddenError: The role has a level that the actor has not.
        ConflictError: The name is taken.
    """
    require(ctx, "members:manage", subject=f"member:{name}")
    check_name(name, "a member")
    role = await find_own_role(ctx, role, subject=f"member:{name}")
    passwords.check_new_password(password)
    if await queries.find_member(ctx.session, name):
        raise ConflictError(f"there is a member {name!r} already", field="name")
    member = Member(
        name=name,
        password_hash=await asyncio.to_thread(passwords.hash_password, password),
        role=role,
        created_at=ctx.now,
        disabled_at=None,
    )
    ctx.session.add(member)
    await ctx.session.flush()
    await record(ctx, "member.created", subject=f"member:{name}", role=role or NO_ROLE)
    return member


async def list_members(
    ctx: Context, *, q: str = "", sort: str = "name", page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[Member]:
    """Members by name, role or created. `q` is in the name or the role.

    Raises:
        InvalidInputError: The sort is unknown, or there is no such page.
    """
    require(ctx, "members:read", subject="member:*")
    return await queries.page_members(ctx.session, q=q, sort=sort, page=page, page_size=page_size)


async def get_member(ctx: Context, name: str) -> Member:
    """A member. Everybody may ask for themselves.

    Raises:
        NotFoundError: There is none of that name.
    """
    if ctx.actor.label != f"member:{name}":
        require(ctx, "members:read", subject=f"member:{name[:80]}")
    return await _find_member(ctx, name)


async def edit_member(
    ctx: Context, name: str, *, role: str | EllipsisType | None = ..., disabled: bool | None = None
) -> Member:
    """Change the member's own role (None: none), or whether they may sign in; what is not given stays.

    Who is disabled is signed out at once. Their grants and groups stay, for when they are enabled again.

    Raises:
        InvalidInputError: There is no such role.
        ForbiddenError: They have rights, or would get some, that the actor has not.
        NotFoundError: There is no such member.
        ConflictError: Nobody would be an administrator any more.
    """
    async with changing_rights(ctx):
        member = await _find_member_to_change(ctx, name)
        if not isinstance(role, EllipsisType):
            role = await find_own_role(ctx, role, subject=f"member:{name}")
            if role != member.role:
                facts = {"before": member.role or NO_ROLE, "after": role or NO_ROLE}
                member.role = role
                await record(ctx, "member.role_changed", subject=f"member:{name}", **facts)
        if disabled is not None and disabled != (member.disabled_at is not None):
            member.disabled_at = ctx.now if disabled else None
            if disabled:
                await ctx.session.execute(delete(MemberSession).where(MemberSession.member_id == member.id))
            await record(ctx, f"member.{'disabled' if disabled else 'enabled'}", subject=f"member:{name}")
    return member


async def remove_member(ctx: Context, name: str) -> None:
    """Remove a member with their sessions, grants and places in groups; tokens that they made stay.

    Raises:
        ForbiddenError: They have rights that the actor has not.
        NotFoundError: There is no such member.
        ConflictError: Nobody would be an administrator any more.
    """
    async with changing_rights(ctx):
        member = await _find_member_to_change(ctx, name)
        await ctx.session.delete(member)
        await record(ctx, "member.removed", subject=f"member:{name}")


async def _find_member_to_change(ctx: Context, name: str) -> Member:
    require(ctx, "members:manage", subject=f"member:{name[:80]}")
    member = await _find_member(ctx, name)
    await ctx.session.refresh(member)  # as it is now that nobody else changes it
    require_no_less(ctx, await queries.find_rights_of_member(ctx.session, member.id), subject=f"member:{name}")
    return member


async def _find_member(ctx: Context, name: str) -> Member:
    member = await queries.find_member(ctx.session, name)
    if member is None:
        raise NotFoundError(f"there is no member {name[:80]!r}", hint="list them with: antivenom member list")
    return member


async def create_first_admin(ctx: Context, password: str) -> bool:
    """Create the member `admin` if there are no members at all; whether it did."""
    require(ctx, "members:manage", subject=f"member:{ADMIN_NAME}")
    if await queries.count_members(ctx.session):
        return False
    await create_member(ctx, ADMIN_NAME, password, role="admin")
    return True


async def sign_in(ctx: Context, name: str, password: str, *, address: str = "") -> SignedIn:
    """Start a session for a member who knows the password.

    Nothing tells a wrong name from a wrong password, not even the time. After ten failures in a quarter of an hour for
    a name from an address, further tries are refused until some of them are older (throttle.py).

    Raises:
        UnauthenticatedError: Name or password are wrong, or there were too many tries.
        UnavailableError: Too many sign in at once.
    """
    throttle = SignInThrottle(ctx.resources)
    await throttle.begin(name, address)
    member = await queries.find_member(ctx.session, name) if NAME.fullmatch(name) else None
    known = member.password_hash if member is not None and member.disabled_at is None else None
    async with SLOTS.one():
        is_right = await asyncio.to_thread(passwords.verify_password, known, password)
    if not is_right or member is None:
        raise UnauthenticatedError("name or password are wrong", field="password")
    await throttle.succeed(name, address)
    value, csrf = secrets.token_urlsafe(passwords.SECRET_BYTES), secrets.token_urlsafe(passwords.SECRET_BYTES)
    expires_at = ctx.now + timedelta(hours=ctx.resources.settings.session_hours)
    await ctx.session.execute(delete(MemberSession).where(MemberSession.expires_at <= ctx.now))
    ctx.session.add(
        MemberSession(
            id_hash=passwords.digest(value), member_id=member.id, csrf=csrf, created_at=ctx.now, expires_at=expires_at
        )
    )
    await record(ctx, "member.signed_in", subject=f"member:{member.name}")
    return SignedIn(member, value, csrf, expires_at)


async def sign_out(ctx: Context, value: str) -> None:
    """End the session of a cookie; does nothing if it has ended."""
    await ctx.session.execute(delete(MemberSession).where(MemberSession.id_hash == passwords.digest(value)))


async def change_password(ctx: Context, name: str, old: str, new: str) -> None:
    """Change a member's own password; every session of theirs ends.

    Raises:
        UnauthenticatedError: The old password is wrong.
        InvalidInputError: The new one is too short or too simple.
    """
    member = await queries.find_member(ctx.session, name)
    async with SLOTS.one():
        is_right = await asyncio.to_thread(passwords.verify_password, member.password_hash if member else None, old)
    if not is_right or member is None:
        raise UnauthenticatedError("the old password is wrong", field="old")
    await _set_password(ctx, member, new)


async def reset_password(ctx: Context, name: str, password: str | None = None) -> str:
    """Give a member a new password (a random one if none is given), end their sessions, and return the password.

    Raises:
        ForbiddenError: They have rights that the actor has not.
        NotFoundError: There is no such member.
    """
    member = await _find_member_to_change(ctx, name)
    password = password or passwords.make_password()
    await _set_password(ctx, member, password)
    return password


async def _set_password(ctx: Context, member: Member, password: str) -> None:
    passwords.check_new_password(password)
    member.password_hash = await asyncio.to_thread(passwords.hash_password, password)
    member.must_change_password = False
    await ctx.session.execute(delete(MemberSession).where(MemberSession.member_id == member.id))
    await record(ctx, "member.password_changed", subject=f"member:{member.name}")
    if member.name == ADMIN_NAME:
        remove_first_password(ctx.resources.settings.home)
