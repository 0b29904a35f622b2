"""Reading channels."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.server.channels.models import Channel
from antivenom.server.db.paging import Page, check_paging


async def find_channel(session: AsyncSession, name: str, *, lock: bool = False) -> Channel | None:
    query = select(Channel).where(Channel.name == name)
    return await session.scalar(query.with_for_update() if lock else query)


async def find_channel_by_id(session: AsyncSession, channel_id: int, *, lock: bool = False) -> Channel | None:
    query = select(Channel).where(Channel.id == channel_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def page_channels(session: AsyncSession, *, q: str, page: int, page_size: int) -> Page[Channel]:
    offset, limit = check_paging(page, page_size)
    query = select(Channel)
    if q:
        query = query.where(
            Channel.name.contains(q, autoescape=True) | Channel.description.icontains(q, autoescape=True)
        )
    total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = await session.scalars(query.order_by(Channel.name).offset(offset).limit(limit))
    return Page(list(rows), total, page, page_size)
