"""Sign-in, sign-out, one's own password, and tokens. The audit trail and people have files of their own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError, InvalidInputError
from antivenom.server.context import Context
from antivenom.server.members import audit_pages, people_pages, roles, service
from antivenom.server.members.authentication import SESSION_COOKIE
from antivenom.server.web.rendering import ListState, action, page, redirect, render, safe_next

BLANK_TOKEN = {"name": "", "role": "member", "expires_days": "90"}


async def show_sign_in(request: Request, ctx: Context) -> Response:
    target = safe_next(request.query_params.get("next", "/"))
    if request.state.visitor:
        return redirect(target)
    return render(request, ctx, "members/sign_in.html", error=None, next=target, name="")


async def show_refused_sign_in(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return render(
        request,
        ctx,
        "members/sign_in.html",
        status=error.status if error else 200,
        error=error,
        next=safe_next(str(values.get("next", "/"))),
        name=str(values.get("name", ""))[:64],
    )


async def sign_in(request: Request, ctx: Context, form: FormData) -> Response:
    address = request.client.host if request.client else ""
    session = await service.sign_in(ctx, str(form.get("name", "")), str(form.get("password", "")), address=address)
    response = redirect(safe_next(str(form.get("next", "/"))))
    response.set_cookie(
        SESSION_COOKIE,
        session.value,
        expires=session.expires_at,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https" or ctx.resources.settings.public_url.startswith("https://"),
    )
    return response


async def sign_out(request: Request, ctx: Context, form: FormData) -> Response:
    await service.sign_out(ctx, request.cookies.get(SESSION_COOKIE, ""))
    response = redirect("/sign-in", flash="You are signed out.")
    response.delete_cookie(SESSION_COOKIE)
    return response


async def show_account(request: Request, ctx: Context) -> Response:
    return render(request, ctx, "members/account.html", error=None)


async def show_refused_password(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    return render(request, ctx, "members/account.html", status=422 if error else 200, error=error)


async def change_password(request: Request, ctx: Context, form: FormData) -> Response:
    new = str(form.get("new", ""))
    if new != str(form.get("again", "")):
        raise InvalidInputError("the new password and its repetition differ", field="again")
    await service.change_password(ctx, ctx.actor.name, str(form.get("old", "")), new)
    response = redirect("/sign-in", flash="Your password is changed. Sign in with the new one.")
    response.delete_cookie(SESSION_COOKIE)
    return response


async def show_tokens(request: Request, ctx: Context) -> Response:
    return await _render_tokens(request, ctx)


async def create_token(request: Request, ctx: Context, form: FormData) -> Response:
    """Answer in place instead of by a redirect: the token's value must not be stored, not even for one more request."""
    days = str(form.get("expires_days", ""))
    if days and not (days.isascii() and days.isdigit() and len(days) < 5):
        raise InvalidInputError(f"{days!r} is not a number of days", field="expires_at")
    created = await service.create_token(
        ctx,
        str(form.get("name", "")).strip(),
        role=str(form.get("role", "")),
        expires_at=ctx.now + timedelta(days=int(days)) if days else None,
    )
    return await _render_tokens(request, ctx, created=created)


async def show_refused_token(
    request: Request, ctx: Context, values: Mapping[str, Any], error: AntivenomError | None
) -> Response:
    form = {key: str(values.get(key, "")) for key in BLANK_TOKEN}
    return await _render_tokens(request, ctx, form=form, error=error)


async def _render_tokens(
    request: Request,
    ctx: Context,
    *,
    form: Mapping[str, str] = BLANK_TOKEN,
    created: service.NewToken | None = None,
    error: AntivenomError | None = None,
) -> Response:
    state = ListState.read(request, sort="name")
    return render(
        request,
        ctx,
        "members/tokens.html",
        partial="results",
        status=error.status if error else 200,
        state=state,
        tokens=await service.list_tokens(ctx, q=state.q, sort=state.sort, page=state.page, page_size=state.page_size),
        roles=[role.name for role in await roles.list_roles(ctx)],
        form=form,
        created=created,
        error=error,
    )


async def revoke_token(request: Request, ctx: Context, form: FormData) -> Response:
    token = await service.revoke_token(ctx, request.path_params["name"])
    return redirect("/tokens", flash=f"Token {token.name} is revoked.")


routes: list[Route] = [
    page("/sign-in", show_sign_in, signed_in=False),
    action("/sign-in", sign_in, form=show_refused_sign_in, signed_in=False),
    action("/sign-out", sign_out),
    page("/account", show_account),
    page("/account/password", show_account),
    action("/account/password", change_password, form=show_refused_password),
    page("/tokens", show_tokens),
    action("/tokens", create_token, form=show_refused_token),
    action("/tokens/{name}/revoke", revoke_token),
    *audit_pages.routes,
    *people_pages.routes,
]
