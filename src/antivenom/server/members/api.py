"""/api/v1/tokens, /api/v1/members, /api/v1/me, and the audit trail at /api/v1/events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from antivenom import __version__
from antivenom.server.events.schemas import EventList, EventView
from antivenom.server.members import service
from antivenom.server.members.authentication import RequestActor, RequestContext
from antivenom.server.members.schemas import (
    ActorView,
    PasswordReset,
    PasswordView,
    TokenCreate,
    TokenCreated,
    TokenList,
    TokenView,
)

router = APIRouter(tags=["members"])


@router.get("/me")
async def show_actor(actor: RequestActor) -> ActorView:
    """Who the server takes you for."""
    return ActorView(kind=actor.kind, name=actor.name, role=actor.role, version=__version__)


@router.post("/tokens", status_code=201)
async def create_token(ctx: RequestContext, body: TokenCreate) -> TokenCreated:
    """Make a token; its value is in this answer and nowhere else."""
    new = await service.create_token(ctx, body.name, role=body.role, expires_at=body.expires_at)
    return TokenCreated(**TokenView.of(new.token).model_dump(), token=new.value)


@router.get("/tokens")
async def list_tokens(
    ctx: RequestContext, page: Annotated[int, Query()] = 1, page_size: Annotated[int, Query()] = 50
) -> TokenList:
    found = await service.list_tokens(ctx, page=page, page_size=page_size)
    return TokenList(
        items=[TokenView.of(token) for token in found.items],
        total=found.total,
        page=found.page,
        page_size=found.page_size,
    )


@router.delete("/tokens/{name}")
async def revoke_token(ctx: RequestContext, name: str) -> TokenView:
    """End a token at once."""
    return TokenView.of(await service.revoke_token(ctx, name))


@router.post("/members/{name}/password")
async def reset_password(ctx: RequestContext, name: str, body: PasswordReset) -> PasswordView:
    """Give a member a new password and end their sessions."""
    return PasswordView(name=name, password=await service.reset_password(ctx, name, body.password))


@router.get("/events")
async def list_events(
    ctx: RequestContext,
    kind: str = "",
    subject: str = "",
    actor: str = "",
    page: Annotated[int, Query()] = 1,
    page_size: Annotated[int, Query()] = 50,
) -> EventList:
    """What happened, the newest first; filters match exactly."""
    found = await service.list_events(ctx, kind=kind, subject=subject, actor=actor, page=page, page_size=page_size)
    return EventList(
        items=[EventView.model_validate(event, from_attributes=True) for event in found.items],
        total=found.total,
        page=found.page,
        page_size=found.page_size,
    )
