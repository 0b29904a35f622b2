"""Reading channels."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.server.channels.models import Channel


async def find_channel(session: AsyncSession, name: str, *, lock: bool = False) -> Channel | None:
    query = select(Channel).where(Channel.name == name)
    return await session.scalar(query.with_for_update() if lock else query)


async def find_channel_by_id(session: AsyncSession, channel_id: int, *, lock: bool = False) -> Channel | None:
    query = select(Channel).where(Channel.id == channel_id)
    return await session.scalar(query.with_for_update() if lock else query)
