"""The page that explains how a component comes to its findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError, InvalidInputError, NotFoundError
from antivenom.core.matching.component_request import read_component
from antivenom.core.matching.component_text import parse_component
from antivenom.core.matching.explain import Considered
from antivenom.server.context import Context
from antivenom.server.findings import explaining
from antivenom.server.findings.explaining import ComponentExplained
from antivenom.server.members.authorization import require
from antivenom.server.web.rendering import ListState, page, render

FILTERS = ("component", "channel", "subdir", "advisory", "show")
ITEMS_SHOWN = 10  # of each outcome


async def show_match(request: Request, ctx: Context) -> Response:
    require(ctx, "advisories:read", subject="match")
    state = ListState.read(request, filters=FILTERS)
    found: ComponentExplained | None = None
    problem: AntivenomError | None = None
    if component := state.filter("component"):
        try:
            found = await _explain(ctx, component, state)
        except (InvalidInputError, NotFoundError) as error:  # the form shows it beside what was typed
            problem = error
    groups = _by_outcome(found.explanation.considered) if found else []
    return render(
        request,
        ctx,
        "findings/match.html",
        status=problem.status if problem else 200,
        component=component,
        channel=state.filter("channel"),
        subdir=state.filter("subdir"),
        advisory=state.filter("advisory"),
        state=state,
        found=found,
        error=problem,
        groups=groups,
        shown=ITEMS_SHOWN,
        show_urls={outcome: state.url(show=outcome) for outcome, _ in groups},
        whole_url=state.url(advisory=None),
        correct_url=_correct_url(state),
    )


async def _explain(ctx: Context, text: str, state: ListState) -> ComponentExplained:
    text = text if text.startswith(("conda:", "pkg:")) else f"conda:{text}"
    body = parse_component(text, state.filter("channel"), state.filter("subdir"))
    return await explaining.explain_component(ctx, read_component(body), advisory=state.filter("advisory"))


def _correct_url(state: ListState) -> Callable[..., str]:
    """The form that corrects what is wrong about the component, of a kind and with an advisory."""

    def url(kind: str, advisory: str = "") -> str:
        text = state.filter("component")
        query = {
            "kind": kind,
            "component": text if ":" in text else f"conda:{text}",
            "channel": state.filter("channel"),
            "advisory": advisory or state.filter("advisory"),
        }
        is_conda = query["component"].startswith("conda:")
        return "/corrections/new?" + urlencode({k: v for k, v in query.items() if v}) if is_conda else ""

    return url


def _by_outcome(considered: Sequence[Considered]) -> list[tuple[str, list[Considered]]]:
    return [(str(outcome), list(items)) for outcome, items in groupby(considered, key=lambda item: item.outcome)]


routes: list[Route] = [page("/match", show_match)]
