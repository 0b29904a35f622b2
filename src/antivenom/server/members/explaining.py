"""What a member may do, and why: each role that reaches them, and the way on which it does."""

from __future__ import annotations

from dataclasses import dataclass

from antivenom.core.errors import InvalidInputError
from antivenom.core.rights import CATEGORIES, EVERYONE, OF_CHANNELS, Level, Levels, add_up
from antivenom.server.context import Context
from antivenom.server.members import queries, service
from antivenom.server.members.roles import levels_of


@dataclass(frozen=True, slots=True)
class HeldRole:
    """A role that reaches a member, for the installation or (`channel`) for one channel, and how."""

    role: str
    channel: str | None
    via: str  # "their own role", "granted to them", "in the group a, which is in b", "everyone"
    levels: Levels


@dataclass(frozen=True, slots=True)
class CategoryRights:
    """The level of one category, and the roles that give it: none where there is no such role."""

    category: str
    level: Level
    because: tuple[HeldRole, ...]


@dataclass(frozen=True, slots=True)
class MemberRights:
    """What a member may do with a channel (or, for None, with the installation), by category."""

    member: str
    channel: str | None
    categories: tuple[CategoryRights, ...]
    channels: tuple[str, ...]  # those for which they hold more than for the installation


async def explain_member(ctx: Context, name: str, *, channel: str | None = None) -> MemberRights:
    """What a member may do, and why. Members may ask it for themselves.

    A channel is not looked up: of one that does not exist, it says what they could do if it came to be.

    Raises:
        InvalidInputError: The channel's name is empty or too long to be one.
        NotFoundError: There is no such member.
    """
    if channel is not None and not 0 < len(channel) <= 64:
        raise InvalidInputError("that cannot name a channel", field="channel")
    member = await service.get_member(ctx, name)
    held = await _list_held(ctx, member.id, member.role)
    rights = add_up((one.levels, one.channel) for one in held)
    here = [one for one in held if one.channel in (None, channel)]
    return MemberRights(
        member=name,
        channel=channel,
        categories=tuple(_explain(category, rights.level(category, channel), here) for category in CATEGORIES),
        channels=tuple(sorted(rights.channels)),
    )


def _explain(category: str, level: Level, held: list[HeldRole]) -> CategoryRights:
    counting = (one for one in held if one.channel is None or category in OF_CHANNELS)
    because = (one for one in counting if level and one.levels.get(category, Level.none) == level)
    return CategoryRights(category, level, tuple(because))


async def _list_held(ctx: Context, member_id: int, own_role: str | None) -> list[HeldRole]:
    roles = {role.name: levels_of(role) for role in await queries.list_roles(ctx.session)}
    found = [HeldRole(own_role, None, "their own role", roles[own_role])] if own_role else []
    paths = await queries.list_group_paths(ctx.session, member_id)
    for grant in await queries.list_grants_reaching(ctx.session, member_id, list(paths)):
        via = _describe_group(paths[grant.group_id]) if grant.group_id is not None else "granted to them"
        if grant.member_id is None and grant.group_id is None:
            via = "granted to everyone"
        found.append(HeldRole(grant.role, grant.channel, via, roles[grant.role]))
    found.append(HeldRole(EVERYONE, None, "held by everyone", roles[EVERYONE]))
    return found


def _describe_group(path: tuple[str, ...]) -> str:
    return f"in the group {', which is in '.join(path)}"
