"""/api/v1/feeds and /api/v1/advisories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query

from antivenom.server.advisories import service
from antivenom.server.advisories.schemas import (
    AdvisoryAnswer,
    AdvisorySummary,
    FeedCreate,
    FeedSyncRequest,
    FeedView,
    SetAsideView,
)
from antivenom.server.db.paging import Page
from antivenom.server.members.authentication import RequestContext

router = APIRouter()
T = TypeVar("T")


def _page(found: Page[T], view: Callable[[T], Any]) -> dict[str, Any]:
    return {
        "items": [view(item) for item in found.items],
        "total": found.total,
        "page": found.page,
        "page_size": found.page_size,
    }


@router.post("/feeds", status_code=201, tags=["feeds"])
async def add_feed(ctx: RequestContext, body: FeedCreate) -> FeedView:
    return FeedView.of(await service.add_feed(ctx, body.kind, body.location, every_s=body.every_s))


@router.get("/feeds", tags=["feeds"])
async def list_feeds(
    ctx: RequestContext, kind: str = "", q: str = "", sort: str = "added", page: int = 1, page_size: int = 50
) -> dict[str, Any]:
    found = await service.list_feeds(ctx, kind=kind, q=q, sort=sort, page=page, page_size=page_size)
    return _page(found, FeedView.of)


@router.post("/feeds/sync", status_code=202, tags=["feeds"])
async def sync_feeds(ctx: RequestContext, body: FeedSyncRequest) -> dict[str, Any]:
    feeds = await service.request_feed_sync(ctx, kind=body.kind)
    return {"items": [FeedView.of(f) for f in feeds], "total": len(feeds), "page": 1, "page_size": max(1, len(feeds))}


@router.get("/feeds/{feed_id}", tags=["feeds"])
async def get_feed(ctx: RequestContext, feed_id: int) -> FeedView:
    return FeedView.of(await service.get_feed(ctx, feed_id))


@router.delete("/feeds/{feed_id}", status_code=204, tags=["feeds"])
async def remove_feed(ctx: RequestContext, feed_id: int) -> None:
    await service.remove_feed(ctx, feed_id)


@router.post("/feeds/{feed_id}/sync", status_code=202, tags=["feeds"])
async def sync_feed(ctx: RequestContext, feed_id: int) -> FeedView:
    (feed,) = await service.request_feed_sync(ctx, feed_id)
    return FeedView.of(feed)


@router.get("/feeds/{feed_id}/set-aside", tags=["feeds"])
async def list_set_aside(
    ctx: RequestContext, feed_id: int, q: str = "", sort: str = "entry", page: int = 1, page_size: int = 50
) -> dict[str, Any]:
    found = await service.list_set_aside(ctx, feed_id, q=q, sort=sort, page=page, page_size=page_size)
    return _page(found, SetAsideView.of)


@router.get("/advisories", tags=["advisories"])
async def search_advisories(
    ctx: RequestContext,
    q: str = "",
    severity: str = "",
    kev: bool | None = None,
    epss_min: Annotated[float | None, Query(description="0 to 1")] = None,
    source: str = "",
    withdrawn: bool | None = None,
    sort: str = "-risk",
    page: int = 1,
    page_size: int = 50,
) -> dict[str, Any]:
    found = await service.search_advisories(
        ctx,
        q=q,
        severity=severity,
        kev=kev,
        epss_min=epss_min,
        source=source,
        withdrawn=withdrawn,
        sort=sort,
        page=page,
        page_size=page_size,
    )
    return _page(found, AdvisorySummary.of)


@router.get("/advisories/{any_id}", tags=["advisories"])
async def get_advisory(ctx: RequestContext, any_id: str) -> AdvisoryAnswer:
    return AdvisoryAnswer.of(await service.get_advisory(ctx, any_id))
