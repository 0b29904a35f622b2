"""Laws of rights: roles only ever add, whatever their order, and a channel never has less than the installation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import InvalidInputError
from antivenom.core.rights import (
    CATEGORIES,
    DEFAULT_ROLES,
    PERMISSIONS,
    READ_ONLY,
    Level,
    add_up,
    check_levels,
    read_levels,
)

CHANNELS = ("main", "other")
LEVELS = st.dictionaries(st.sampled_from(CATEGORIES), st.sampled_from(list(Level)))
GRANTS = st.lists(st.tuples(LEVELS, st.sampled_from((None, *CHANNELS))), max_size=6)
PLACES = st.sampled_from((None, *CHANNELS, "unheard-of"))


@given(GRANTS, st.randoms(use_true_random=False), st.sampled_from(sorted(PERMISSIONS)), PLACES)
def test_order_of_grants_does_not_matter(grants: list[Any], random: Any, permission: str, place: str | None):
    mixed = random.sample(grants, len(grants))
    assert add_up(grants).holds(permission, place) == add_up(mixed).holds(permission, place)


@given(GRANTS, st.tuples(LEVELS, st.sampled_from((None, *CHANNELS))))
def test_a_grant_more_never_takes_anything_away(grants: list[Any], one: Any):
    assert add_up([*grants, one]).include(add_up(grants))


@given(GRANTS, st.sampled_from(CATEGORIES), PLACES)
def test_a_channel_has_what_the_installation_has(grants: list[Any], category: str, place: str | None):
    rights = add_up(grants)
    assert rights.level(category, place) >= rights.level(category)
    assert rights.level(category, "unheard-of") == rights.level(category)


@given(GRANTS, st.sampled_from(sorted(PERMISSIONS)))
def test_channels_of_a_list_are_those_that_may_be_read(grants: list[Any], permission: str):
    rights = add_up(grants)
    found = rights.channels_with(permission)
    for channel in CHANNELS:
        assert (found is None or channel in found) == rights.holds(permission, channel)


@given(GRANTS, GRANTS)
def test_who_includes_others_may_do_all_that_they_may(grants: list[Any], others: list[Any]):
    mine, theirs = add_up(grants), add_up(others)
    may = [(p, c) for p in PERMISSIONS for c in (None, *CHANNELS) if theirs.holds(p, c)]
    assert mine.include(theirs) == all(mine.holds(p, c) for p, c in may)


@given(LEVELS)
def test_what_is_stored_reads_back(levels: dict[str, Level]):
    given_names = {c: level.name for c, level in levels.items() if c not in READ_ONLY}
    assert read_levels(check_levels(given_names)) == {
        c: level for c, level in levels.items() if level and c not in READ_ONLY
    }


def test_what_a_later_release_stored_grants_nothing():
    assert read_levels({"teapots": "manage", "channels": "own", "mirrors": "read"}) == {"mirrors": Level.read}


@pytest.mark.parametrize("levels", [{"teapots": "read"}, {"channels": "own"}, {"audit": "write"}])
def test_levels_that_cannot_be_are_refused(levels: dict[str, str]):
    with pytest.raises(InvalidInputError):
        check_levels(levels)


def test_default_roles_grow_from_everyone_to_admin():
    everyone, member, author, admin = (
        add_up([(DEFAULT_ROLES[r], None)]) for r in ("everyone", "member", "author", "admin")
    )
    assert member.include(everyone)
    assert author.include(member)
    assert admin.include(author)
    assert all(admin.holds(permission) for permission in PERMISSIONS)
    assert not any(everyone.holds(permission) for permission in PERMISSIONS)


def test_a_grant_for_a_channel_gives_nothing_that_belongs_to_the_installation():
    rights = add_up([(DEFAULT_ROLES["admin"], "main")])
    assert rights.holds("channels:manage", "main")
    assert not any(rights.holds(f"{category}:read", "main") for category in ("audit", "settings", "advisories"))
    assert rights.cover(DEFAULT_ROLES["admin"], "main")  # so its owner may give to others what they hold
    assert not rights.cover({"settings": Level.read})
