"""The page of the audit trail: who did what to what, and when."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import InvalidInputError
from antivenom.server.context import Context
from antivenom.server.members import audit
from antivenom.server.members.audit_wording import describe_actor, describe_event, describe_kind
from antivenom.server.web.rendering import ListState, page, render

PERIODS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}
FILTERS = ("kind", "actor", "subject", "period", "from", "to")


async def show_audit(request: Request, ctx: Context) -> Response:
    state = ListState.read(request, filters=FILTERS, sort=audit.NEWEST_FIRST)
    wanted = _read_filter(state, ctx.now)
    found = await audit.list_events(ctx, wanted, sort=state.sort, page=state.page, page_size=state.page_size)
    kinds = await audit.count_kinds(ctx, wanted)
    actors = await audit.count_actors(ctx, wanted)
    return render(
        request,
        ctx,
        "members/audit.html",
        partial="results",
        state=state,
        found=found,
        rows=[describe_event(event) for event in found.items],
        kinds=[(kind, describe_kind(kind), number) for kind, number in _choices(kinds, state.filter("kind"))],
        actors=[(actor, describe_actor(actor), number) for actor, number in _choices(actors, state.filter("actor"))],
        export=_export_query(wanted, state.sort),
    )


def _choices(counts: dict[str, int], chosen: str) -> list[tuple[str, int]]:
    """The choices in order, with the chosen one even where nothing has it."""
    return sorted({chosen: 0, **counts}.items() if chosen else counts.items())


def _read_filter(state: ListState, now: datetime) -> audit.EventFilter:
    period = state.filter("period")
    if period and period not in PERIODS:
        raise InvalidInputError(f"period {period!r} is not known", hint=f"one of {', '.join(PERIODS)}", field="period")
    since, until = _day(state.filter("from"), "from"), _day(state.filter("to"), "to")
    if period:
        since = max(filter(None, (since, now - PERIODS[period])))
    return audit.EventFilter(
        kind=state.filter("kind"),
        subject=state.filter("subject"),
        actor=state.filter("actor"),
        q=state.q,
        since=since,
        until=until + timedelta(days=1) if until else None,
    )


def _day(text: str, field: str) -> datetime | None:
    """The first instant of a day in UTC."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC) if text else None
    except ValueError:
        raise InvalidInputError(f"{text!r} is not a day", hint="such as 2026-01-31", field=field) from None


def _export_query(wanted: audit.EventFilter, sort: str) -> str:
    """The query with which the API answers everything that the page's filters leave."""
    values = {
        "kind": wanted.kind,
        "subject": wanted.subject,
        "actor": wanted.actor,
        "q": wanted.q,
        "since": wanted.since.isoformat() if wanted.since else "",
        "until": wanted.until.isoformat() if wanted.until else "",
        "sort": sort,
    }
    return urlencode({name: value for name, value in values.items() if value})


routes: list[Route] = [page("/audit", show_audit)]
