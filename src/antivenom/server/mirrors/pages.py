"""The list of channels, the form that makes one, and the mirror tab with its live progress."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError, InvalidInputError, NotFoundError
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.channels import service as channels
from antivenom.server.context import Context
from antivenom.server.db.paging import Page
from antivenom.server.distribution import own_channel
from antivenom.server.events.freshness import FRESH
from antivenom.server.mirrors import service
from antivenom.server.mirrors.models import Mirror
from antivenom.server.mirrors.subdir_state import count_noted, count_set_aside, list_absent, list_found, list_warnings
from antivenom.server.publications import service as publications
from antivenom.server.web.rendering import ListState, action, page, redirect, render

EVERY_DEFAULT_S = 3600
BLANK = {
    "name": "",
    "description": "",
    "privacy": "public",
    "upstream": "",
    "mode": "passive",
    "every": str(EVERY_DEFAULT_S),
    "subdirs": "",
    "specs": "",
    "no_shards": "",
    "no_dependencies": "",
    "policy": "",
    "closure": "on",
}
EMPTY: Page[Any] = Page([], 0)
SET_ASIDE_SHOWN = 50
MIRROR_FIELDS = ("upstream", "mode", "every", "subdirs", "specs", "no_shards", "no_dependencies")
FIELDS_WITH_THEIR_OWN_PLACE = ("name", "privacy", "upstream", "mode", "every_s", "subdirs", "specs")


async def show_channels(request: Request, ctx: Context) -> Response:
    state = ListState.read(request, sort="name")
    found = await publications.list_channel_summaries(
        ctx, q=state.q, sort=state.sort, page=state.page, page_size=state.page_size
    )
    mirrors = dict(await service.list_mirrors(ctx))
    freshness = {name: service.freshness_of(mirror, ctx.now) for name, mirror in mirrors.items()}
    return render(
        request,
        ctx,
        "mirrors/channels.html",
        partial="results",
        state=state,
        found=found,
        mirrors=mirrors,
        freshness=freshness,
        own_packages=await asyncio.to_thread(own_channel.list_packages),
    )


async def new_channel(request: Request, ctx: Context) -> Response:
    return render(request, ctx, "mirrors/channel_new.html", form=BLANK, error=None, errors={})


async def show_refused_channel(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    form = {key: str(values.get(key, "")) for key in BLANK}
    errors = _errors_of(error)
    return render(
        request,
        ctx,
        "mirrors/channel_new.html",
        status=error.status if error else 200,
        form=form,
        error=None if errors else error,
        errors=errors,
    )


async def create_channel(request: Request, ctx: Context, form: FormData) -> Response:
    text = {key: str(form.get(key, "")).strip() for key in BLANK}
    name, policy = text["name"], str(form.get("policy", ""))
    await channels.create_channel(
        ctx, name, description=text["description"], privacy=text["privacy"], closure=bool(text["closure"])
    )
    if text["upstream"]:
        policy_text = policy if policy.strip() else None
        await service.create_mirror(ctx, name, _read_settings(text), policy_text=policy_text)
        return redirect(f"/channels/{name}/mirror", flash=f"Channel {name} was created; its first sync begins now.")
    if policy.strip():
        await channel_policies.set_policy(ctx, name, policy)
    return redirect(f"/channels/{name}", flash=f"Channel {name} was created.")


def _read_settings(text: Mapping[str, str]) -> service.MirrorSettings:
    """What the fields of the form say."""
    return service.MirrorSettings(
        upstream=text["upstream"],
        mode=text["mode"],
        subdirs=text["subdirs"].replace(",", " ").split(),
        specs=[line.strip() for line in text["specs"].splitlines() if line.strip()],
        every_s=_seconds(text["every"]),
        by_shards=not text["no_shards"],
        with_dependencies=not text["no_dependencies"],
    )


def _errors_of(error: AntivenomError | None) -> dict[str, str]:
    """The message by the field of the form that it is about; empty when it is about none."""
    field = str(error.data.get("field", "")) if error else ""
    if error is None or field not in FIELDS_WITH_THEIR_OWN_PLACE:
        return {}
    return {field: f"{error.message}. {error.hint}".removesuffix(". ")}


def _seconds(text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInputError(f"{text!r} is not a number of seconds", field="every_s")
    return int(text) if text else None


async def show_settings(request: Request, ctx: Context) -> Response:
    return await _render_settings(request, ctx, None, None)


async def show_refused_settings(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    keys = ("description", "privacy", "closure", "trust_build_statements")
    typed = {key: str(values.get(key, "")) for key in keys}
    return await _render_settings(request, ctx, typed, error)


async def show_refused_deletion(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return await _render_settings(request, ctx, None, error)


async def _render_settings(
    request: Request, ctx: Context, typed: Mapping[str, Any] | None, error: AntivenomError | None
) -> Response:
    head = await publications.get_channel_summary(ctx, request.path_params["channel"])
    kept = {
        "description": head.description,
        "privacy": head.privacy,
        "closure": head.closure,
        "trust_build_statements": head.trust_build_statements,
    }
    return render(
        request,
        ctx,
        "mirrors/settings.html",
        status=error.status if error else 200,
        tab="settings",
        head=head,
        form=typed or kept,
        error=error,
    )


async def save_settings(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["channel"]
    await channels.update_channel(
        ctx,
        name,
        description=str(form.get("description", "")).strip(),
        privacy=str(form.get("privacy", "")),
        closure=bool(form.get("closure")),
        trust_build_statements=bool(form.get("trust_build_statements")),
    )
    return redirect(f"/channels/{name}/settings", flash=f"The settings of {name} are saved.")


async def delete_channel(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["channel"]
    if form.get("confirmation") != name:
        raise InvalidInputError(f"the name typed is not {name!r}: nothing was deleted", field="confirmation")
    await channels.delete_channel(ctx, name)
    return redirect("/channels", flash=f"Channel {name} and its publications were deleted.")


# -- the mirror tab ----------------------------------------------------------------------------------------------------


async def show_mirror(request: Request, ctx: Context) -> Response:
    return await _render_mirror(request, ctx, upstream="", error=None)


async def show_refused_mirror(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return await _render_mirror(request, ctx, upstream=str(values.get("upstream", "")), error=error)


async def _render_mirror(request: Request, ctx: Context, *, upstream: str, error: AntivenomError | None) -> Response:
    head = await publications.get_channel_summary(ctx, request.path_params["channel"])
    mirror = await _find_mirror(ctx, head.name)
    return render(
        request,
        ctx,
        "mirrors/mirror.html",
        status=error.status if error else 200,
        tab="mirror",
        head=head,
        channel_name=head.name,
        mirror=mirror,
        freshness=service.freshness_of(mirror, ctx.now) if mirror else FRESH,
        mirror_set_aside=count_set_aside(mirror.subdir_states) if mirror else 0,
        noted=count_noted(mirror.subdir_states) if mirror else 0,
        notes=await service.list_notes(ctx, head.name, page_size=SET_ASIDE_SHOWN) if mirror else EMPTY,
        subdirs_found=list_found(mirror.subdir_states) if mirror else [],
        subdirs_absent=list_absent(mirror.subdir_states) if mirror else [],
        warnings=list_warnings(mirror.subdir_states) if mirror else [],
        set_aside=await service.list_set_aside(ctx, head.name, page_size=SET_ASIDE_SHOWN) if mirror else EMPTY,
        finished=False,
        upstream=upstream,
        error=error,
    )


async def _find_mirror(ctx: Context, channel: str) -> Mirror | None:
    try:
        return await service.get_mirror(ctx, channel)
    except NotFoundError:
        return None


async def create_mirror(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["channel"]
    await channels.get_channel(ctx, name)
    settings = service.MirrorSettings(str(form.get("upstream", "")).strip(), every_s=EVERY_DEFAULT_S)
    await service.create_mirror(ctx, name, settings)
    return redirect(f"/channels/{name}/mirror", flash=f"{name} is a mirror now; its first sync begins.")


async def edit_mirror(request: Request, ctx: Context) -> Response:
    mirror = await service.get_mirror(ctx, request.path_params["channel"])
    form = {
        "upstream": mirror.upstream,
        "mode": mirror.mode,
        "every": str(mirror.every_s or ""),
        "subdirs": " ".join(mirror.subdirs),
        "specs": "\n".join(mirror.specs),
        "no_shards": "" if mirror.by_shards else "on",
        "no_dependencies": "" if mirror.with_dependencies else "on",
    }
    return await _render_mirror_form(request, ctx, form)


async def show_refused_change(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return await _render_mirror_form(request, ctx, {key: str(values.get(key, "")) for key in MIRROR_FIELDS}, error)


async def _render_mirror_form(
    request: Request, ctx: Context, form: Mapping[str, str], error: AntivenomError | None = None
) -> Response:
    head = await publications.get_channel_summary(ctx, request.path_params["channel"])
    errors = _errors_of(error)
    return render(
        request,
        ctx,
        "mirrors/mirror_edit.html",
        status=error.status if error else 200,
        tab="mirror",
        head=head,
        form=form,
        error=None if errors else error,
        errors=errors,
    )


async def update_mirror(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["channel"]
    text = {key: str(form.get(key, "")).strip() for key in MIRROR_FIELDS}
    await service.update_mirror(ctx, name, _read_settings(text))
    return redirect(f"/channels/{name}/mirror", flash="The mirror is changed; a sync with it begins now.")


async def delete_mirror(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["channel"]
    await service.delete_mirror(ctx, name)
    return redirect(f"/channels/{name}/mirror", flash=f"{name} is no longer a mirror; it serves what it had.")


async def request_sync(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["channel"]
    await service.request_sync(ctx, name)
    return redirect(f"/channels/{name}/mirror")


async def accept_loss(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["channel"]
    await service.accept_loss(ctx, name)
    return redirect(f"/channels/{name}/mirror", flash="The loss is accepted; a sync that publishes it begins now.")


async def show_progress(request: Request, ctx: Context) -> Response:
    """The progress region alone; htmx requests it each second while a sync runs."""
    name = request.path_params["channel"]
    mirror = await service.get_mirror(ctx, name)
    return render(request, ctx, "mirrors/_progress.html", mirror=mirror, channel_name=name, finished=True)


async def show_state(request: Request, ctx: Context) -> Response:
    """The badge in a channel's head; empty for a channel that is no mirror."""
    name = request.path_params["channel"]
    mirror = await _find_mirror(ctx, name)
    if mirror is None:
        return HTMLResponse("", headers={"cache-control": "no-store"})
    return render(request, ctx, "mirrors/_state.html", mirror=mirror, channel_name=name)


routes: list[Route] = [
    page("/channels", show_channels),
    page("/new-channel", new_channel),
    action("/new-channel", create_channel, form=show_refused_channel),
    page("/channels/{channel}/mirror", show_mirror),
    action("/channels/{channel}/mirror", create_mirror, form=show_refused_mirror),
    page("/channels/{channel}/mirror/edit", edit_mirror),
    action("/channels/{channel}/mirror/edit", update_mirror, form=show_refused_change),
    action("/channels/{channel}/mirror/delete", delete_mirror),
    action("/channels/{channel}/mirror/accept", accept_loss),
    page("/channels/{channel}/mirror/progress", show_progress),
    page("/channels/{channel}/mirror/state", show_state),
    action("/channels/{channel}/sync", request_sync),
    page("/channels/{channel}/settings", show_settings),
    action("/channels/{channel}/settings", save_settings, form=show_refused_settings),
    page("/channels/{channel}/delete", show_settings),
    action("/channels/{channel}/delete", delete_channel, form=show_refused_deletion),
]
