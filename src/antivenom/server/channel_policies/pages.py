"""Pages of policies and the channels under them: the list, one policy, a new one, editing one for its channels."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError, InvalidInputError
from antivenom.server.channel_policies import policy_tab, service
from antivenom.server.channel_policies.plans import PolicyPlan
from antivenom.server.channel_policies.policy_editor import STARTER_POLICY, policy_text_of, problem_values
from antivenom.server.context import Actor, Context, Resources
from antivenom.server.policies import service as policies
from antivenom.server.policies.schemas import PolicySummary
from antivenom.server.policies.wording import colour_source, describe_exceptions, describe_rule
from antivenom.server.publications import service as publications
from antivenom.server.web.form_progress import OnProgress, progress_reporter
from antivenom.server.web.rendering import ListState, action, page, redirect, render

CHANNELS_OFFERED = 200


async def show_policies(request: Request, ctx: Context) -> Response:
    state = ListState.read(request, sort="name")
    found = await policies.list_policies(ctx, q=state.q, sort=state.sort, page=state.page, page_size=state.page_size)
    channels = await service.count_channels_by_policy(ctx)
    rows = [(PolicySummary.of(policy, latest), channels.get(policy.id, 0)) for policy, latest in found.items]
    return render(
        request, ctx, "channel_policies/policies.html", partial="results", state=state, found=found, rows=rows
    )


async def show_policy(request: Request, ctx: Context) -> Response:
    name = request.path_params["name"]
    wanted = request.query_params.get("revision", "")
    policy, latest = await policies.get_policy(ctx, name)
    shown = (await policies.get_revision(ctx, name, _number(wanted)))[1] if wanted else latest
    state = ListState.read(request, filters=("revision", "compare"), page_size=20)
    compare = state.filter("compare")
    parsed = policies.read_revision(shown)
    return render(
        request,
        ctx,
        "channel_policies/policy.html",
        policy=policy,
        latest=latest,
        shown=shown,
        description=parsed.description,
        rules=[describe_rule(rule) for rule in parsed.rules],
        exceptions=describe_exceptions(parsed),
        lines=colour_source(shown.text),
        state=state,
        channels=await service.list_channels_under(ctx, name),
        revisions=await policies.list_revisions(ctx, name, page=state.page, page_size=state.page_size),
        diff=await policies.diff_revisions(ctx, name, _number(compare), shown.number) if compare else None,
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInputError(f"{text!r} is not the number of a revision", field="revision")
    return int(text)


# -- a new policy, and an edit for its channels ------------------------------------------------------------------------


async def new_policy(request: Request, ctx: Context) -> Response:
    return await _render_form(request, ctx, text=STARTER_POLICY, chosen=[])


async def edit_policy(request: Request, ctx: Context) -> Response:
    name = request.path_params["name"]
    _, latest = await policies.get_policy(ctx, name)
    under = [channel.name for channel in await service.list_channels_under(ctx, name)]
    return await _render_form(request, ctx, text=latest.text, chosen=under)


async def plan_for_channels(request: Request, actor: Actor, form: FormData) -> list[tuple[str, PolicyPlan]]:
    """The plan of the form's text for each chosen channel; no transaction is open meanwhile."""
    resources: Resources = request.app.state.resources
    text, on_progress = policy_text_of(form), progress_reporter(request)
    async with resources.context(actor) as ctx:
        heads = [await publications.get_channel_summary(ctx, channel) for channel in _chosen(form)]
    return [
        (
            head.name,
            await service.plan_policy(
                resources, actor, head.name, text, on_progress=_of_channel(head.name, on_progress)
            ),
        )
        for head in heads
        if head.publication
    ]


async def show_plans(request: Request, ctx: Context, form: FormData) -> Response:
    text = policy_text_of(form)
    rules = [
        describe_rule(rule) for rule in (await policies.check_policy(ctx.resources, text, asker=ctx.actor.label)).rules
    ]
    return await _render_form(request, ctx, text=text, chosen=_chosen(form), rules=rules, plans=request.state.result)


async def save_policy(request: Request, ctx: Context, form: FormData) -> Response:
    """Save a new revision and attach it to the chosen channels; other channels keep theirs."""
    text, chosen = policy_text_of(form), _chosen(form)
    await service.try_policy(ctx, chosen, text)
    revision = await policies.save_policy(ctx, text)
    for channel in chosen:
        await service.set_policy(ctx, channel, text, is_tried=True)
    name = str(revision.document.get("name"))
    where = f"; {', '.join(chosen)} {'is' if len(chosen) == 1 else 'are'} being republished" if chosen else ""
    return redirect(f"/policies/{name}", flash=f"Revision {revision.number} of {name} is saved{where}.")


async def show_refused_text(request: Request, ctx: Context, values: FormData, error: AntivenomError | None) -> Response:
    return await _render_form(request, ctx, text=policy_text_of(values), chosen=_chosen(values), error=error)


def _of_channel(channel: str, on_progress: OnProgress) -> OnProgress:
    """Reports progress with the channel's name before the phase."""
    return lambda phase, done, total: on_progress(f"{channel}: {phase}", done, total)


def _chosen(values: FormData) -> list[str]:
    return [str(name) for name in dict.fromkeys(values.getlist("channel"))]


async def _render_form(
    request: Request,
    ctx: Context,
    *,
    text: str,
    chosen: list[str],
    error: AntivenomError | None = None,
    **values: Any,
) -> Response:
    name = request.path_params.get("name", "")
    return render(
        request,
        ctx,
        "channel_policies/policy_edit.html",
        status=error.status if error else 200,
        name=name,
        text=text,
        chosen=chosen,
        channels=(await publications.list_channel_summaries(ctx, page_size=CHANNELS_OFFERED)).items,
        **problem_values(text, error),
        **{"plans": None, "rules": None, **values},
    )


routes: list[Route] = [
    page("/policies", show_policies),
    page("/new-policy", new_policy),
    page("/new-policy/plan", new_policy),
    action("/new-policy/plan", show_plans, form=show_refused_text, work=plan_for_channels),
    action("/new-policy", save_policy, form=show_refused_text),
    page("/policies/{name}", show_policy),
    page("/policies/{name}/edit", edit_policy),
    page("/policies/{name}/plan", edit_policy),
    action("/policies/{name}/plan", show_plans, form=show_refused_text, work=plan_for_channels),
    action("/policies/{name}", save_policy, form=show_refused_text),
    *policy_tab.routes,
]
