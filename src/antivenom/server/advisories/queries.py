"""Reading feeds, advisories, exploitation facts and maps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    UnaryExpression,
    and_,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from antivenom.core.feeds.entry import READING_RULES
from antivenom.core.feeds.registry import find_source
from antivenom.core.matching.advisories import Advisory, Severity
from antivenom.core.matching.advisory_prose import join_prose
from antivenom.server.advisories.models import (
    BUILT_IN_ID,
    AdvisoryRow,
    Exploitation,
    Feed,
    KnowledgeRevision,
    KnowledgeRow,
    NameMapping,
    ProductMapping,
    SetAsideEntry,
    Vulnerability,
    VulnerabilityId,
)
from antivenom.server.db.paging import Column, Page, check_paging, order_by
from antivenom.server.db.schedule import has_ended, is_due
from antivenom.server.events.progress import JobProgress

# What is exploited, and malware, comes first (core.matching.risk.rank).
IS_MALWARE: ColumnElement[bool] = Vulnerability.severity == literal_column(str(int(Severity.malware)))
IS_EXPLOITED: ColumnElement[bool] = Vulnerability.kev | IS_MALWARE
SORTS: dict[str, Sequence[ColumnElement[Any] | InstrumentedAttribute[Any]]] = {
    "risk": (
        IS_EXPLOITED,
        Vulnerability.risk,
        Vulnerability.severity,
        Vulnerability.published_at,
        Vulnerability.id,
    ),
    "severity": (Vulnerability.severity, Vulnerability.cvss, Vulnerability.id),
    "cvss": (Vulnerability.cvss, Vulnerability.id),
    "epss": (Vulnerability.epss, Vulnerability.id),
    "published": (Vulnerability.published_at, Vulnerability.id),
    "modified": (Vulnerability.modified_at, Vulnerability.id),
    "id": (Vulnerability.id,),
}


_COUNTS = type_coerce(Feed.counts, JSONB)
FEED_SORTS: dict[str, Sequence[Column]] = {
    "added": (Feed.id,),
    "kind": (Feed.kind, Feed.location),
    "state": (Feed.state, Feed.id),
    "entries": (_COUNTS["entries"].as_integer(), Feed.id),
    "set_aside": (_COUNTS["set_aside"].as_integer(), Feed.id),
    "synced": (Feed.last_sync_at, Feed.id),
    "next": (Feed.next_sync_at, Feed.id),
}
SET_ASIDE_SORTS = {
    "entry": (SetAsideEntry.entry,),
    "reason": (SetAsideEntry.reason, SetAsideEntry.entry),
    "at": (SetAsideEntry.at, SetAsideEntry.entry),
}


# -- feeds ------------------------------------------------------------------------------------------


async def find_feed(session: AsyncSession, feed_id: int, *, lock: bool = False) -> Feed | None:
    query = select(Feed).where(Feed.id == feed_id).execution_options(populate_existing=True)
    return await session.scalar(query.with_for_update() if lock else query)


async def list_feeds_at(session: AsyncSession, kind: str, location: str) -> list[Feed]:
    """Feeds whose location is shown so; what is hidden of them may differ."""
    return list(await session.scalars(select(Feed).where(Feed.kind == kind, Feed.location == location)))


async def page_feeds(
    session: AsyncSession, *, kind: str, state: str, q: str, sort: str, page: int, page_size: int
) -> Page[Feed]:
    offset, limit = check_paging(page, page_size)
    query = select(Feed)
    if kind:
        query = query.where(Feed.kind == kind)
    if state:
        query = query.where(Feed.state == state)
    if q:
        query = query.where(Feed.location.icontains(q, autoescape=True) | Feed.kind.contains(q, autoescape=True))
    total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = await session.scalars(query.order_by(*order_by(sort, FEED_SORTS)).offset(offset).limit(limit))
    return Page(list(rows), total, page, page_size)


async def list_feeds_of_kind(session: AsyncSession, kind: str) -> list[Feed]:
    """The feeds of a kind that somebody added."""
    query = select(Feed).where(Feed.kind == kind, Feed.id != BUILT_IN_ID)
    return list(await session.scalars(query.order_by(Feed.id)))


async def list_due(session: AsyncSession, now: datetime) -> list[Feed]:
    """Feeds whose next sync (by schedule or after a failure) is due, and those that nobody works on any more."""
    is_worked_on = Feed.state.in_(("queued", "syncing"))
    due = is_due(Feed.next_sync_at, Feed.last_sync_at, now)
    query = select(Feed).where(or_(and_(due, ~is_worked_on), and_(is_worked_on, has_ended(Feed.lease_until, now))))
    return list(await session.scalars(query.with_for_update(skip_locked=True)))


async def list_read_by_other_rules(session: AsyncSession) -> list[Feed]:
    """Feeds of advisories, at rest, whose entries an earlier release read by its own rules."""
    query = select(Feed).where(Feed.state == "ok", Feed.id != BUILT_IN_ID).with_for_update(skip_locked=True)
    return [
        feed
        for feed in await session.scalars(query)
        if feed.cursor.rules != READING_RULES and find_source(feed.kind).TABLE == "advisory"
    ]


async def set_progress(
    session: AsyncSession, feed_id: int, progress: JobProgress | None, lease_until: datetime
) -> None:
    values: dict[str, object] = {"lease_until": lease_until} | ({"progress": progress} if progress else {})
    await session.execute(update(Feed).where(Feed.id == feed_id, Feed.state == "syncing").values(values))


async def page_set_aside(
    session: AsyncSession, feed_id: int, *, q: str, sort: str, page: int, page_size: int
) -> Page[SetAsideEntry]:
    offset, limit = check_paging(page, page_size)
    query = select(SetAsideEntry).where(SetAsideEntry.feed_id == feed_id)
    if q:
        places = (SetAsideEntry.entry, SetAsideEntry.reason)
        query = query.where(or_(*(place.icontains(q, autoescape=True) for place in places)))
    total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = await session.scalars(query.order_by(*order_by(sort, SET_ASIDE_SORTS)).offset(offset).limit(limit))
    return Page(list(rows), total, page, page_size)


FEED_COLUMNS: dict[str, InstrumentedAttribute[Any]] = {
    "advisory": AdvisoryRow.feed_id,
    "score": Exploitation.epss_feed_id,
    "exploited": Exploitation.kev_feed_id,
    "name": NameMapping.feed_id,
    "product": ProductMapping.feed_id,
    "knowledge": KnowledgeRow.feed_id,
}
"""Which column names the feed of a stored entry, by `STAGING` table."""


async def count_entries(session: AsyncSession, table: str, feed_id: int) -> int:
    """How many entries of a `STAGING` table are stored of a feed."""
    return await session.scalar(select(func.count()).where(FEED_COLUMNS[table] == feed_id)) or 0


async def is_syncing(session: AsyncSession) -> bool:
    """Whether any feed is read or waits to be read."""
    query = select(Feed.id).where(Feed.state.in_(("queued", "syncing"))).limit(1)
    return await session.scalar(query) is not None


async def count_advisories(session: AsyncSession) -> int:
    """How many advisories are stored, about: as of the last ANALYZE, without reading them."""
    estimate = await session.scalar(text("SELECT reltuples FROM pg_class WHERE oid = 'advisory'::regclass"))
    return max(0, int(estimate or 0))


# -- search -----------------------------------------------------------------------------------------


async def page_vulnerabilities(
    session: AsyncSession,
    *,
    q: str,
    severity: int | None,
    kev: bool | None,
    epss_min: float | None,
    source: str,
    withdrawn: bool | None,
    sort: str,
    page: int,
    page_size: int,
) -> Page[Vulnerability]:
    """Vulnerabilities that match every word of `q` (in ids, packages or summary) and every filter."""
    offset, limit = check_paging(page, page_size)
    query = select(Vulnerability)
    for word in q.lower().split()[:8]:
        query = query.where(Vulnerability.search.contains(word, autoescape=True))
    if severity is not None:
        query = query.where(Vulnerability.severity >= severity)
    if kev is not None:
        query = query.where(Vulnerability.kev if kev else ~Vulnerability.kev)  # IS TRUE would not use the partial index
    if epss_min is not None:
        query = query.where(or_(Vulnerability.epss >= epss_min, IS_MALWARE))
    if source:
        query = query.where(Vulnerability.sources.contains([source]))
    if withdrawn is not None:
        query = query.where(Vulnerability.is_withdrawn.is_(withdrawn))
    total = await session.scalar(query.with_only_columns(func.count(), maintain_column_froms=True)) or 0
    rows = await session.scalars(_sorted(query, sort).offset(offset).limit(limit))
    return Page(list(rows), total, page, page_size)


def _sorted(query: Select[Vulnerability], sort: str) -> Select[Vulnerability]:
    descends = sort.startswith("-")
    name = sort.removeprefix("-")
    has_nulls_last = descends or name != "risk"  # the other way round its index is read backwards
    return query.order_by(*(_ordered(column, descends, has_nulls_last) for column in SORTS[name]))


def _ordered(
    column: ColumnElement[Any] | InstrumentedAttribute[Any], descends: bool, has_nulls_last: bool
) -> UnaryExpression[Any]:
    """Unknown values last. A column that always has one goes without NULLS LAST, or no index would be used."""
    ordered = column.desc() if descends else column.asc()
    if not getattr(column, "nullable", False):
        return ordered
    return ordered.nulls_last() if has_nulls_last else ordered.nulls_first()


async def find_vulnerability(session: AsyncSession, any_id: str) -> Vulnerability | None:
    """The vulnerability that has this id or alias, the first of several; CVE, GHSA and PYSEC ids in any case."""
    for candidate in dict.fromkeys((any_id, any_id.upper(), _ghsa(any_id))):
        query = (
            select(Vulnerability)
            .join(VulnerabilityId, VulnerabilityId.vulnerability == Vulnerability.id)
            .where(VulnerabilityId.id == candidate)
            .order_by(Vulnerability.id)
            .limit(1)
        )
        if found := await session.scalar(query):
            return found
    return None


def _ghsa(any_id: str) -> str:
    """GHSA ids are written with lower-case letters behind the prefix."""
    return "GHSA-" + any_id[5:].lower() if any_id.upper().startswith("GHSA-") else any_id


@dataclass(frozen=True, slots=True)
class SourcedAdvisory:
    """An advisory and its feed; `is_shared`: its id belongs to other vulnerabilities too."""

    advisory: Advisory
    feed_id: int
    kind: str
    is_shared: bool = False


async def list_advisories_of(session: AsyncSession, ids: Sequence[str]) -> list[SourcedAdvisory]:
    """Every feed's advisories under these ids, by kind and id."""
    vulnerabilities = (
        select(func.count()).where(VulnerabilityId.id == AdvisoryRow.id).correlate(AdvisoryRow).scalar_subquery()
    )
    rows = await session.execute(
        select(AdvisoryRow.body, AdvisoryRow.prose, Feed.id, Feed.kind, (vulnerabilities > 1).label("is_shared"))
        .join(Feed, Feed.id == AdvisoryRow.feed_id)
        .where(AdvisoryRow.id.in_(ids))
        .order_by(Feed.kind, AdvisoryRow.id, Feed.id)
    )
    return [SourcedAdvisory(join_prose(row.body, row.prose), row.id, row.kind, row.is_shared) for row in rows]


