"""Signing in to the pages: passwords, sessions, forged forms, guessing."""

from __future__ import annotations

import asyncio
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
    NAME_FAILURES_MAX,
    VERIFIED_AT_ONCE,
    WAITING_MAX,
    SignInThrottle,
    VerificationSlots,
)
from antivenom.server.readiness import check_readiness

PASSWORD = "correct horse battery"


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
    async with resources.context(LOCAL) as ctx:  # a quarter of an hour goes by on the database's clock
        await ctx.session.execute(text("UPDATE rate_limit SET expires_at = expires_at - interval '15 minutes'"))
    await sign_in(resources)


async def tries(throttle: SignInThrottle, name: str, address: str, count: int = 1) -> int:
    """How many of `count` tries that begin together are let through."""
    outcomes = await asyncio.gather(*(throttle.begin(name, address) for _ in range(count)), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, UnauthenticatedError) for outcome in outcomes), outcomes
    return outcomes.count(None)


async def test_guesses_that_begin_together_in_several_processes_are_counted_before_any_has_failed(
    resources: Resources,
):
    one, other = SignInThrottle(resources), SignInThrottle(resources)
    found = await asyncio.gather(tries(one, "admin", "192.0.2.1", 30), tries(other, "Admin", "192.0.2.1", 30))
    assert sum(found) == FAILURES_MAX


async def test_guessing_from_elsewhere_locks_nobody_out(resources: Resources):
    throttle = SignInThrottle(resources)
    await tries(throttle, "admin", "192.0.2.1", NAME_FAILURES_MAX + 20)
    assert await tries(throttle, "admin", "192.0.2.2") == 1


async def test_an_address_and_a_name_have_limits_of_their_own(resources: Resources):
    throttle = SignInThrottle(resources)
    assert sum([await tries(throttle, f"name{n}", "192.0.2.1") for n in range(40)]) == ADDRESS_FAILURES_MAX
    assert sum([await tries(throttle, "admin", f"192.0.2.{n}") for n in range(2, 120)]) == NAME_FAILURES_MAX


async def test_success_takes_back_its_own_try_and_forgets_the_failures_before_it(resources: Resources):
    throttle = SignInThrottle(resources)
    for _ in range(ADDRESS_FAILURES_MAX + 5):
        await throttle.begin("ana", "192.0.2.1")
        await throttle.succeed("ana", "192.0.2.1")
    assert await tries(throttle, "ana", "192.0.2.1", 60) == FAILURES_MAX


@pytest.mark.parametrize("name", ["", "a\x00b", "\ud800", "ü" * 10_000])
async def test_any_name_can_be_counted(resources: Resources, name: str):
    assert await tries(SignInThrottle(resources), name, "192.0.2.1", 20) == FAILURES_MAX


async def test_refusal_says_when_to_come_back(resources: Resources):
    throttle = SignInThrottle(resources)
    await tries(throttle, "ana", "192.0.2.1", FAILURES_MAX)
    with pytest.raises(UnauthenticatedError) as refused:
        await throttle.begin("ana", "192.0.2.1")
    assert refused.value.hint == "try again in 15 min"
    assert 0 < refused.value.data["retry_after_s"] <= 15 * 60


async def test_counts_that_are_over_are_swept_with_the_next_ones(resources: Resources):
    throttle = SignInThrottle(resources)
    for number in range(15):
        await throttle.begin(f"name{number}", "")
    async with resources.context(LOCAL) as ctx:
        await ctx.session.execute(text("UPDATE rate_limit SET expires_at = now()"))
    await throttle.begin("new", "")
    async with resources.context(LOCAL) as ctx:
        assert await ctx.session.scalar(text("SELECT count(*) FROM rate_limit")) <= 2


async def test_a_hundred_sign_ins_at_once_leave_the_server_ready(resources: Resources, admin: None):
    """They are counted and refused; whoever asks whether the server is ready gets an answer in between."""
    store = resources.blobs.local_path("index")
    assert store is not None
    store.parent.mkdir(parents=True)
    crowd = [asyncio.create_task(sign_in(resources, f"name{number}", "guess")) for number in range(100)]
    assert await check_readiness(resources) == []
    outcomes = await asyncio.gather(*crowd, return_exceptions=True)
    assert all(isinstance(outcome, UnauthenticatedError | UnavailableError) for outcome in outcomes)
    assert await check_readiness(resources) == []


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


async def test_page_says_when_to_sign_in_again(anonymous_client, admin: None):
    answers = [
        await anonymous_client.post("/sign-in", data={"name": "admin", "password": "guess"})
        for _ in range(FAILURES_MAX + 1)
    ]
    assert answers[-1].status_code == 401
    assert "try again in 15 min" in answers[-1].text
