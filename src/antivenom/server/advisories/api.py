"""/api/v1/feeds and /api/v1/advisories."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from antivenom.server.advisories import service
from antivenom.server.advisories.schemas import (
    AdvisoryAnswer,
    AdvisorySummary,
    FeedCreate,
    FeedSyncRequest,
    FeedView,
    SetAsideEntryView,
)
from antivenom.server.members.authentication import RequestContext
from antivenom.server.web.listing import Listing

router = APIRouter()


@router.post("/feeds", status_code=201, tags=["feeds"])
async def add_feed(ctx: RequestContext, body: FeedCreate) -> FeedView:
    """Add a feed; its first sync starts at once."""
    return FeedView.of(await service.add_feed(ctx, body.kind, body.location, every_s=body.every_s), ctx.now)


@router.get("/feeds", tags=["feeds"])
async def list_feeds(
    ctx: RequestContext, kind: str = "", q: str = "", sort: str = "added", page: int = 1, page_size: int = 50
) -> Listing[FeedView]:
    """Feeds, with how the last sync of each went. `q` is searched in the location."""
    found = await service.list_feeds(ctx, kind=kind, q=q, sort=sort, page=page, page_size=page_size)
    return Listing.of(found.map(lambda feed: FeedView.of(feed, ctx.now)))


@router.post("/feeds/sync", status_code=202, tags=["feeds"])
async def sync_feeds(ctx: RequestContext, body: FeedSyncRequest) -> Listing[FeedView]:
    """Request a sync of every feed, or of those of one kind; the answer does not wait for it."""
    return Listing.whole([FeedView.of(feed, ctx.now) for feed in await service.request_feed_sync(ctx, kind=body.kind)])


@router.get("/feeds/{feed_id}", tags=["feeds"])
async def get_feed(ctx: RequestContext, feed_id: int) -> FeedView:
    """One feed."""
    return FeedView.of(await service.get_feed(ctx, feed_id), ctx.now)


@router.delete("/feeds/{feed_id}", status_code=204, tags=["feeds"])
async def remove_feed(ctx: RequestContext, feed_id: int) -> None:
    """Remove a feed with everything that only it brought."""
    await service.remove_feed(ctx, feed_id)


@router.post("/feeds/{feed_id}/sync", status_code=202, tags=["feeds"])
async def sync_feed(ctx: RequestContext, feed_id: int) -> FeedView:
    """Request a sync of one feed; the answer does not wait for it."""
    (feed,) = await service.request_feed_sync(ctx, feed_id)
    return FeedView.of(feed, ctx.now)


@router.get("/feeds/{feed_id}/set-aside", tags=["feeds"])
async def list_set_aside(
    ctx: RequestContext, feed_id: int, q: str = "", sort: str = "entry", page: int = 1, page_size: int = 50
) -> Listing[SetAsideEntryView]:
    """The entries of the last sync that could not be used, with reasons."""
    found = await service.list_set_aside(ctx, feed_id, q=q, sort=sort, page=page, page_size=page_size)
    return Listing.of(found.map(SetAsideEntryView.of))


@router.get("/advisories", tags=["advisories"])
async def search_advisories(
    ctx: RequestContext,
    q: str = "",
    severity: str = "",
    kev: bool | None = None,
    epss_min: Annotated[float | None, Query(description="0 to 1; malware is above any")] = None,
    source: str = "",
    withdrawn: bool | None = None,
    sort: str = "-risk",
    page: int = 1,
    page_size: int = 50,
) -> Listing[AdvisorySummary]:
    """Vulnerabilities of every feed, the riskiest first. `q` is searched in ids, packages and summary."""
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
    return Listing.of(found.map(AdvisorySummary.of))


@router.get("/advisories/{any_id}", tags=["advisories"])
async def get_advisory(ctx: RequestContext, any_id: str) -> AdvisoryAnswer:
    """What every feed says of a vulnerability, by any of its ids."""
    return AdvisoryAnswer.of(await service.get_advisory(ctx, any_id))
