"""The page that checks a policy's text. The list, and a policy with its channels, are in channel_policies/pages.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError
from antivenom.server.context import Context
from antivenom.server.members.authorization import require
from antivenom.server.policies import service
from antivenom.server.policies.wording import colour_source, describe_rule
from antivenom.server.web.rendering import action, page, render


async def try_policy(request: Request, ctx: Context) -> Response:
    require(ctx, "policies:read", subject="policy:*")
    return _render_check(request, ctx, text="", error=None)


async def check_policy(request: Request, ctx: Context, form: FormData) -> Response:
    require(ctx, "policies:read", subject="policy:*")
    text = _text(form)
    parsed = await service.check_policy(ctx.resources, text, asker=ctx.actor.label)
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
    page("/check-policy", try_policy),
    action("/check-policy", check_policy, form=show_refused_policy),
]
