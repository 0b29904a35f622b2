"""Reading the audit trail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.errors import InvalidInputError
from antivenom.server.db.paging import Page, check_paging, check_sort
from antivenom.server.events.models import Event

SORTS = {"at": Event.id, "actor": Event.actor, "kind": Event.kind, "subject": Event.subject}
ROWS_AT_ONCE = 1000
COUNTED_VALUES = 100


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events: every given part must hold.

    `kind` is a whole kind ("policy.revised") or what stands before its dot ("policy"); `q` is found in the subject, the
    kind, the actor or the data, whatever its case; `since` is included, `until` is not.
    """

    kind: str = ""
    subject: str = ""
    actor: str = ""
    q: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.kind:
            found.append(or_(Event.kind == self.kind, Event.kind.startswith(f"{self.kind}.", autoescape=True)))
        if self.subject:
            found.append(Event.subject == self.subject)
        if self.actor:
            found.append(Event.actor == self.actor)
        if self.since:
            found.append(Event.at >= self.since)
        if self.until:
            found.append(Event.at < self.until)
        if self.q:
            places = (Event.subject, Event.kind, Event.actor, cast(Event.data, Text))
            found.append(or_(*(place.icontains(self.q, autoescape=True) for place in places)))
        return found


def check(wanted: EventFilter, sort: str) -> None:
    """Raises InvalidInputError for what events cannot be filtered or sorted by."""
    for field in ("kind", "subject", "actor", "q"):
        if "\0" in getattr(wanted, field):
            raise InvalidInputError(f"{field} has a NUL character, which no event has", field=field)
    check_sort(sort, SORTS)


def _ordered(wanted: EventFilter, sort: str) -> Select[Event]:
    check(wanted, sort)
    column = SORTS[sort.removeprefix("-")]
    order = column.desc() if sort.startswith("-") else column.asc()
    return select(Event).where(*wanted.conditions()).order_by(order, Event.id.desc())


async def page_events(
    session: AsyncSession, wanted: EventFilter, *, sort: str, page: int, page_size: int
) -> Page[Event]:
    """One page of the events that the filter leaves."""
    offset, limit = check_paging(page, page_size)
    query = _ordered(wanted, sort)
    total = await session.scalar(select(func.count()).select_from(Event).where(*wanted.conditions())) or 0
    rows = await session.scalars(query.offset(offset).limit(limit))
    return Page(list(rows), total, page, page_size)


async def stream_events(session: AsyncSession, wanted: EventFilter, *, sort: str) -> AsyncIterator[Event]:
    """Every event that the filter leaves, read from the database as it is asked for."""
    query = _ordered(wanted, sort).execution_options(yield_per=ROWS_AT_ONCE)
    async for event in await session.stream_scalars(query):
        yield event


async def count_by(session: AsyncSession, column: Any, wanted: EventFilter) -> dict[str, int]:
    """How many events each value of a column has, the most frequent first; a hundred values at most."""
    number = func.count()
    query = select(column, number).where(*wanted.conditions()).group_by(column).order_by(number.desc(), column)
    return {row[0]: row[1] for row in await session.execute(query.limit(COUNTED_VALUES))}


async def count_by_kind(session: AsyncSession, wanted: EventFilter) -> dict[str, int]:
    return await count_by(session, Event.kind, wanted)


async def count_by_actor(session: AsyncSession, wanted: EventFilter) -> dict[str, int]:
    return await count_by(session, Event.actor, wanted)
