"""The policy tab of a channel: show the policy in words, edit it, plan an edit, apply it to this or every channel."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError
from antivenom.core.policy.compile import Policy
from antivenom.server.channel_policies import service
from antivenom.server.channel_policies.plans import PolicyPlan
from antivenom.server.channel_policies.policy_editor import STARTER_POLICY, policy_text_of, problem_values
from antivenom.server.context import Actor, Context
from antivenom.server.policies.service import check_policy, read_revision
from antivenom.server.policies.wording import RuleDescription, colour_source, describe_exceptions, describe_rule
from antivenom.server.publications import service as publications
from antivenom.server.web.form_progress import progress_reporter
from antivenom.server.web.rendering import action, page, redirect, render


async def show_channel_policy(request: Request, ctx: Context) -> Response:
    head = await publications.get_channel_summary(ctx, request.path_params["channel"])
    attached = await service.get_channel_policy(ctx, head.name)
    values: dict[str, Any] = {"attached": None}
    if attached:
        policy, revision = attached
        parsed = read_revision(revision)
        values = {
            "attached": policy,
            "revision": revision,
            "rules": _described(parsed),
            "exceptions": describe_exceptions(parsed),
            "lines": colour_source(revision.text),
        }
    return render(request, ctx, "channel_policies/policy_tab.html", tab="policy", head=head, **values)


async def edit_policy(request: Request, ctx: Context) -> Response:
    attached = await service.get_channel_policy(ctx, request.path_params["channel"])
    if attached is None:
        parsed = await check_policy(ctx.resources, STARTER_POLICY, asker=ctx.actor.label)
        return await _render_editor(request, ctx, text=STARTER_POLICY, rules=_described(parsed))
    return await _render_editor(request, ctx, text=attached[1].text, rules=_described(read_revision(attached[1])))


def _described(policy: Policy) -> list[RuleDescription]:
    return [describe_rule(rule) for rule in policy.rules]


async def plan_policy(request: Request, actor: Actor, form: FormData) -> PolicyPlan:
    """The plan of the form's text; no transaction is open meanwhile."""
    channel, text = request.path_params["channel"], policy_text_of(form)
    return await service.plan_policy(
        request.app.state.resources, actor, channel, text, on_progress=progress_reporter(request)
    )


async def show_plan(request: Request, ctx: Context, form: FormData) -> Response:
    text = policy_text_of(form)
    parsed = await check_policy(ctx.resources, text, asker=ctx.actor.label)
    return await _render_editor(request, ctx, text=text, plan=request.state.result, rules=_described(parsed))


async def apply_policy(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["channel"]
    revision = await service.set_policy(ctx, name, policy_text_of(form))
    flash = f"Revision {revision.number} is attached; {name} is being republished."
    return redirect(f"/channels/{name}/policy", flash=flash)


async def apply_policy_everywhere(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["channel"]
    revision, names = await service.set_policy_everywhere(ctx, policy_text_of(form))
    flash = f"Revision {revision.number} is attached to {', '.join(names)}; they are being republished."
    return redirect(f"/channels/{name}/policy", flash=flash)


async def show_refused_policy(
    request: Request, ctx: Context, values: FormData, error: AntivenomError | None
) -> Response:
    return await _render_editor(request, ctx, text=policy_text_of(values), error=error)


async def _render_editor(
    request: Request, ctx: Context, *, text: str, error: AntivenomError | None = None, **values: Any
) -> Response:
    head = await publications.get_channel_summary(ctx, request.path_params["channel"])
    under = [c.name for c in await service.list_channels_under(ctx, head.policy)] if head.policy else []
    return render(
        request,
        ctx,
        "channel_policies/policy_tab_edit.html",
        status=error.status if error else 200,
        tab="policy",
        head=head,
        under=under,
        text=text,
        **problem_values(text, error),
        **{"plan": None, "rules": None, **values},
    )


routes: list[Route] = [
    page("/channels/{channel}/policy", show_channel_policy),
    page("/channels/{channel}/policy/edit", edit_policy),
    page("/channels/{channel}/policy/plan", edit_policy),  # for going back to the address of a refused form
    page("/channels/{channel}/policy/everywhere", edit_policy),
    action("/channels/{channel}/policy/plan", show_plan, form=show_refused_policy, work=plan_policy),
    action("/channels/{channel}/policy", apply_policy, form=show_refused_policy),
    action("/channels/{channel}/policy/everywhere", apply_policy_everywhere, form=show_refused_policy),
]
