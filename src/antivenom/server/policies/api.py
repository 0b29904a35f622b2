"""/api/v1/policies: check, look up, compare. Putting a channel under one is in channel_policies/api.py."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from antivenom.server.members.authentication import RequestContext
from antivenom.server.members.authorization import require
from antivenom.server.policies import service
from antivenom.server.policies.schemas import (
    PolicyChecked,
    PolicySummary,
    PolicyToCheck,
    PolicyView,
    RevisionDiffView,
    RevisionView,
)
from antivenom.server.web.listing import Listing

router = APIRouter(prefix="/policies", tags=["policies"])


@router.post("/check")
async def check_policy(ctx: RequestContext, body: PolicyToCheck) -> PolicyChecked:
    """Check a text; nothing is stored. A wrong one answers 422 with `problems`: line, column, field, message, hint."""
    require(ctx, "policies:read", subject="policy:*")
    return PolicyChecked.of(await service.check_policy(ctx.resources, body.text, asker=ctx.actor.label))


@router.get("")
async def list_policies(
    ctx: RequestContext, q: str = "", sort: str = "name", page: int = 1, page_size: int = 50
) -> Listing[PolicySummary]:
    """Policies, each with its latest revision. `q` is searched in the name."""
    found = await service.list_policies(ctx, q=q, sort=sort, page=page, page_size=page_size)
    return Listing.of(found.map(lambda item: PolicySummary.of(*item)))


@router.get("/{name}")
async def get_policy(ctx: RequestContext, name: str, revision: int | None = None) -> PolicyView:
    """A policy with its latest text, or with that of one revision."""
    if revision is None:
        return PolicyView.of(*await service.get_policy(ctx, name))
    return PolicyView.of(*await service.get_revision(ctx, name, revision))


@router.get("/{name}/revisions")
async def list_revisions(ctx: RequestContext, name: str, page: int = 1, page_size: int = 50) -> Listing[RevisionView]:
    """The revisions of a policy, the newest first."""
    found = await service.list_revisions(ctx, name, page=page, page_size=page_size)
    return Listing.of(found.map(RevisionView.of))


@router.get("/{name}/diff")
async def diff_revisions(
    ctx: RequestContext, name: str, old: Annotated[int, Query(alias="from")], new: Annotated[int, Query(alias="to")]
) -> RevisionDiffView:
    """What changed from one revision of a policy to another, by rules and by lines."""
    return RevisionDiffView.of(await service.diff_revisions(ctx, name, old, new))
