"""Who may do what: the one function that decides, called first by every service function."""

from __future__ import annotations

from typing import Final

from antivenom.core.errors import ForbiddenError, UnauthenticatedError
from antivenom.server.context import Actor, Context

CATEGORIES: Final = (
    "channels",
    "mirrors",
    "policies",
    "advisories",
    "feeds",
    "findings",
    "members",
    "tokens",
    "audit",
    "admin",
)
LEVELS: Final = ("read", "write", "manage")

_READ: Final = frozenset(f"{c}:read" for c in CATEGORIES if c not in ("members", "tokens", "audit", "admin"))
_AUTHOR: Final = _READ | {
    "audit:read",
    "channels:write",
    "mirrors:write",
    "policies:write",
    "feeds:write",
    "findings:write",
}
GRANTS: Final[dict[str, frozenset[str]]] = {
    "admin": frozenset(f"{category}:{level}" for category in CATEGORIES for level in LEVELS),
    "author": frozenset(_AUTHOR),
    "reader": _READ,
    "none": frozenset(),
}
SIGN_IN_HINT: Final = "send a token: antivenom token create --name NAME makes one"
ROLES: Final = ("reader", "author", "admin")


def is_allowed(actor: Actor, permission: str) -> bool:
    """Whether the actor's role grants `<category>:<read|write|manage>`.

    Raises:
        ValueError: There is no such permission; a misspelled one must never grant or refuse by accident.
    """
    if permission not in GRANTS["admin"]:
        raise ValueError(f"{permission!r} is no permission")
    return permission in GRANTS[actor.role]


def require(ctx: Context, permission: str, *, subject: str) -> None:
    """Return if the context's actor has the permission.

    Args:
        subject: What it is about, such as "channel:main" or "channel:*"; the refusal names it.

    Raises:
        UnauthenticatedError: The permission needs a sign-in.
        ForbiddenError: The actor's role does not grant it.
    """
    if is_allowed(ctx.actor, permission):
        return
    if ctx.actor.kind == "anonymous":
        raise UnauthenticatedError(
            f"{permission} on {subject} needs a sign-in",
            hint=SIGN_IN_HINT,
        )
    raise ForbiddenError(
        f"{ctx.actor.label} has the role {ctx.actor.role}, which may not {permission.partition(':')[2]} {subject}",
        hint="ask an administrator for a role that has the permission " + permission,
        permission=permission,
    )
