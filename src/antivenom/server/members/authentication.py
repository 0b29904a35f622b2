"""Who sends a request: a token (Bearer, Basic, in the path), the local administrator, or a signed-in member."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import HTTPConnection, Request

from antivenom.core.errors import ForbiddenError, UnauthenticatedError
from antivenom.server.context import ANONYMOUS, LOCAL, NO_ROLE, Actor, Context, Resources
from antivenom.server.home import LOCAL_PREFIX, LOCAL_TOKEN
from antivenom.server.members import queries
from antivenom.server.members.authorization import SIGN_IN_HINT
from antivenom.server.members.passwords import TOKEN_PREFIX, digest

SESSION_COOKIE: Final = "antivenom_session"
CSRF_HEADER: Final = "x-csrf-token"
USED_PRECISION = timedelta(minutes=5)  # `last_used_at` is written no more often


@dataclass(frozen=True, slots=True)
class SessionActor:
    """A signed-in member: the actor, and the secret that their forms carry."""

    actor: Actor
    csrf: str


async def find_token_actor(resources: Resources, value: str) -> Actor | None:
    """The actor of a token's value; None when it is unknown, revoked or expired."""
    if value.startswith(LOCAL_PREFIX):
        return LOCAL if _is_local_token(resources, value) else None
    if not value.startswith(TOKEN_PREFIX) or len(value) > 100 or not value.isascii():
        return None
    now = resources.clock()
    async with resources.context(ANONYMOUS) as ctx:
        found = await queries.find_token(ctx.session, digest(value))
        if found is None:
            return None
        token, rights = found
        if token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= now):
            return None
        if token.last_used_at is None or now - token.last_used_at > USED_PRECISION:
            token.last_used_at = now
        return Actor("token", token.name, token.role or NO_ROLE, rights)


async def find_anonymous_actor(resources: Resources) -> Actor:
    """Who is not signed in, with what everyone may do."""
    async with resources.context(ANONYMOUS) as ctx:
        return replace(ANONYMOUS, rights=await queries.find_rights_of_everyone(ctx.session))


def _is_local_token(resources: Resources, value: str) -> bool:
    try:
        known = (resources.settings.home / LOCAL_TOKEN).read_text().strip()
    except OSError:
        return False
    return len(known) > len(LOCAL_PREFIX) + 20 and hmac.compare_digest(known.encode(), value.encode())


async def find_session_actor(resources: Resources, cookie: str) -> SessionActor | None:
    """The member of a session cookie; None when it has ended."""
    if not cookie or len(cookie) > 100:
        return None
    async with resources.context(ANONYMOUS) as ctx:
        found = await queries.find_session(ctx.session, digest(cookie), resources.clock())
    if found is None:
        return None
    session, member, rights = found
    return SessionActor(Actor("member", member.name, member.role or NO_ROLE, rights), session.csrf)


def read_credential(authorization: str) -> str | None:
    """The token in an Authorization header: Bearer, `token` (as anaconda-client), or Basic with it as user or password.

    None when the header names another scheme or cannot be read.
    """
    scheme, _, rest = authorization.strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() in ("bearer", "token"):
        return rest or None
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    for text in (password, user):
        if text.startswith((TOKEN_PREFIX, LOCAL_PREFIX)):
            return text
    return password or user or None


async def authenticate(resources: Resources, *, authorization: str | None, token: str | None = None) -> Actor:
    """The actor of a request without cookies; the token in the path wins over the header.

    Raises:
        UnauthenticatedError: A credential was sent and is not valid. (Without one, the actor is anonymous.)
    """
    credential = token if token is not None else read_credential(authorization) if authorization else None
    if credential is None:
        if authorization:
            raise UnauthenticatedError(
                "the Authorization header cannot be read", hint="send: Authorization: Bearer TOKEN"
            )
        return await find_anonymous_actor(resources)
    actor = await find_token_actor(resources, credential)
    if actor is None:
        raise UnauthenticatedError(
            "the token is unknown, revoked or expired", hint="make one with: antivenom token create --name NAME"
        )
    return actor


async def authenticate_request(request: HTTPConnection) -> Actor:
    """The actor of an API request. A session cookie is enough for reading; for writing it needs the CSRF header too."""
    resources: Resources = request.app.state.resources
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return await authenticate(resources, authorization=authorization)
    member = await find_session_actor(resources, request.cookies.get(SESSION_COOKIE, ""))
    if member is None:
        return await find_anonymous_actor(resources)
    if request.scope.get("method") not in ("GET", "HEAD"):
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(), member.csrf.encode()):
            raise ForbiddenError(
                "a write with a session cookie needs the page's CSRF token",
                hint=f"send it as {CSRF_HEADER}, or use a token",
            )
    return member.actor


async def require_anybody(request: HTTPConnection) -> Actor:
    """The actor of a request for what everybody may see who is signed in.

    Raises:
        UnauthenticatedError: Nobody sent it.
    """
    actor = await authenticate_request(request)
    if actor.kind == "anonymous":
        raise UnauthenticatedError("this needs a sign-in", hint=SIGN_IN_HINT)
    return actor


async def open_context(request: Request) -> AsyncIterator[Context]:
    actor = await authenticate_request(request)
    resources: Resources = request.app.state.resources
    async with resources.context(actor) as ctx:
        yield ctx


# scope="function": the transaction ends before the answer is sent, so that a client can rely on what it got.
RequestContext = Annotated[Context, Depends(open_context, scope="function")]
RequestActor = Annotated[Actor, Depends(authenticate_request)]
