"""Pages of members, groups and roles. Sign-in, one's own account and tokens are in pages.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError
from antivenom.core.rights import ADMIN, CATEGORIES, READ_ONLY, Level
from antivenom.server.context import NO_ROLE, Context
from antivenom.server.members import explaining, groups, passwords, roles, service
from antivenom.server.members.authorization import is_allowed
from antivenom.server.members.models import Role
from antivenom.server.members.queries import GrantRow
from antivenom.server.members.roles import levels_of
from antivenom.server.web.rendering import ListState, action, page, redirect, render, safe_next

NOT_YET = frozenset(("subchannels", "exceptions", "environments", "images", "alerts"))
"""Categories that nothing asks for in this release."""
BLANK_MEMBER = {"name": "", "role": "member"}
BLANK_GROUP = {"name": "", "description": ""}
BLANK_ROLE = {"name": "", "description": ""}


# -- members -----------------------------------------------------------------------------------------------------------


async def show_members(request: Request, ctx: Context) -> Response:
    return await _render_members(request, ctx)


async def add_member(request: Request, ctx: Context, form: FormData) -> Response:
    """Answer in place instead of by a redirect: the password must not be stored, not even for one more request."""
    name, password = _text(form, "name"), passwords.make_password()
    await service.create_member(ctx, name, password, role=_text(form, "role"))
    return await _render_members(request, ctx, created=(name, password))


async def show_refused_member(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return await _render_members(request, ctx, form=_kept(values, BLANK_MEMBER), error=error)


async def _render_members(
    request: Request,
    ctx: Context,
    *,
    form: Mapping[str, str] = BLANK_MEMBER,
    created: tuple[str, str] | None = None,
    error: AntivenomError | None = None,
) -> Response:
    state = ListState.read(request, sort="name")
    return render(
        request,
        ctx,
        "members/members.html",
        partial="results",
        status=error.status if error else 200,
        state=state,
        found=await service.list_members(ctx, q=state.q, sort=state.sort, page=state.page, page_size=state.page_size),
        roles=[role.name for role in await roles.list_roles(ctx)],
        may_manage=is_allowed(ctx.actor, "members:manage"),
        form=form,
        created=created,
        error=error,
    )


async def show_member(request: Request, ctx: Context) -> Response:
    return await _render_member(request, ctx)


async def show_refused_edit(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return await _render_member(request, ctx, error=error)


async def _render_member(
    request: Request, ctx: Context, *, password: str = "", error: AntivenomError | None = None
) -> Response:
    name = request.path_params["name"]
    channel = request.query_params.get("channel", "").strip()[:64]
    return render(
        request,
        ctx,
        "members/member.html",
        partial="explained",
        status=error.status if error else 200,
        member=await service.get_member(ctx, name),
        explained=await explaining.explain_member(ctx, name, channel=channel or None),
        grants=await _grants_of(ctx, f"member:{name}"),
        roles=[role.name for role in await roles.list_roles(ctx)],
        may_manage=is_allowed(ctx.actor, "members:manage"),
        channel=channel,
        not_yet=NOT_YET,
        password=password,
        error=error,
    )


async def _grants_of(ctx: Context, holder: str) -> list[GrantRow]:
    return await roles.list_grants(ctx, holder=holder) if is_allowed(ctx.actor, "members:read") else []


async def set_role(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["name"]
    member = await service.edit_member(ctx, name, role=_text(form, "role"))
    return redirect(_member_url(name), flash=f"{name} has the role {member.role or NO_ROLE} now.")


async def set_disabled(request: Request, ctx: Context, form: FormData) -> Response:
    name, disabled = request.path_params["name"], _text(form, "disabled") == "yes"
    await service.edit_member(ctx, name, disabled=disabled)
    return redirect(
        _member_url(name), flash=f"{name} is signed out and kept out." if disabled else f"{name} may sign in."
    )


async def reset_password(request: Request, ctx: Context, form: FormData) -> Response:
    """Answer in place instead of by a redirect, as for a new member."""
    password = await service.reset_password(ctx, request.path_params["name"])
    return await _render_member(request, ctx, password=password)


async def remove_member(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["name"]
    await service.remove_member(ctx, name)
    return redirect("/members", flash=f"{name} is removed.")


def _member_url(name: str) -> str:
    return f"/members/{quote(name, safe='')}"


# -- groups ------------------------------------------------------------------------------------------------------------


async def show_groups(request: Request, ctx: Context) -> Response:
    return await _render_groups(request, ctx)


async def add_group(request: Request, ctx: Context, form: FormData) -> Response:
    name = _text(form, "name")
    await groups.create_group(ctx, name, description=_text(form, "description"))
    return redirect(_group_url(name), flash=f"The group {name} is there; put members into it.")


async def show_refused_group(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return await _render_groups(request, ctx, form=_kept(values, BLANK_GROUP), error=error)


async def _render_groups(
    request: Request, ctx: Context, *, form: Mapping[str, str] = BLANK_GROUP, error: AntivenomError | None = None
) -> Response:
    state = ListState.read(request)
    return render(
        request,
        ctx,
        "members/groups.html",
        partial="results",
        status=error.status if error else 200,
        state=state,
        rows=await groups.list_groups(ctx, q=state.q),
        may_manage=is_allowed(ctx.actor, "members:manage"),
        form=form,
        error=error,
    )


async def show_group(request: Request, ctx: Context) -> Response:
    return await _render_group(request, ctx)


async def show_refused_group_edit(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return await _render_group(request, ctx, typed=str(values.get("member", ""))[:80], error=error)


async def _render_group(
    request: Request, ctx: Context, *, typed: str = "", error: AntivenomError | None = None
) -> Response:
    name = request.path_params["name"]
    return render(
        request,
        ctx,
        "members/group.html",
        status=error.status if error else 200,
        details=await groups.get_group(ctx, name),
        grants=await _grants_of(ctx, f"group:{name}"),
        may_manage=is_allowed(ctx.actor, "members:manage"),
        typed=typed,
        error=error,
    )


async def add_to_group(request: Request, ctx: Context, form: FormData) -> Response:
    name, who = request.path_params["name"], _text(form, "member")
    await groups.add_to_group(ctx, name, who if ":" in who else f"member:{who}")
    return redirect(_group_url(name), flash=f"{who} is in the group.")


async def remove_from_group(request: Request, ctx: Context, form: FormData) -> Response:
    name, who = request.path_params["name"], _text(form, "member")
    await groups.remove_from_group(ctx, name, who)
    return redirect(_group_url(name), flash=f"{who.partition(':')[2]} is no longer in the group.")


async def remove_group(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["name"]
    await groups.remove_group(ctx, name)
    return redirect("/groups", flash=f"The group {name} is removed.")


def _group_url(name: str) -> str:
    return f"/groups/{quote(name, safe='')}"


# -- roles -------------------------------------------------------------------------------------------------------------


async def show_roles(request: Request, ctx: Context) -> Response:
    return await _render_roles(request, ctx)


async def add_role(request: Request, ctx: Context, form: FormData) -> Response:
    role = await roles.create_role(ctx, _text(form, "name"), _levels(form), description=_text(form, "description"))
    return redirect("/roles", flash=f"The role {role.name} is there; grant it to somebody.")


async def edit_role(request: Request, ctx: Context, form: FormData) -> Response:
    role = await roles.edit_role(
        ctx, request.path_params["name"], levels=_levels(form), description=_text(form, "description")
    )
    return redirect("/roles", flash=f"The role {role.name} is changed for everybody who holds it.")


async def remove_role(request: Request, ctx: Context, form: FormData) -> Response:
    name = request.path_params["name"]
    await roles.remove_role(ctx, name)
    return redirect("/roles", flash=f"The role {name} is removed.")


async def grant_role(request: Request, ctx: Context, form: FormData) -> Response:
    grant = await roles.grant_role(
        ctx, _text(form, "role"), _text(form, "holder"), channel=_text(form, "channel") or None
    )
    place = f"for {grant.channel}" if grant.channel else "for the installation"
    return redirect(_back(form), flash=f"{grant.holder} holds the role {grant.role} {place}.")


async def revoke_role(request: Request, ctx: Context, form: FormData) -> Response:
    role, holder = _text(form, "role"), _text(form, "holder")
    await roles.revoke_role(ctx, role, holder, channel=_text(form, "channel") or None)
    return redirect(_back(form), flash=f"{holder} is no longer granted the role {role}.")


def _back(form: FormData) -> str:
    """The page on which the form stood: that of a member, a group, or of all roles."""
    return safe_next(_text(form, "back") or "/roles")


async def show_role(request: Request, ctx: Context) -> Response:
    return await _render_role(request, ctx)


async def show_refused_role_edit(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return await _render_role(request, ctx, error=error)


async def _render_role(request: Request, ctx: Context, *, error: AntivenomError | None = None) -> Response:
    role = await roles.get_role(ctx, request.path_params["name"])
    return render(
        request,
        ctx,
        "members/role.html",
        status=error.status if error else 200,
        role=role,
        held=_names_of(role),
        may_edit=is_allowed(ctx.actor, "members:manage") and role.name != ADMIN,
        error=error,
        **_matrix(),
    )


async def show_refused_role(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return await _render_roles(request, ctx, form=_kept(values, BLANK_ROLE), error=error)


async def _render_roles(
    request: Request, ctx: Context, *, form: Mapping[str, str] = BLANK_ROLE, error: AntivenomError | None = None
) -> Response:
    found = await roles.list_roles(ctx)
    return render(
        request,
        ctx,
        "members/roles.html",
        status=error.status if error else 200,
        roles=found,
        held={role.name: _names_of(role) for role in found},
        grants=await roles.list_grants(ctx),
        may_manage=is_allowed(ctx.actor, "members:manage"),
        form=form,
        error=error,
        **_matrix(),
    )


def _matrix() -> dict[str, Any]:
    return {"categories": CATEGORIES, "levels": list(Level.__members__), "read_only": READ_ONLY, "not_yet": NOT_YET}


def _names_of(role: Role) -> dict[str, str]:
    held = levels_of(role)
    return {category: held.get(category, Level.none).name for category in CATEGORIES}


def _levels(form: FormData) -> dict[str, str]:
    return {category: _text(form, f"level-{category}") for category in CATEGORIES if f"level-{category}" in form}


def _text(form: FormData, name: str) -> str:
    return str(form.get(name, "")).strip()


def _kept(values: Mapping[str, Any], blank: Mapping[str, str]) -> dict[str, str]:
    return {key: str(values.get(key, "")) for key in blank}


routes: list[Route] = [
    page("/members", show_members),
    action("/members", add_member, form=show_refused_member),
    page("/members/{name}", show_member),
    action("/members/{name}/role", set_role, form=show_refused_edit),
    action("/members/{name}/disabled", set_disabled, form=show_refused_edit),
    action("/members/{name}/password", reset_password, form=show_refused_edit),
    action("/members/{name}/remove", remove_member, form=show_refused_edit),
    page("/groups", show_groups),
    action("/groups", add_group, form=show_refused_group),
    page("/groups/{name}", show_group),
    action("/groups/{name}/members", add_to_group, form=show_refused_group_edit),
    action("/groups/{name}/members/remove", remove_from_group, form=show_refused_group_edit),
    action("/groups/{name}/remove", remove_group, form=show_refused_group_edit),
    page("/roles", show_roles),
    action("/roles", add_role, form=show_refused_role),
    action("/roles/grants", grant_role, form=show_refused_role),
    action("/roles/grants/revoke", revoke_role, form=show_refused_role),
    page("/roles/{name}", show_role),
    action("/roles/{name}", edit_role, form=show_refused_role_edit),
    action("/roles/{name}/remove", remove_role, form=show_refused_role_edit),
]
