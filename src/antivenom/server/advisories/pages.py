"""The search over advisories, and the feeds they come from. One advisory is in catalog/pages.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError, InvalidInputError, NotFoundError
from antivenom.core.feeds.registry import SOURCES
from antivenom.server.advisories import service
from antivenom.server.advisories.schemas import AdvisorySummary
from antivenom.server.advisory_files import service as advisory_files
from antivenom.server.context import Context
from antivenom.server.web.rendering import ListState, action, page, redirect, render

YES = {"yes": True, "no": False}
BLANK_FEED = {"kind": "osv", "location": "", "every": "3600"}
BUSY = ("queued", "syncing")


async def show_advisories(request: Request, ctx: Context) -> Response:
    state = ListState.read(request, filters=("severity", "kev", "epss_min", "source", "withdrawn"), sort="-risk")
    found = await service.search_advisories(
        ctx,
        q=state.q,
        severity=state.filter("severity"),
        kev=YES.get(state.filter("kev")),
        epss_min=_probability(state.filter("epss_min")),
        source=state.filter("source"),
        withdrawn=YES.get(state.filter("withdrawn")),
        sort=state.sort,
        page=state.page,
        page_size=state.page_size,
    )
    rows = [AdvisorySummary.of(row) for row in found.items]
    return render(request, ctx, "advisories/advisories.html", partial="results", state=state, found=found, rows=rows)


def _probability(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise InvalidInputError(f"{text!r} is not a probability from 0 to 1", field="epss_min") from None


async def show_feeds(request: Request, ctx: Context) -> Response:
    return await _render_feeds(request, ctx, BLANK_FEED, None)


async def show_refused_feed(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return await _render_feeds(request, ctx, {key: str(values.get(key, "")) for key in BLANK_FEED}, error)


async def _render_feeds(
    request: Request, ctx: Context, form: Mapping[str, str], error: AntivenomError | None
) -> Response:
    state = ListState.read(request, filters=("kind", "state"), sort="added")
    found = await service.list_feeds(
        ctx,
        kind=state.filter("kind"),
        state=state.filter("state"),
        q=state.q,
        sort=state.sort,
        page=state.page,
        page_size=state.page_size,
    )
    return render(
        request,
        ctx,
        "advisories/feeds.html",
        partial="results",
        status=error.status if error else 200,
        state=state,
        found=found,
        feeds=[(feed, service.freshness_of(feed, ctx.now)) for feed in found.items],
        published=await advisory_files.describe(ctx),
        signed_by=(await advisory_files.show_keys(ctx))[-1].fingerprint,
        is_busy=any(feed.state in BUSY for feed in found.items),
        has_own_feeds=any(not feed.is_built_in for feed in found.items),
        kinds=list(SOURCES.values()),
        form=form,
        error=error,
    )


async def add_feed(request: Request, ctx: Context, form: FormData) -> Response:
    every = str(form.get("every", ""))
    if every and not (every.isascii() and every.isdigit() and len(every) < 10):
        raise InvalidInputError(f"{every!r} is not a number of seconds", field="every_s")
    feed = await service.add_feed(
        ctx, str(form.get("kind", "")), str(form.get("location", "")).strip(), every_s=int(every) if every else None
    )
    return redirect("/feeds", flash=f"Feed {feed.kind} was added; its first sync begins now.")


async def show_feed(request: Request, ctx: Context) -> Response:
    feed = await service.get_feed(ctx, _feed_id(request))
    state = ListState.read(request, sort="entry")
    found = await service.list_set_aside(
        ctx, feed.id, q=state.q, sort=state.sort, page=state.page, page_size=state.page_size
    )
    return render(
        request,
        ctx,
        "advisories/feed.html",
        partial="results",
        feed=feed,
        state=state,
        found=found,
        freshness=service.freshness_of(feed, ctx.now),
    )


async def sync_feed(request: Request, ctx: Context, form: FormData) -> Response:
    await service.request_feed_sync(ctx, _feed_id(request))
    return redirect("/feeds")


async def sync_feeds(request: Request, ctx: Context, form: FormData) -> Response:
    await service.request_feed_sync(ctx)
    return redirect("/feeds")


async def remove_feed(request: Request, ctx: Context, form: FormData) -> Response:
    await service.remove_feed(ctx, _feed_id(request))
    return redirect("/feeds", flash="The feed was removed, and with it what only it knew.")


def _feed_id(request: Request) -> int:
    text = request.path_params["feed_id"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFoundError(f"there is no feed {text[:40]!r}", hint="list them with: antivenom feed list")
    return int(text)


routes: list[Route] = [
    page("/advisories", show_advisories),
    page("/feeds", show_feeds),
    action("/feeds", add_feed, form=show_refused_feed),
    action("/feeds/sync", sync_feeds),
    page("/feeds/{feed_id}", show_feed),
    action("/feeds/{feed_id}/sync", sync_feed),
    action("/feeds/{feed_id}/remove", remove_feed),
]
