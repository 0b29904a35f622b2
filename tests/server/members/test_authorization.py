"""The one function that decides who may do what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import antivenom
from antivenom.core.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from antivenom.core.rights import PERMISSIONS, Level, Rights
from antivenom.server.context import ANONYMOUS, LOCAL, SYSTEM, Actor, Context
from antivenom.server.members.authorization import is_allowed, require, require_no_less, require_somewhere

ALL = sorted(PERMISSIONS)
AUTHOR = Actor("token", "ci", "author")
READER = Actor("member", "ana", "member")


def test_every_permission_that_the_code_asks_for_exists():
    asked = {
        (path.name, found)
        for path in (Path(antivenom.__file__).parent / "server").rglob("*.py")
        for found in re.findall(r'"([a-z_]+:(?:read|write|manage))"', path.read_text(encoding="utf-8"))
    }
    assert len(asked) > 30
    assert [(name, found) for name, found in sorted(asked) if found not in PERMISSIONS] == []


def context_of(actor: Actor) -> Context:
    return Context(None, actor, None, None)  # type: ignore[arg-type]  # only the actor is looked at


@pytest.mark.parametrize("actor", [LOCAL, SYSTEM, Actor("member", "admin", "admin")])
def test_administrators_may_do_everything(actor: Actor):
    assert all(is_allowed(actor, permission) for permission in ALL)


def test_anonymous_may_do_nothing_but_sign_in():
    assert not any(is_allowed(ANONYMOUS, permission) for permission in ALL)
    with pytest.raises(UnauthenticatedError):
        require(context_of(ANONYMOUS), "channels:read", subject="channel:main")


@given(st.sampled_from(ALL))
def test_a_higher_role_may_do_all_that_a_lower_one_may(permission: str):
    if is_allowed(READER, permission):
        assert is_allowed(AUTHOR, permission)


@pytest.mark.parametrize("permission", ["members:read", "members:manage", "settings:manage", "channels:manage"])
def test_author_is_no_administrator(permission: str):
    with pytest.raises(ForbiddenError, match="author") as raised:
        require(context_of(AUTHOR), permission, subject="thing:1")
    assert permission in raised.value.hint


def test_reader_reads_and_does_not_write():
    assert is_allowed(READER, "channels:read")
    with pytest.raises(ForbiddenError):
        require(context_of(READER), "channels:write", subject="channel:main")


@pytest.mark.parametrize(
    "permission", ["channel:read", "channels", "channels:delete", "channels:none", "audit:write", "", "admin"]
)
def test_misspelled_permission_is_a_fault_and_not_a_decision(permission: str):
    with pytest.raises(ValueError, match="no permission"):
        is_allowed(LOCAL, permission)


def of(**channels: str) -> Actor:
    """A member without a role of their own who holds a level of `channels` on each of these."""
    rights = Rights(channels={name: {"channels": Level[level]} for name, level in channels.items()})
    return Actor("member", "eve", "none", rights)


def test_a_grant_for_a_channel_counts_for_that_channel_alone():
    ctx = context_of(of(main="write", other="read"))
    require(ctx, "channels:write", subject="channel:main")
    with pytest.raises(ForbiddenError):
        require(ctx, "channels:write", subject="channel:other")
    with pytest.raises(ForbiddenError):
        require(ctx, "channels:write", subject="channel:*")
    with pytest.raises(ForbiddenError):
        require(ctx, "policies:read", subject="policy:main")


@pytest.mark.parametrize("permission", ALL)
def test_a_channel_that_may_not_be_read_looks_like_none(permission: str):
    with pytest.raises(NotFoundError) as refused:
        require(context_of(of(main="manage")), permission, subject="channel:secret")
    assert refused.value.message == "there is no channel 'secret'"
    with pytest.raises(UnauthenticatedError):
        require(context_of(ANONYMOUS), permission, subject="channel:secret")


def test_a_list_names_the_channels_that_it_may_show():
    assert require_somewhere(context_of(READER), "channels:read") is None
    assert require_somewhere(context_of(of(main="manage", other="read")), "channels:read") == {"main", "other"}
    assert require_somewhere(context_of(of(main="manage", other="read")), "channels:write") == {"main"}
    assert require_somewhere(context_of(of()), "channels:read") == frozenset()
    with pytest.raises(UnauthenticatedError):
        require_somewhere(context_of(ANONYMOUS), "channels:read")


def test_nobody_changes_somebody_with_more_rights():
    require_no_less(context_of(AUTHOR), READER.rights, subject="member:ana")
    require_no_less(context_of(READER), of(main="read").rights, subject="member:eve")
    for more in (AUTHOR.rights, of(main="write").rights):
        with pytest.raises(ForbiddenError, match="may not give or change"):
            require_no_less(context_of(READER), more, subject="member:x")
