"""Reading corrections."""

from __future__ import annotations

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.server.corrections.models import Correction
from antivenom.server.db.paging import Column, Page, check_paging, order_by

SORTS: dict[str, tuple[Column, ...]] = {
    "proposed": (Correction.proposed_at, Correction.id),
    "name": (Correction.name, Correction.id),
    "kind": (Correction.kind, Correction.id),
    "state": (Correction.state, Correction.id),
}


async def find_correction(session: AsyncSession, correction_id: int, *, lock: bool = False) -> Correction | None:
    query = select(Correction).where(Correction.id == correction_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def page_corrections(
    session: AsyncSession, *, q: str, state: str, kind: str, sort: str, page: int, page_size: int
) -> Page[Correction]:
    """Corrections that match all filters; `q` is part of the package or of the vulnerability's id."""
    offset, limit = check_paging(page, page_size)
    query = select(Correction)
    if state:
        query = query.where(Correction.state == state)
    if kind:
        query = query.where(Correction.kind == kind)
    if q:
        wanted = q.lower()
        query = query.where(
            or_(Correction.name.contains(wanted), func.lower(Correction.vulnerability).contains(wanted))
        )
    total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = await session.scalars(query.order_by(*order_by(sort, SORTS)).offset(offset).limit(limit))
    return Page(list(rows), total, page, page_size)


async def list_applied(session: AsyncSession) -> list[Correction]:
    """The corrections that count, in the order in which they were applied: the last of several goes first."""
    query = select(Correction).where(Correction.state == "applied").order_by(Correction.applied_at, Correction.id)
    return list(await session.scalars(query))


async def list_open(session: AsyncSession, name: str) -> list[Correction]:
    """The corrections of one package that are proposed or applied."""
    query = select(Correction).where(Correction.name == name, Correction.state.in_(("proposed", "applied")))
    return list(await session.scalars(query.order_by(Correction.id)))
