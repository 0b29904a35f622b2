"""/api/v1/channels/…/policy: the policy of a channel, and what another would change."""

from __future__ import annotations

from fastapi import APIRouter, Request

from antivenom.server.channel_policies import service
from antivenom.server.channel_policies.plans import PolicyPlan
from antivenom.server.channel_policies.schemas import AttachedPolicy, ChannelPolicyView, PolicyText, RevisedPolicy
from antivenom.server.members.authentication import RequestActor, RequestContext
from antivenom.server.web.leaving import while_connected

router = APIRouter(tags=["channels"])


@router.get("/channels/{channel}/policy")
async def get_policy(ctx: RequestContext, channel: str) -> ChannelPolicyView:
    """The policy of a channel, as written."""
    attached = await service.get_channel_policy(ctx, channel)
    if attached is None:
        return ChannelPolicyView(policy=None, revision=None, text="")
    policy, revision = attached
    return ChannelPolicyView(policy=policy.name, revision=revision.number, text=revision.text)


@router.put("/channels/{channel}/policy")
async def set_policy(ctx: RequestContext, channel: str, body: PolicyText) -> AttachedPolicy:
    """Attach a policy to a channel and publish it anew. A new text makes a new revision."""
    revision = await service.set_policy(ctx, channel, body.text)
    return AttachedPolicy(channel=channel, policy=str(revision.document["name"]), revision=revision.number)


@router.put("/policies")
async def set_policy_everywhere(ctx: RequestContext, body: PolicyText) -> RevisedPolicy:
    """Make a new revision of a policy and attach it to every channel under the policy of that name."""
    revision, channels = await service.set_policy_everywhere(ctx, body.text)
    return RevisedPolicy(policy=str(revision.document["name"]), revision=revision.number, channels=channels)


@router.post("/channels/{channel}/policy/plan")
async def plan_policy(request: Request, actor: RequestActor, channel: str, body: PolicyText) -> PolicyPlan:
    """What a policy would withhold or release; the lists end at 20,000 records each, the counts are exact.

    It may take `ANTIVENOM_PLAN_MAX_S` seconds of CPU, and ends when the client goes away.
    """
    return await while_connected(request, service.plan_policy(request.app.state.resources, actor, channel, body.text))