async def list_exploitation(session: AsyncSession, ids: Sequence[str]) -> list[Exploitation]:
    return list(await session.scalars(select(Exploitation).where(Exploitation.cve.in_(ids)).order_by(Exploitation.cve)))


# -- what is compiled --------------------------------------------------------------------------------


async def newest_revision(session: AsyncSession) -> KnowledgeRevision | None:
    return await session.scalar(select(KnowledgeRevision).order_by(KnowledgeRevision.id.desc()).limit(1))


async def oldest_pending_revision(session: AsyncSession) -> KnowledgeRevision | None:
    """The first revision behind the newest that has a compiled index."""
    compiled = select(func.coalesce(func.max(KnowledgeRevision.id), 0)).where(KnowledgeRevision.index_key.is_not(None))
    query = select(KnowledgeRevision).where(KnowledgeRevision.id > compiled.scalar_subquery())
    return await session.scalar(query.order_by(KnowledgeRevision.id).limit(1))


async def has_asked_since(session: AsyncSession, since: datetime) -> bool:
    """Whether somebody added a feed, or asked for the sync of one, after that."""
    return bool(await session.scalar(select(exists().where(Feed.asked_at > since))))


async def has_synced_since(session: AsyncSession, since: datetime) -> bool:
    """Whether a feed's sync ended well after that."""
    return bool(await session.scalar(select(exists().where(Feed.last_success_at > since))))


# -- the dashboard ----------------------------------------------------------------------------------


async def count_vulnerabilities(session: AsyncSession) -> int:
    """How many vulnerabilities are known, without withdrawn ones."""
    query = select(func.count()).select_from(Vulnerability).where(Vulnerability.is_withdrawn.is_(False))
    return await session.scalar(query) or 0


async def list_all_feeds(session: AsyncSession) -> list[Feed]:
    """All feeds that somebody added."""
    return list(await session.scalars(select(Feed).where(Feed.id != BUILT_IN_ID).order_by(Feed.id)))


async def count_named_by_feed(session: AsyncSession, named: Mapping[str, Collection[str]]) -> dict[int, int]:
    """How many of the named advisories each feed has. `named`: ids by the kind of their feed."""
    found: dict[int, int] = {}
    for kind, ids in named.items():
        rows = await session.execute(
            select(AdvisoryRow.feed_id, func.count())
            .join(Feed, Feed.id == AdvisoryRow.feed_id)
            .where(Feed.kind == kind, AdvisoryRow.id.in_(list(ids)))
            .group_by(AdvisoryRow.feed_id)
        )
        found |= {row[0]: row[1] for row in rows}
    return found
