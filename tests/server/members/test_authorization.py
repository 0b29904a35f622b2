"""The one function that decides who may do what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import ForbiddenError, UnauthenticatedError
from antivenom.server.context import ANONYMOUS, LOCAL, SYSTEM, Actor, Context
from antivenom.server.members.authorization import GRANTS, is_allowed, require

PERMISSIONS = sorted(GRANTS["admin"])
AUTHOR = Actor("token", "ci", "author")
READER = Actor("member", "ana", "reader")


def context_of(actor: Actor) -> Context:
    return Context(None, actor, None, None)  # type: ignore[arg-type]  # only the actor is looked at


@pytest.mark.parametrize("actor", [LOCAL, SYSTEM, Actor("member", "admin", "admin")])
def test_administrators_may_do_everything(actor: Actor):
    assert all(is_allowed(actor, permission) for permission in PERMISSIONS)


def test_anonymous_may_do_nothing_but_sign_in():
    assert not any(is_allowed(ANONYMOUS, permission) for permission in PERMISSIONS)
    with pytest.raises(UnauthenticatedError):
        require(context_of(ANONYMOUS), "channels:read", subject="channel:main")


@given(st.sampled_from(PERMISSIONS))
def test_a_higher_role_may_do_all_that_a_lower_one_may(permission: str):
    if is_allowed(READER, permission):
        assert is_allowed(AUTHOR, permission)


@pytest.mark.parametrize(
    "permission", ["members:read", "tokens:read", "tokens:manage", "admin:manage", "channels:manage"]
)
def test_author_is_no_administrator(permission: str):
    with pytest.raises(ForbiddenError, match="author") as raised:
        require(context_of(AUTHOR), permission, subject="thing:1")
    assert permission in raised.value.hint


def test_reader_reads_and_does_not_write():
    assert is_allowed(READER, "channels:read")
    with pytest.raises(ForbiddenError):
        require(context_of(READER), "channels:write", subject="channel:main")


@pytest.mark.parametrize("permission", ["channel:read", "channels", "channels:delete", "", "admin"])
def test_misspelled_permission_is_a_fault_and_not_a_decision(permission: str):
    with pytest.raises(ValueError, match="no permission"):
        is_allowed(LOCAL, permission)
