"""Who may do what: the one function that decides, called first by every service function."""

from __future__ import annotations

from typing import Final

from antivenom.core.errors import AntivenomError, ForbiddenError, NotFoundError, UnauthenticatedError
from antivenom.core.rights import Levels, Rights
from antivenom.server.context import Actor, Context

SIGN_IN_HINT: Final = "send a token: antivenom token create --name NAME makes one"
READ_CHANNELS: Final = "channels:read"


def is_allowed(actor: Actor, permission: str, *, channel: str | None = None) -> bool:
    """Whether the actor's rights include `<category>:<read|write|manage>`, for a channel or for the installation.

    Raises:
        ValueError: There is no such permission; a misspelled one must never grant or refuse by accident.
    """
    return actor.rights.holds(permission, channel)


def require(ctx: Context, permission: str, *, subject: str) -> None:
    """Return if the context's actor has the permission.

    Args:
        subject: What it is about, such as "policy:strict"; the refusal names it. For "channel:NAME", what is granted
            for that channel counts too; "channel:*" is all channels, of those that are and those to come.

    Raises:
        UnauthenticatedError: The permission needs a sign-in.
        NotFoundError: It is about a channel that the actor may not even read: whether it exists is not told.
        ForbiddenError: The actor's rights do not include it.
    """
    channel = channel_of(subject)
    if not is_allowed(ctx.actor, permission, channel=channel):
        raise _refusal(ctx.actor, permission, subject, channel)


def require_somewhere(ctx: Context, permission: str) -> frozenset[str] | None:
    """The channels that a list may show; None for all. The list's query is narrowed to them.

    Whoever is signed in may ask, and sees nothing if nothing is granted.

    Raises:
        UnauthenticatedError: Nobody is signed in, and everyone may see nothing.
    """
    channels = ctx.actor.rights.channels_with(permission)
    if channels is not None and not channels and ctx.actor.kind == "anonymous":
        raise _refusal(ctx.actor, permission, "channel:*", None)
    return channels


def require_cover(ctx: Context, levels: Levels, *, subject: str, channel: str | None = None) -> None:
    """Return if the actor holds all that they are about to give: nobody gives, or takes over, more than they have.

    Raises:
        ForbiddenError: They do not.
    """
    if not ctx.actor.rights.cover(levels, channel):
        raise _more_than_held(ctx.actor, subject)


def require_no_less(ctx: Context, rights: Rights, *, subject: str) -> None:
    """Return if the actor holds all that somebody else holds whom they are about to change.

    Raises:
        ForbiddenError: They do not.
    """
    if not ctx.actor.rights.include(rights):
        raise _more_than_held(ctx.actor, subject)


def channel_of(subject: str) -> str | None:
    """The channel that a subject such as "channel:main" names."""
    kind, _, name = subject.partition(":")
    return name if kind == "channel" and name != "*" else None


def no_such_channel(name: str) -> NotFoundError:
    """The refusal for a channel that does not exist, and for one that the actor may not read."""
    return NotFoundError(f"there is no channel {name!r}", hint="list them with: antivenom channel list")


def _refusal(actor: Actor, permission: str, subject: str, channel: str | None) -> AntivenomError:
    if actor.kind == "anonymous":
        return UnauthenticatedError(f"{permission} on {subject} needs a sign-in", hint=SIGN_IN_HINT)
    if channel is not None and not is_allowed(actor, READ_CHANNELS, channel=channel):
        return no_such_channel(channel)
    return ForbiddenError(
        f"{actor.label} has the role {actor.role}, which may not {permission.partition(':')[2]} {subject}",
        hint="ask an administrator for a role that has the permission " + permission,
        permission=permission,
    )


def _more_than_held(actor: Actor, subject: str) -> ForbiddenError:
    return ForbiddenError(
        f"{actor.label} may not give or change {subject}: it has rights that {actor.label} has not",
        hint="ask an administrator",
    )
