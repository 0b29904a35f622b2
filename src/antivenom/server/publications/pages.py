"""The history tab of a channel: its publications, and rolling back to one."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import InvalidInputError
from antivenom.server.context import Context
from antivenom.server.publications import service
from antivenom.server.web.rendering import ChartRow, ListState, action, page, redirect, render

HISTORY_IN_CHART = 40


async def show_history(request: Request, ctx: Context) -> Response:
    head = await service.get_channel_summary(ctx, request.path_params["channel"])
    state = ListState.read(request, filters=("cause",), sort="-number")
    found = await service.list_history(
        ctx, head.name, cause=state.filter("cause"), sort=state.sort, page=state.page, page_size=state.page_size
    )
    trend = await service.get_trend(ctx, head.name)
    chart = [ChartRow(f"#{point.number}", "", (point.withheld, point.warned)) for point in trend[-HISTORY_IN_CHART:]]
    return render(
        request,
        ctx,
        "publications/history.html",
        partial="results",
        tab="history",
        head=head,
        state=state,
        found=found,
        chart=chart,
    )


async def roll_back(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["channel"]
    text = str(form.get("number", ""))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInputError(f"{text!r} is not the number of a publication", field="number")
    publication = await service.rollback(ctx, name, int(text))
    return redirect(
        f"/channels/{name}/history", flash=f"Clients get publication #{publication.number} of {name} again."
    )


routes: list[Route] = [
    page("/channels/{channel}/history", show_history),
    action("/channels/{channel}/rollback", roll_back),
]
