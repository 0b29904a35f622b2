"""Reading channels."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.server.channels.models import Channel


def is_among(names: Collection[str] | None) -> ColumnElement[bool]:
    """The condition that a channel is one of those; None: any. Lists are narrowed by it to what an actor may read."""
    return true() if names is None else Channel.name.in_(names)


async def find_channel(session: AsyncSession, name: str, *, lock: bool = False) -> Channel | None:
    query = select(Channel).where(Channel.name == name)
    return await session.scalar(query.with_for_update() if lock else query)


async def find_channel_by_id(session: AsyncSession, channel_id: int, *, lock: bool = False) -> Channel | None:
    query = select(Channel).where(Channel.id == channel_id)
    return await session.scalar(query.with_for_update() if lock else query)
