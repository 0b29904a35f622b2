"""Reading the audit trail: who did what to what. `events` writes it and knows no permissions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace

from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page
from antivenom.server.events import queries
from antivenom.server.events.models import Event
from antivenom.server.events.queries import EventFilter
from antivenom.server.members.authorization import require

__all__ = ["EventFilter", "count_actors", "count_kinds", "iterate_events", "iterate_events_as_csv", "list_events"]

COLUMNS = ("id", "at", "actor", "kind", "subject", "data")
NEWEST_FIRST = "-at"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


async def list_events(
    ctx: Context,
    wanted: EventFilter | None = None,
    *,
    sort: str = NEWEST_FIRST,
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[Event]:
    """One page of the audit trail, the newest first unless `sort` (at, actor, kind, subject) says otherwise.

    Raises:
        InvalidInputError: The sort is unknown, or there is no such page.
    """
    require(ctx, "audit:read", subject="event:*")
    return await queries.page_events(ctx.session, wanted or EventFilter(), sort=sort, page=page, page_size=page_size)


async def iterate_events(ctx: Context, wanted: EventFilter, *, sort: str = NEWEST_FIRST) -> AsyncIterator[Event]:
    """Every event that the filter leaves, without holding them all.

    They are read in a transaction of their own, so that an answer may be sent after the one of `ctx` has ended.
    """
    require(ctx, "audit:read", subject="event:*")
    queries.check(wanted, sort)  # now: later, the answer has begun
    resources, actor = ctx.resources, ctx.actor

    async def read() -> AsyncIterator[Event]:
        async with resources.context(actor) as reading:
            async for event in queries.stream_events(reading.session, wanted, sort=sort):
                yield event

    return read()


async def iterate_events_as_csv(ctx: Context, wanted: EventFilter, *, sort: str = NEWEST_FIRST) -> AsyncIterator[str]:
    """The events as lines of CSV under a head. An apostrophe keeps spreadsheets from running a cell as a formula."""
    events = await iterate_events(ctx, wanted, sort=sort)

    async def lines() -> AsyncIterator[str]:
        yield _csv_line(COLUMNS)
        async for event in events:
            data = json.dumps(event.data, ensure_ascii=False, sort_keys=True)
            yield _csv_line((str(event.id), event.at.isoformat(), event.actor, event.kind, event.subject, data))

    return lines()


def _csv_line(cells: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell for cell in cells])
    return line.getvalue()


async def count_kinds(ctx: Context, wanted: EventFilter) -> dict[str, int]:
    """How many events of each kind the other parts of the filter leave, the most frequent first."""
    require(ctx, "audit:read", subject="event:*")
    return await queries.count_by_kind(ctx.session, replace(wanted, kind=""))


async def count_actors(ctx: Context, wanted: EventFilter) -> dict[str, int]:
    """How many events each actor caused that the other parts of the filter leave, the most frequent first."""
    require(ctx, "audit:read", subject="event:*")
    return await queries.count_by_actor(ctx.session, replace(wanted, actor=""))
