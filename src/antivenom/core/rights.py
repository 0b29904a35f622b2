"""Rights: what the roles that somebody holds add up to, for the installation and for single channels.

A role is a level for each category. Levels are ordered, and a higher one includes the lower ones. Roles only ever add:
no grant takes away what another one gives, so the order of grants does not matter.

Source: docs/adr/0028-rights-are-grants-of-roles.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from antivenom.core.errors import InvalidInputError


class Level(IntEnum):
    """How far something may be used; a higher level includes the lower ones."""

    none = 0
    read = 1
    write = 2
    manage = 3


Levels = Mapping[str, Level]
"""A level for each category; one that is absent is `none`."""

CATEGORIES: Final = (
    "channels",
    "subchannels",
    "mirrors",
    "artifacts",
    "policies",
    "exceptions",
    "advisories",
    "environments",
    "images",
    "alerts",
    "members",
    "audit",
    "settings",
)
READ_ONLY: Final = frozenset(("audit",))  # nobody changes the audit trail
OF_CHANNELS: Final = frozenset(("channels", "subchannels", "mirrors", "artifacts", "policies", "exceptions", "members"))
"""What a grant for one channel is about; the rest belongs to the installation, and such a grant gives nothing of it."""
PERMISSIONS: Final = frozenset(
    f"{category}:{level.name}"
    for category in CATEGORIES
    for level in Level
    if level is Level.read or (level > Level.read and category not in READ_ONLY)
)

_READABLE: Final = tuple(c for c in CATEGORIES if c not in ("members", "audit", "settings"))
ADMIN: Final = "admin"
EVERYONE: Final = "everyone"
DEFAULT_ROLES: Final[Mapping[str, Levels]] = {
    ADMIN: {c: Level.read if c in READ_ONLY else Level.manage for c in CATEGORIES},
    "author": {**dict.fromkeys(_READABLE, Level.write), "audit": Level.read},
    "member": dict.fromkeys(_READABLE, Level.read),
    EVERYONE: {},
}
"""The roles of a new installation. `everyone` is held by anybody, also by those who are not signed in."""


@dataclass(frozen=True, slots=True)
class Rights:
    """The highest level for each category: `everywhere`, and more of it on single channels, by their names."""

    everywhere: Levels = field(default_factory=dict)
    channels: Mapping[str, Levels] = field(default_factory=dict)

    def level(self, category: str, channel: str | None = None) -> Level:
        """The level of a category: for a channel, or for the installation when none is given."""
        found = self.everywhere.get(category, Level.none)
        if channel is None or (here := self.channels.get(channel)) is None:
            return found
        return max(found, here.get(category, Level.none))

    def holds(self, permission: str, channel: str | None = None) -> bool:
        """Whether they include `<category>:<read|write|manage>`.

        Raises:
            ValueError: There is no such permission; a misspelled one must never grant or refuse by accident.
        """
        if permission not in PERMISSIONS:
            raise ValueError(f"{permission!r} is no permission")
        category, _, level = permission.partition(":")
        return self.level(category, channel) >= Level[level]

    def channels_with(self, permission: str) -> frozenset[str] | None:
        """The channels for which they include the permission; None when they do for all."""
        if self.holds(permission):
            return None
        return frozenset(channel for channel in self.channels if self.holds(permission, channel))

    def cover(self, levels: Levels, channel: str | None = None) -> bool:
        """Whether they include each of the levels that count, for the channel or (None) for the installation."""
        return all(self.level(category, channel) >= level for category, level in _counting(levels, channel).items())

    def include(self, other: Rights) -> bool:
        """Whether they cover everything that the other ones hold."""
        return self.cover(other.everywhere) and all(
            self.cover(levels, channel) for channel, levels in other.channels.items()
        )


def add_up(grants: Iterable[tuple[Levels, str | None]]) -> Rights:
    """The rights of who holds the levels of several grants, each for one channel or (None) for the installation."""
    everywhere: dict[str, Level] = {}
    channels: dict[str, dict[str, Level]] = {}
    for levels, channel in grants:
        held = everywhere if channel is None else channels.setdefault(channel, {})
        for category, level in _counting(levels, channel).items():
            held[category] = max(level, held.get(category, Level.none))
    return Rights(everywhere, channels)


def _counting(levels: Levels, channel: str | None) -> Levels:
    """Those of the levels that a grant for the channel gives; for the installation all."""
    return {c: level for c, level in levels.items() if channel is None or c in OF_CHANNELS}


def read_levels(stored: Mapping[str, str]) -> dict[str, Level]:
    """The levels of a stored role. What this release does not know grants nothing."""
    return {
        category: Level[name]
        for category, name in stored.items()
        if category in CATEGORIES and name in Level.__members__ and name != "none"
    }


def check_levels(given: Mapping[str, str]) -> dict[str, str]:
    """The levels of a role in their stored form, in the order of the categories, without `none`.

    Raises:
        InvalidInputError: A category or a level does not exist, or the category can only be read.
    """
    for category, name in given.items():
        if category not in CATEGORIES:
            raise InvalidInputError(
                f"there is no category {category!r}", hint=f"one of {', '.join(CATEGORIES)}", field="levels"
            )
        if name not in Level.__members__:
            raise InvalidInputError(
                f"{category}: there is no level {name!r}", hint=f"one of {', '.join(Level.__members__)}", field="levels"
            )
        if category in READ_ONLY and Level[name] > Level.read:
            raise InvalidInputError(f"{category} can only be read: nobody changes it", field="levels")
    return {category: given[category] for category in CATEGORIES if given.get(category, "none") != "none"}
