"""Reading the audit trail."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.server.db.paging import Page, check_paging
from antivenom.server.events.models import Event


async def page_events(
    session: AsyncSession, *, kind: str, subject: str, actor: str, page: int, page_size: int
) -> Page[Event]:
    """Events that match every given filter exactly, the newest first."""
    offset, limit = check_paging(page, page_size)
    query = select(Event)
    for column, value in ((Event.kind, kind), (Event.subject, subject), (Event.actor, actor)):
        if value:
            query = query.where(column == value)
    total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = await session.scalars(query.order_by(Event.id.desc()).offset(offset).limit(limit))
    return Page(list(rows), total, page, page_size)
