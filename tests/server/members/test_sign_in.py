"""Signing in to the pages: passwords, sessions, forged forms, guessing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from antivenom.core.errors import InvalidInputError, UnauthenticatedError, UnavailableError
from antivenom.server.context import ANONYMOUS, LOCAL, Resources
from antivenom.server.members import service
from antivenom.server.members.authentication import SESSION_COOKIE, find_session_actor
from antivenom.server.members.throttle import (
    ADDRESS_FAILURES_MAX,
    FAILURES_MAX,
    KEYS_MAX,
    NAME_FAILURES_MAX,
    SIGN_INS,
    VERIFIED_AT_ONCE,
    WAITING_MAX,
    SignInThrottle,
    VerificationSlots,
)

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def nobody_guessed_yet() -> Iterator[None]:
    SIGN_INS.clear()
    yield
    SIGN_INS.clear()


@pytest.fixture
async def admin(resources: Resources) -> None:
    async with resources.context(LOCAL) as ctx:
        assert await service.create_first_admin(ctx, PASSWORD)


async def sign_in(resources: Resources, name: str = "admin", password: str = PASSWORD) -> service.SignedIn:
    async with resources.context(ANONYMOUS) as ctx:
        return await service.sign_in(ctx, name, password, address="192.0.2.1")


async def test_session_is_its_member_until_it_ends(resources: Resources, admin: None):
    session = await sign_in(resources)
    found = await find_session_actor(resources, session.value)
    assert found is not None
    assert (found.actor.kind, found.actor.name, found.actor.role) == ("member", "admin", "admin")
    assert found.csrf == session.csrf
    resources.clock = lambda: datetime.now(UTC) + timedelta(hours=13)
    assert await find_session_actor(resources, session.value) is None


async def test_signing_out_ends_the_session(resources: Resources, admin: None):
    session = await sign_in(resources)
    async with resources.context(ANONYMOUS) as ctx:
        await service.sign_out(ctx, session.value)
    assert await find_session_actor(resources, session.value) is None


async def test_neither_password_nor_session_is_in_the_database(resources: Resources, admin: None):
    session = await sign_in(resources)
    async with resources.context(LOCAL) as ctx:
        for table in ("member", "member_session", "event"):
            dump = "\n".join(await ctx.session.scalars(text(f"SELECT t::text FROM {table} AS t")))
            assert dump
            assert PASSWORD not in dump
            assert session.value not in dump
    async with resources.context(LOCAL) as ctx:
        assert (await ctx.session.scalar(text("SELECT password_hash FROM member"))).startswith("$argon2id$")


async def test_first_admin_is_made_only_in_an_empty_database(resources: Resources, admin: None):
    async with resources.context(LOCAL) as ctx:
        assert not await service.create_first_admin(ctx, "something else entirely")
    await sign_in(resources)


@pytest.mark.parametrize(
    ("name", "password"), [("admin", "wrong"), ("nobody", PASSWORD), ("", ""), ("admin", ""), ("a\x00b", "x")]
)
async def test_wrong_name_and_wrong_password_look_alike(resources: Resources, admin: None, name: str, password: str):
    with pytest.raises(UnauthenticatedError, match="name or password are wrong"):
        await sign_in(resources, name, password)


async def test_disabled_member_is_out_at_once(resources: Resources, admin: None):
    session = await sign_in(resources)
    async with resources.context(LOCAL) as ctx:
        await ctx.session.execute(text("UPDATE member SET disabled_at = now()"))
    assert await find_session_actor(resources, session.value) is None
    with pytest.raises(UnauthenticatedError):
        await sign_in(resources)


async def test_guessing_is_slowed_down(resources: Resources, admin: None):
    for _ in range(FAILURES_MAX):
        with pytest.raises(UnauthenticatedError, match="wrong"):
            await sign_in(resources, password="guess")
    with pytest.raises(UnauthenticatedError, match="too many"):
        await sign_in(resources)
    resources.clock = lambda: datetime.now(UTC) + timedelta(minutes=16)
    await sign_in(resources)


def tries(throttle: SignInThrottle, name: str, address: str, count: int) -> int:
    """How many of `count` tries are let through."""
    allowed = 0
    for _ in range(count):
        with contextlib.suppress(UnauthenticatedError):
            throttle.begin(name, address, NOW)
            allowed += 1
    return allowed


NOW = datetime.now(UTC)


def test_guesses_that_begin_together_are_counted_before_any_has_failed():
    assert tries(SignInThrottle(), "admin", "192.0.2.1", 60) == FAILURES_MAX


def test_guessing_from_elsewhere_locks_nobody_out():
    throttle = SignInThrottle()
    tries(throttle, "admin", "192.0.2.1", 60)
    assert tries(throttle, "admin", "192.0.2.2", 1) == 1


def test_an_address_and_a_name_have_limits_of_their_own():
    throttle = SignInThrottle()
    assert sum(tries(throttle, f"name{n}", "192.0.2.1", 1) for n in range(60)) == ADDRESS_FAILURES_MAX
    assert sum(tries(throttle, "admin", f"192.0.2.{n}", 1) for n in range(2, 250)) == NAME_FAILURES_MAX


def test_success_takes_back_its_own_try_and_forgets_the_failures_before_it():
    throttle = SignInThrottle()
    for _ in range(ADDRESS_FAILURES_MAX * 2):
        throttle.begin("ana", "192.0.2.1", NOW)
        throttle.succeed("ana", "192.0.2.1")
    assert tries(throttle, "ana", "192.0.2.1", 60) == FAILURES_MAX


def test_throttle_does_not_grow_without_end():
    throttle = SignInThrottle()
    for number in range(KEYS_MAX):
        throttle.begin(f"name{number}", "", NOW)
    assert len(throttle._tries) == KEYS_MAX


async def test_passwords_are_verified_two_at_a_time_and_a_crowd_is_refused():
    slots, inside, go_on = VerificationSlots(), [0, 0], asyncio.Event()

    async def verify() -> str:
        try:
            async with slots.one():
                inside[0] += 1
                inside[1] = max(inside)
                await go_on.wait()
                inside[0] -= 1
        except UnavailableError:
            return "refused"
        return "verified"

    crowd = [asyncio.create_task(verify()) for _ in range(100)]
    await asyncio.sleep(0)
    crowd[VERIFIED_AT_ONCE].cancel()  # one who waits goes away
    go_on.set()
    answers = await asyncio.gather(*crowd, return_exceptions=True)
    assert inside == [0, VERIFIED_AT_ONCE]
    assert answers.count("verified") == VERIFIED_AT_ONCE + WAITING_MAX - 1
    assert slots._free == VERIFIED_AT_ONCE


async def test_new_password_ends_every_session_and_removes_the_first_one(resources: Resources, admin: None):
    first = resources.settings.home / "admin-password"
    first.write_text(PASSWORD)
    session = await sign_in(resources)
    async with resources.context(LOCAL) as ctx:
        await service.change_password(ctx, "admin", PASSWORD, "another fine password")
    assert await find_session_actor(resources, session.value) is None
    assert not first.exists()
    with pytest.raises(UnauthenticatedError):
        await sign_in(resources)
    await sign_in(resources, password="another fine password")


async def test_old_password_is_needed_and_the_new_one_has_to_do(resources: Resources, admin: None):
    async with resources.context(LOCAL) as ctx:
        with pytest.raises(UnauthenticatedError):
            await service.change_password(ctx, "admin", "guess", "another fine password")
        for weak in ("short", "aaaaaaaaaaaa", "x" * 2000):
            with pytest.raises(InvalidInputError):
                await service.change_password(ctx, "admin", PASSWORD, weak)


async def test_reset_gives_a_password_that_works(resources: Resources, admin: None):
    async with resources.context(LOCAL) as ctx:
        password = await service.reset_password(ctx, "admin")
    await sign_in(resources, password=password)


# -- over HTTP ---------------------------------------------------------------------------------------------------------


async def test_sign_in_sets_a_cookie_that_scripts_cannot_read(anonymous_client, admin: None):
    answer = await anonymous_client.post("/sign-in", data={"name": "admin", "password": PASSWORD, "next": "/channels"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/channels")
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(SESSION_COOKIE))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
async def test_sign_in_never_leads_to_another_site(anonymous_client, admin: None, target: str):
    answer = await anonymous_client.post("/sign-in", data={"name": "admin", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


async def test_cookie_alone_reads_but_does_not_write(anonymous_client, resources: Resources, admin: None):
    session = await sign_in(resources)
    anonymous_client.cookies.set(SESSION_COOKIE, session.value)
    assert (await anonymous_client.get("/api/v1/me")).json()["name"] == "admin"
    forged = await anonymous_client.post("/api/v1/tokens", json={"name": "forged"})
    assert forged.status_code == 403
    honest = await anonymous_client.post("/api/v1/tokens", json={"name": "ok"}, headers={"X-CSRF-Token": session.csrf})
    assert honest.status_code == 201


async def test_form_without_its_csrf_token_changes_nothing(anonymous_client, resources: Resources, admin: None):
    session = await sign_in(resources)
    anonymous_client.cookies.set(SESSION_COOKIE, session.value)
    for csrf in ("", "x", session.csrf[:-1]):
        answer = await anonymous_client.post("/tokens", data={"name": "forged", "role": "admin", "csrf": csrf})
        assert answer.status_code == 403
    cross = {"Sec-Fetch-Site": "cross-site"}
    answer = await anonymous_client.post("/tokens", data={"name": "forged", "csrf": session.csrf}, headers=cross)
    assert answer.status_code == 403
    async with resources.context(LOCAL) as ctx:
        assert (await service.list_tokens(ctx)).total == 0
