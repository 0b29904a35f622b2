"""Sets and plans the policy of a channel, and finds the channels under a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from antivenom.core.errors import SIMPLER_POLICY, LostBlobError, TooExpensiveError
from antivenom.core.publishing.publish import PlanItem
from antivenom.server.channel_policies import queries
from antivenom.server.channel_policies.plan_limits import count_plan
from antivenom.server.channel_policies.plans import PlanCounts, PlannedRecord, PolicyPlan, RulePlan
from antivenom.server.channels import service as channels
from antivenom.server.channels.models import Channel
from antivenom.server.context import Actor, Context, Resources
from antivenom.server.events.lost_blobs import tell_lost
from antivenom.server.events.service import record
from antivenom.server.members.authorization import require, require_somewhere
from antivenom.server.policies import service as policies
from antivenom.server.policies.models import Policy, PolicyRevision
from antivenom.server.publications import queries as publications_queries
from antivenom.server.publications import service as publications
from antivenom.server.publications.build_publication import plan_publication
from antivenom.server.publications.counts import RecordCounts
from antivenom.server.publications.policy_trial import has_expressions, try_expressions
from antivenom.server.publications.publish_channel import defer_republish, request_with_policy
from antivenom.server.publications.reasons import ReasonView
from antivenom.server.publications.summaries import ChannelSummary

MATCHING_MAX_S: Final = 60.0  # of CPU, besides the expressions, to read and match what they are tried on


async def try_policy(ctx: Context, names: Iterable[str], text: str) -> None:
    """Try what the expressions of a policy cost on some channels; those that have published nothing cost nothing.

    Before anything is locked, for it may take seconds.

    Raises:
        TooExpensiveError: They would take more than a publication may, and the policy could not be published.
    """
    if not has_expressions(await policies.check_policy(ctx.resources, text)):
        return
    for name in names:
        channel = await channels.get_channel(ctx, name, permission="channels:write")
        if channel.publication_id is not None:
            request = await request_with_policy(ctx, channel, text)
            cpu_s = request.expressions_max_s + MATCHING_MAX_S
            await ctx.resources.plans.run(try_expressions, ctx.resources.blobs.url, request, cpu_s=cpu_s)


async def set_policy(ctx: Context, channel: str, text: str, *, is_tried: bool = False) -> PolicyRevision:
    """Attach a policy to one channel and publish it anew. A new text makes a new revision.

    Other channels under a policy of the same name keep their revision; see `set_policy_everywhere`.

    Raises:
        InvalidInputError: The policy is wrong; `data["problems"]` says where.
        TooExpensiveError: Its expressions cost too much on this channel (`try_policy`, unless that was done).
    """
    require(ctx, "policies:write", subject=f"channel:{channel}")
    await channels.get_channel(ctx, channel, permission="channels:write")
    if not is_tried:
        await try_policy(ctx, [channel], text)
    revision = await policies.save_policy(ctx, text)  # it locks the policy; as everywhere, before a channel is locked
    row = await channels.get_channel(ctx, channel, permission="channels:write", lock=True)
    await _attach(ctx, row, revision)
    return revision


async def set_policy_everywhere(ctx: Context, text: str) -> tuple[PolicyRevision, list[str]]:
    """Attach a new revision of a policy to every channel under it.

    Returns:
        The revision, and the names of those of the channels that the actor may read.
    """
    require(ctx, "policies:write", subject="policy:*")
    name = (await policies.check_policy(ctx.resources, text)).name
    await try_policy(ctx, await queries.names_under_policy(ctx.session, name), text)
    revision = await policies.save_policy(ctx, text)
    rows = await queries.channels_under_policy(ctx.session, revision.policy_id, lock=True)
    for row in rows:
        await _attach(ctx, row, revision)
    readable = require_somewhere(ctx, "channels:read")
    return revision, sorted(row.name for row in rows if readable is None or row.name in readable)


async def list_channels_under(ctx: Context, policy: str) -> list[ChannelSummary]:
    """The channels that the actor may read with any revision of a policy attached, by name.

    Raises:
        NotFoundError: There is no such policy.
    """
    found, _ = await policies.get_policy(ctx, policy)
    readable = require_somewhere(ctx, "channels:read")
    rows = await queries.channels_under_policy(ctx.session, found.id, among=readable)
    by_id = await publications_queries.list_channel_rows(ctx.session, [row.id for row in rows])
    return [publications.summarize_channel(by_id[row.id]) for row in rows]


async def count_channels_by_policy(ctx: Context) -> dict[int, int]:
    """How many of the channels that the actor may read are under each policy, by policy id."""
    require(ctx, "policies:read", subject="policy:*")
    return await queries.count_channels_by_policy(ctx.session, among=require_somewhere(ctx, "channels:read"))


async def _attach(ctx: Context, channel: Channel, revision: PolicyRevision) -> None:
    if channel.policy_revision_id != revision.id:
        channel.policy_revision_id = revision.id
        await record(ctx, "policy.attached", subject=f"channel:{channel.name}", revision=revision.number)
    else:
        serving = await publications_queries.find_publication(ctx.session, channel.publication_id)
        if serving is None or serving.policy_revision_id == revision.id:
            return  # otherwise a rollback serves what another policy decided: setting this one ends that
    await defer_republish(ctx, channel.id, cause="policy")


async def get_channel_policy(ctx: Context, channel: str) -> tuple[Policy, PolicyRevision] | None:
    """The policy and revision attached to a channel; None when there is none."""
    row = await channels.get_channel(ctx, channel)
    if row.policy_revision_id is None:
        return None
    revision = await ctx.session.get_one(PolicyRevision, row.policy_revision_id)
    return await ctx.session.get_one(Policy, revision.policy_id), revision


async def plan_policy(
    resources: Resources,
    actor: Actor,
    channel: str,
    text: str,
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> PolicyPlan:
    """What a policy would withhold or release on a channel, by rule. Changes nothing.

    Its author may be anybody who reads: it is computed within bounds, in a process that does nothing else, while no
    transaction is open. Cancelling ends that process.

    Args:
        on_progress: Called with (phase, records done, records in total).

    Raises:
        InvalidInputError: The policy is wrong.
        LostBlobError: What is served, or a source, is missing or damaged. It is told, and mended by a job.
        NotFoundError: The channel has published nothing yet.
        TooExpensiveError: It takes more computing than a plan may.
        TooManyRequestsError: The actor planned too often lately.
        UnavailableError: Too many plans wait already.
    """
    async with resources.context(actor) as ctx:
        require(ctx, "policies:read", subject=f"channel:{channel}")
    await count_plan(resources, actor)
    await policies.check_policy(resources, text, asker=actor.label)
    async with resources.context(actor) as ctx:
        row, _ = await publications.get_served_publication(ctx, channel)
        request = await request_with_policy(ctx, row, text)
    try:
        planned = await resources.plans.run(
            plan_publication,
            resources.blobs.url,
            request,
            on_progress=on_progress,
            cpu_s=resources.settings.plan_max_s,
        )
    except TooExpensiveError as error:
        raise TooExpensiveError(error.message, hint=SIMPLER_POLICY) from None
    except LostBlobError as error:
        await tell_lost(resources, error)
        raise
    rules = sorted(planned.withheld_by_rule.keys() | planned.released_by_rule.keys())
    return PolicyPlan(
        withheld=[_planned_record(item) for item in planned.withheld],
        released=[_planned_record(item) for item in planned.released],
        by_rule={
            rule: RulePlan(planned.withheld_by_rule.get(rule, 0), planned.released_by_rule.get(rule, 0))
            for rule in rules
        },
        counts=PlanCounts(planned.withheld_count, planned.released_count, RecordCounts.of(planned.counts)),
    )


def _planned_record(item: PlanItem) -> PlannedRecord:
    reasons = [ReasonView.of(reason) for reason in item.reasons]
    return PlannedRecord(item.subdir, item.fn, item.name, item.version, item.build, reasons)
