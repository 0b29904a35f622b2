"""Reading components and their findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.source.source_map import Component
from antivenom.server.advisories.models import KnowledgeRevision
from antivenom.server.db.paging import Page, check_paging
from antivenom.server.findings.models import ComponentRow, FindingRow


@dataclass(frozen=True, slots=True)
class AffectedComponent:
    """A component that one vulnerability affects."""

    name: str
    version: str
    purls: tuple[str, ...]
    primary_id: str
    severity: int
    risk: float


async def newest_compiled(session: AsyncSession) -> KnowledgeRevision | None:
    """The newest knowledge revision whose match index is compiled."""
    return await session.scalar(
        select(KnowledgeRevision)
        .where(KnowledgeRevision.index_key.is_not(None))
        .order_by(KnowledgeRevision.id.desc())
        .limit(1)
    )


async def list_components(session: AsyncSession) -> list[Component]:
    """Every component that has, or once had, findings."""
    rows = await session.execute(
        select(ComponentRow.name, ComponentRow.version, ComponentRow.purls_key).order_by(ComponentRow.id)
    )
    return [Component(name, version, _purls(key)) for name, version, key in rows]


async def page_affected(
    session: AsyncSession, ids: Sequence[str], *, page: int, page_size: int
) -> Page[AffectedComponent]:
    """The components with an open finding under any of these ids, by name and version."""
    offset, limit = check_paging(page, page_size)
    query = (
        select(ComponentRow, FindingRow)
        .join(FindingRow, FindingRow.component_id == ComponentRow.id)
        .where(FindingRow.ids.overlap(list(ids)), FindingRow.closed_revision.is_(None))
    )
    total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = await session.execute(query.order_by(ComponentRow.name, ComponentRow.version).offset(offset).limit(limit))
    found = [
        AffectedComponent(c.name, c.version, _purls(c.purls_key), f.primary_id, f.severity, f.risk) for c, f in rows
    ]
    return Page(found, total, page, page_size)


def _purls(key: str) -> tuple[str, ...]:
    return tuple(key.split("\n")) if key else ()
