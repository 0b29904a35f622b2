"""/api/v1/tokens, /api/v1/me, and the audit trail at /api/v1/events. Members, groups and roles are in people_api.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime
from starlette.responses import StreamingResponse

from antivenom import __version__
from antivenom.server.events.models import Event
from antivenom.server.events.schemas import EventView
from antivenom.server.members import audit, people_api, service
from antivenom.server.members.authentication import RequestActor, RequestContext
from antivenom.server.members.schemas import (
    ActorView,
    TokenCreate,
    TokenCreated,
    TokenView,
)
from antivenom.server.web.listing import NDJSON, Listing, streamed

router = APIRouter(tags=["members"])
router.include_router(people_api.router)


@router.get("/me")
async def show_actor(actor: RequestActor) -> ActorView:
    """Who the server takes the request to come from."""
    return ActorView(kind=actor.kind, name=actor.name, role=actor.role, version=__version__)


@router.post("/tokens", status_code=201)
async def create_token(ctx: RequestContext, body: TokenCreate) -> TokenCreated:
    """Create a token; its value is in this answer and nowhere else."""
    new = await service.create_token(ctx, body.name, role=body.role, expires_at=body.expires_at)
    return TokenCreated(**TokenView.of(new.token).model_dump(), token=new.value)


@router.get("/tokens")
async def list_tokens(
    ctx: RequestContext, q: str = "", sort: str = "name", page: int = 1, page_size: int = 50
) -> Listing[TokenView]:
    """Tokens, revoked and expired ones too. `q` is searched in the name and in who created it."""
    found = await service.list_tokens(ctx, q=q, sort=sort, page=page, page_size=page_size)
    return Listing.of(found.map(TokenView.of))


@router.delete("/tokens/{name}")
async def revoke_token(ctx: RequestContext, name: str) -> TokenView:
    """End a token at once."""
    return TokenView.of(await service.revoke_token(ctx, name))


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What `GET /events` may be narrowed by."""

    kind: Annotated[str, Query(description="A whole kind, such as policy.revised, or its first word: policy")] = ""
    subject: Annotated[str, Query(description="Such as channel:main")] = ""
    actor: Annotated[str, Query(description="Such as member:ana, token:ci, local, system")] = ""
    q: Annotated[str, Query(description="Text in the subject, kind, actor or data", max_length=200)] = ""
    since: Annotated[AwareDatetime | None, Query(description="Not before this time")] = None
    until: Annotated[AwareDatetime | None, Query(description="Before this time")] = None
    sort: Annotated[str, Query(description="at, actor, kind or subject; - first turns the order")] = "-at"

    def filter(self) -> audit.EventFilter:
        return audit.EventFilter(self.kind, self.subject, self.actor, self.q, self.since, self.until)


EventFilters = Annotated[EventQuery, Depends()]


@router.get("/events", response_model=Listing[EventView], responses=streamed(EventView))
async def list_events(
    ctx: RequestContext, query: EventFilters, page: int = 1, page_size: int = 50, stream: bool = False
) -> Listing[EventView] | StreamingResponse:
    """What happened, the newest first. `stream=true` answers every event, one JSON object a line."""
    if stream:
        events = await audit.iterate_events(ctx, query.filter(), sort=query.sort)
        lines = (_view(event).model_dump_json() + "\n" async for event in events)
        return StreamingResponse(lines, media_type=NDJSON)
    found = await audit.list_events(ctx, query.filter(), sort=query.sort, page=page, page_size=page_size)
    return Listing.of(found.map(_view))


@router.get("/events.csv", response_class=StreamingResponse)
async def export_events(ctx: RequestContext, query: EventFilters) -> StreamingResponse:
    """The events as a file for spreadsheets: id, at, actor, kind, subject, data (JSON)."""
    lines = await audit.iterate_events_as_csv(ctx, query.filter(), sort=query.sort)
    headers = {"content-disposition": 'attachment; filename="antivenom-audit.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def _view(event: Event) -> EventView:
    return EventView.model_validate(event, from_attributes=True)
