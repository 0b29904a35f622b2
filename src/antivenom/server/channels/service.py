"""Creating, finding, changing and deleting channels."""

from __future__ import annotations

import re

from antivenom.core.errors import ConflictError, InvalidInputError
from antivenom.server.channels import queries
from antivenom.server.channels.models import Channel
from antivenom.server.context import Context
from antivenom.server.events.service import record
from antivenom.server.members.authorization import no_such_channel, require

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
BUILT_IN = "antivenom"  # distribution/own_channel.py serves it; it is no row, so nothing can change it
RESERVED = {
    # conda asks for /conda/t/TOKEN/CHANNEL when somebody writes /t/TOKEN/conda/CHANNEL
    "t": "/t/ holds tokens in URLs",
    BUILT_IN: "it is built in, and holds Antivenom's own packages",
}
PRIVACIES = ("public", "authenticated")


async def create_channel(
    ctx: Context,
    name: str,
    *,
    description: str = "",
    privacy: str = "public",
    closure: bool = True,
    is_demo: bool = False,
) -> Channel:
    """Create an empty channel; it serves nothing until its first publication.

    Raises:
        InvalidInputError: The name is not `^[a-z][a-z0-9_-]*$` (64 characters at most) or the privacy is unknown.
        ConflictError: A channel of that name exists.
    """
    require(ctx, "channels:write", subject="channel:*")  # no grant is for a channel that is not there
    if not NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name!r} cannot name a channel",
            hint="start with a lower-case letter; then letters, digits, '-' and '_', 64 characters at most",
            field="name",
        )
    if name in RESERVED:
        raise InvalidInputError(f"a channel cannot be called {name!r}: {RESERVED[name]}", field="name")
    if privacy not in PRIVACIES:
        raise InvalidInputError(f"privacy {privacy!r} is not one of {', '.join(PRIVACIES)}", field="privacy")
    if await queries.find_channel(ctx.session, name):
        raise ConflictError(f"channel {name!r} exists already", hint=f"see it with: antivenom channel show {name}")
    channel = Channel(
        name=name,
        description=description[:2000],
        privacy=privacy,
        closure=closure,
        created_at=ctx.now,
        created_by=ctx.actor.name,
        is_demo=is_demo,
    )
    ctx.session.add(channel)
    await ctx.session.flush()
    await record(ctx, "channel.created", subject=f"channel:{name}", privacy=privacy, closure=closure)
    return channel


async def get_channel(ctx: Context, name: str, *, permission: str = "channels:read", lock: bool = False) -> Channel:
    """The channel of that name.

    Raises:
        NotFoundError: There is none that the actor may read.
        ConflictError: It is the built-in one.
    """
    require(ctx, permission, subject=f"channel:{name}")
    channel = await queries.find_channel(ctx.session, name, lock=lock)
    if channel is None and name == BUILT_IN:
        raise ConflictError(
            f"channel {name!r} is built in: it is read-only, and has no policy, publications or settings",
            hint=f"clients install from URL/{name}",
        )
    if channel is None:
        raise no_such_channel(name)
    return channel


async def update_channel(
    ctx: Context,
    name: str,
    *,
    description: str | None = None,
    privacy: str | None = None,
    closure: bool | None = None,
    trust_build_statements: bool | None = None,
) -> Channel:
    """Change what is given; a change of `closure` or `trust_build_statements` republishes the channel.

    Raises:
        InvalidInputError: The privacy is unknown.
        NotFoundError: There is no such channel.
    """
    channel = await get_channel(ctx, name, permission="channels:write", lock=True)
    if privacy is not None and privacy not in PRIVACIES:
        raise InvalidInputError(f"privacy {privacy!r} is not one of {', '.join(PRIVACIES)}", field="privacy")
    if description is not None:
        channel.description = description[:2000]
    if privacy is not None and privacy != channel.privacy:
        channel.privacy = privacy
        await record(ctx, "channel.privacy_changed", subject=f"channel:{name}", privacy=privacy)
    if closure is not None and closure != channel.closure:
        channel.closure = closure
        await record(ctx, "channel.closure_changed", subject=f"channel:{name}", closure=closure)
    if trust_build_statements is not None:
        await trust_builds(ctx, channel, trust_build_statements)
    return channel


async def trust_builds(ctx: Context, channel: Channel, trusted: bool) -> None:
    """Let count, or no longer, what the artifacts of a channel's upstream state about their own vulnerabilities."""
    if trusted != channel.trust_build_statements:
        channel.trust_build_statements = trusted
        await record(ctx, "channel.build_statements_changed", subject=f"channel:{channel.name}", trusted=trusted)


async def delete_channel(ctx: Context, name: str) -> None:
    """Remove a channel with its mirror and publications; blobs that others use stay.

    Raises:
        NotFoundError: There is none.
    """
    channel = await get_channel(ctx, name, permission="channels:manage", lock=True)
    await ctx.session.delete(channel)
    await record(ctx, "channel.deleted", subject=f"channel:{name}")
