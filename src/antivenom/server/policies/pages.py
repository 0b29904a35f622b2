"""Policies: the list, one policy in words with its revisions, and a place to try a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError, InvalidInputError
from antivenom.server.context import Context
from antivenom.server.members.authorization import require
from antivenom.server.policies import service
from antivenom.server.policies.schemas import PolicySummary
from antivenom.server.policies.wording import colour_source, describe_exceptions, describe_rule
from antivenom.server.rendering import ListState, action, page, render


async def show_policies(request: Request, ctx: Context) -> Response:
    state = ListState.read(request)
    found = await service.list_policies(ctx, q=state.q, page=state.page, page_size=state.page_size)
    rows = [PolicySummary.of(policy, latest) for policy, latest in found.items]
    return render(request, ctx, "policies/policies.html", partial="results", state=state, found=found, rows=rows)


async def show_policy(request: Request, ctx: Context) -> Response:
    name = request.path_params["name"]
    wanted = request.query_params.get("revision", "")
    policy, latest = await service.get_policy(ctx, name)
    shown = (await service.get_revision(ctx, name, _number(wanted)))[1] if wanted else latest
    state = ListState.read(request, filters=("revision", "compare"), page_size=20)
    compare = state.filter("compare")
    parsed = service.check_policy(shown.text)
    return render(
        request,
        ctx,
        "policies/policy.html",
        policy=policy,
        latest=latest,
        shown=shown,
        description=parsed.description,
        rules=[describe_rule(rule) for rule in parsed.rules],
        exceptions=describe_exceptions(parsed),
        lines=colour_source(shown.text),
        state=state,
        revisions=await service.list_revisions(ctx, name, page=state.page, page_size=state.page_size),
        diff=await service.diff_revisions(ctx, name, _number(compare), shown.number) if compare else None,
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInputError(f"{text!r} is not the number of a revision", field="revision")
    return int(text)


async def try_policy(request: Request, ctx: Context) -> Response:
    require(ctx, "policies:read", subject="policy:*")
    return _render_check(request, ctx, text="", error=None)


async def check_policy(request: Request, ctx: Context, form: FormData) -> Response:
    require(ctx, "policies:read", subject="policy:*")
    text = _text(form)
    parsed = service.check_policy(text)
    return _render_check(request, ctx, text=text, error=None, rules=[describe_rule(rule) for rule in parsed.rules])


async def show_refused_policy(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return _render_check(request, ctx, text=_text(values), error=error)


def _text(values: Mapping[str, Any]) -> str:
    """What a browser sends for a text field, with the line ends that were typed."""
    return str(values.get("text", "")).replace("\r\n", "\n")


def _render_check(
    request: Request, ctx: Context, *, text: str, error: AntivenomError | None, **values: Any
) -> Response:
    problems = error.data.get("problems", []) if error else []
    return render(
        request,
        ctx,
        "policies/check.html",
        status=error.status if error else 200,
        text=text,
        error=error,
        problems=problems,
        lines=colour_source(text, problems) if problems else [],
        **{"rules": None, **values},
    )


routes: list[Route] = [
    page("/policies", show_policies),
    page("/policies/{name}", show_policy),
    page("/check-policy", try_policy),
    action("/check-policy", check_policy, form=show_refused_policy),
]
