"""Reading components, findings and curations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.matching.build_statements import Curated
from antivenom.server.advisories.models import KnowledgeRevision
from antivenom.server.db.paging import Page, check_paging
from antivenom.server.findings.models import Component, Curation, FindingRow

_statuses = msgspec.msgpack.Decoder(dict[str, Curated])


@dataclass(frozen=True, slots=True)
class AffectedComponent:
    """A component that one vulnerability affects."""

    name: str
    version: str
    purls: tuple[str, ...]
    primary_id: str
    severity: int
    risk: float
    opened_revision: int


async def newest_compiled(session: AsyncSession) -> KnowledgeRevision | None:
    """The newest knowledge revision whose match index is compiled."""
    return await session.scalar(
        select(KnowledgeRevision)
        .where(KnowledgeRevision.index_key.is_not(None))
        .order_by(KnowledgeRevision.id.desc())
        .limit(1)
    )


async def list_component_keys(session: AsyncSession) -> list[tuple[int, str, str, str]]:
    """(id, name, version, purls key) of every component."""
    rows = await session.execute(
        select(Component.id, Component.name, Component.version, Component.purls_key).order_by(Component.id)
    )
    return [(row_id, name, version, key) for row_id, name, version, key in rows]


async def page_affected(
    session: AsyncSession, ids: Sequence[str], *, page: int, page_size: int
) -> Page[AffectedComponent]:
    """The components with an open finding under any of these ids, by name and version."""
    offset, limit = check_paging(page, page_size)
    query = (
        select(Component, FindingRow)
        .join(FindingRow, FindingRow.component_id == Component.id)
        .where(FindingRow.ids.overlap(list(ids)), FindingRow.closed_revision.is_(None))
    )
    total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = await session.execute(query.order_by(Component.name, Component.version).offset(offset).limit(limit))
    found = [
        AffectedComponent(c.name, c.version, _purls(c.purls_key), f.primary_id, f.severity, f.risk, f.opened_revision)
        for c, f in rows
    ]
    return Page(found, total, page, page_size)


def _purls(key: str) -> tuple[str, ...]:
    return tuple(key.split("\n")) if key else ()


async def find_curations(session: AsyncSession, digests: Sequence[bytes]) -> dict[bytes, dict[str, Curated]]:
    """What these artifacts (sha256) say of themselves."""
    rows = await session.execute(select(Curation.sha256, Curation.statuses).where(Curation.sha256.in_(digests)))
    return {sha256: _statuses.decode(body) for sha256, body in rows}


async def list_curations(session: AsyncSession) -> list[tuple[bytes, str, dict[str, Curated]]]:
    """(sha256, file name, statements) of every artifact that says something of itself."""
    rows = await session.execute(select(Curation.sha256, Curation.fn, Curation.statuses).order_by(Curation.fn))
    return [(sha256, fn, _statuses.decode(body)) for sha256, fn, body in rows]
