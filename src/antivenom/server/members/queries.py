"""Reading members, sessions and tokens."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.server.db.paging import Page, check_paging, order_by
from antivenom.server.members.models import Member, MemberSession, Token

TOKEN_SORTS = {
    "name": (Token.name,),
    "role": (Token.role, Token.name),
    "created": (Token.created_at, Token.name),
    "used": (Token.last_used_at, Token.name),
    "expires": (Token.expires_at, Token.name),
}


async def find_member(session: AsyncSession, name: str) -> Member | None:
    return await session.scalar(select(Member).where(Member.name == name))


async def count_members(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Member)) or 0


async def find_session(session: AsyncSession, id_hash: bytes, now: datetime) -> tuple[MemberSession, Member] | None:
    """A session that has not ended, of a member who is not disabled."""
    found = await session.execute(
        select(MemberSession, Member)
        .join(Member, Member.id == MemberSession.member_id)
        .where(MemberSession.id_hash == id_hash, MemberSession.expires_at > now, Member.disabled_at.is_(None))
    )
    row = found.first()
    return (row[0], row[1]) if row else None


async def find_token(session: AsyncSession, token_hash: bytes) -> Token | None:
    return await session.scalar(select(Token).where(Token.token_hash == token_hash))


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
