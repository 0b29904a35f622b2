"""/api/v1/channels/…/policy: the policy of a channel, and what another would do."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from antivenom.server.channel_policies import service
from antivenom.server.channel_policies.schemas import PolicyText
from antivenom.server.members.authentication import RequestContext

router = APIRouter(tags=["channels"])


@router.get("/channels/{channel}/policy")
async def get_policy(ctx: RequestContext, channel: str) -> dict[str, Any]:
    attached = await service.get_channel_policy(ctx, channel)
    if attached is None:
        return {"policy": None, "revision": None, "text": ""}
    policy, revision = attached
    return {"policy": policy.name, "revision": revision.number, "text": revision.text}


@router.put("/channels/{channel}/policy")
async def set_policy(ctx: RequestContext, channel: str, body: PolicyText) -> dict[str, Any]:
    revision = await service.set_policy(ctx, channel, body.text)
    return {"channel": channel, "policy": revision.document.get("name"), "revision": revision.number}


@router.put("/policies")
async def set_policy_everywhere(ctx: RequestContext, body: PolicyText) -> dict[str, Any]:
    """A new revision for every channel that is under the policy of that name."""
    revision, channels = await service.set_policy_everywhere(ctx, body.text)
    return {"policy": revision.document.get("name"), "revision": revision.number, "channels": channels}


@router.post("/channels/{channel}/policy/plan")
async def plan_policy(ctx: RequestContext, channel: str, body: PolicyText) -> dict[str, Any]:
    """What a policy would withhold or release; the lists end at 20,000 records each, the counts are exact."""
    return await service.plan_policy(ctx, channel, body.text)
