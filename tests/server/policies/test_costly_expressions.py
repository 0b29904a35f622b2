"""Expressions that take for ever: they end, and nobody waits for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from antivenom.core.conda.records import ChannelFacts
from antivenom.core.errors import TooExpensiveError, UnavailableError
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.context import LOCAL, Actor, Resources
from antivenom.server.mirrors import service as mirrors
from antivenom.server.policies import service as policies
from antivenom.server.publications import policy_trial
from antivenom.server.publications import service as publications
from antivenom.server.publications.build_publication import BuildRequest
from antivenom.server.web.leaving import while_connected
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person, ask, person, upstream  # noqa: F401  # fixtures
from tests.upstreams import UpstreamServer, make_record, write_channel
from tests.waiting import until

READER = Actor("member", "rita", "member")
EXPRESSION = 'name: loops\nrules:\n  - {{id: three-loops, gate: expression, trigger: cel, action: stop, params: {{expr: "{}"}}}}\n'
# Quick on the sample that a check tries it on, which has one dependency; for ever on a record with thousands.
OVER_DEPENDS = EXPRESSION.format(
    "record.depends.exists(a, record.depends.exists(b, record.depends.exists(c, a + b + c == 'x')))"
)
NUMBERS = str(list(range(100)))
OVER_LITERALS = EXPRESSION.format(
    f"{NUMBERS}.exists(a, {NUMBERS}.exists(b, {NUMBERS}.exists(c, {NUMBERS}.size() + a + b + c < 0)))"
)


@pytest.fixture
def settings_environment(settings_environment: dict[str, str]) -> dict[str, str]:
    return settings_environment | {"ANTIVENOM_EXPRESSIONS_MAX_S": "1", "ANTIVENOM_PLAN_MAX_S": "60"}


@pytest.fixture
async def main(person: Person, upstream: UpstreamServer) -> Person:  # noqa: F811
    """A published channel `main`, of which a record has five thousand dependencies."""
    greedy = make_record("greedy", "1.0", subdir="noarch", depends=[f"d{at}" for at in range(5000)])
    write_channel(upstream.folder, {"noarch": [greedy, make_record("alpha", "1.0", subdir="noarch")]})
    await person.mirror("main", upstream, subdirs=["noarch"], closure=False)
    return person


async def test_plan_of_a_reader_ends_and_says_which_rule_costs_too_much(main: Person):
    with pytest.raises(TooExpensiveError, match=r"rule three-loops costs too much: .* 1 s of CPU"):
        await channel_policies.plan_policy(main.resources, READER, "main", OVER_DEPENDS)


@pytest.mark.parametrize("check", ["check", "plan", "save"])
async def test_text_that_is_costly_to_check_is_refused_by_whoever_checks_it(
    main: Person, check: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(policies, "CHECK_MAX_S", 0.5)
    with pytest.raises(TooExpensiveError, match=r"more than 0\.5 s of CPU to check"):
        if check == "check":
            await policies.check_policy(main.resources, OVER_LITERALS)
        elif check == "plan":
            await channel_policies.plan_policy(main.resources, READER, "main", OVER_LITERALS)
        else:
            await main.set_policy("main", OVER_LITERALS)


async def attached(main: Person) -> str:
    async with main.resources.context(LOCAL) as ctx:
        found = await channel_policies.get_channel_policy(ctx, "main")
    return found[1].text if found else ""


@pytest.mark.parametrize("everywhere", [False, True])
async def test_policy_that_costs_too_much_on_a_channel_is_refused_when_it_is_set(main: Person, everywhere: bool):
    await main.set_policy("main", "name: loops\nrules: []\n")
    with pytest.raises(TooExpensiveError, match=r"rule three-loops costs too much: .* 1 s of CPU"):
        async with main.resources.context(LOCAL) as ctx:
            if everywhere:
                await channel_policies.set_policy_everywhere(ctx, OVER_DEPENDS)
            else:
                await channel_policies.set_policy(ctx, "main", OVER_DEPENDS)
    assert await attached(main) == "name: loops\nrules: []\n"
    async with main.resources.context(LOCAL) as ctx:
        assert (await policies.get_policy(ctx, "loops"))[1].number == 1
        assert (await publications.get_channel_summary(ctx, "main")).behind is None


async def test_channel_that_has_published_nothing_takes_any_policy_that_can_be_checked(
    main: Person,
    upstream: UpstreamServer,  # noqa: F811
):
    async with main.resources.context(LOCAL) as ctx:
        wanted = mirrors.MirrorSettings(upstream.url, subdirs=["noarch"])
        await mirrors.create_mirror(ctx, "empty", wanted, policy_text=OVER_DEPENDS)


@pytest.mark.parametrize(
    ("costs", "parts", "refused"),
    [
        ([0.5] * 8, 8, False),  # all of it was tried
        ([0.1] * 8, 20, False),
        ([0.5] * 8, 20, True),
        ([2.5, *[0.01] * 8], 20, False),  # one odd record, which was counted
        ([0.1] * 8, 40, True),
    ],
)
def test_what_the_whole_costs_is_told_from_parts(
    costs: list[float], parts: int, refused: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(policy_trial, "_try_parts", lambda *_: (costs, parts))
    request = BuildRequest(
        {}, ChannelFacts("main", is_mirror=True), "name: p\nrules: []", None, 0, expressions_max_s=1.5
    )
    monkeypatch.setattr(policy_trial.BlobStore, "open", lambda _: None)
    if refused:
        with pytest.raises(TooExpensiveError, match=r"about \d+ s of CPU on channel main, and may take 1.5 s"):
            policy_trial.try_expressions("file:///x", request)
    else:
        policy_trial.try_expressions("file:///x", request)


async def test_policy_that_costs_too_much_is_not_published_and_the_channel_says_why(
    main: Person, monkeypatch: pytest.MonkeyPatch
):
    """What the trial could not see: the channel grew, or what is dear was not tried."""

    async def nothing(*_: Any) -> None: ...

    monkeypatch.setattr(channel_policies, "try_policy", nothing)
    before = await main.kept("main")
    await main.set_policy("main", OVER_DEPENDS)
    async with main.resources.context(LOCAL) as ctx:
        head = await publications.get_channel_summary(ctx, "main")
    assert "rule three-loops costs too much" in head.behind.error
    assert await main.kept("main") == before
    await main.set_policy("main", "name: loops\nrules: []\n")
    async with main.resources.context(LOCAL) as ctx:
        assert (await publications.get_channel_summary(ctx, "main")).behind is None


class HeldCpu:
    """A child that computes until the test says so."""

    def __init__(self) -> None:
        self.began, self.go_on, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self, *_: Any, **__: Any) -> Any:
        self.began.set()
        try:
            await self.go_on.wait()
        finally:
            self.ended.set()
        raise TooExpensiveError("the test is over")


async def test_derived_files_are_served_and_no_transaction_is_open_while_a_plan_runs(main: Person, ask: Asker):  # noqa: F811
    held = HeldCpu()
    main.resources.plans = held  # type: ignore[assignment]
    planning = asyncio.create_task(channel_policies.plan_policy(main.resources, READER, "main", OVER_DEPENDS))
    await held.began.wait()
    for path in ("current_repodata.json", "run_exports.json"):
        assert (await ask(f"/conda/main/noarch/{path}")).status == 200
    assert (await ask("/conda/main/channeldata.json")).status == 200
    await policies.check_policy(main.resources, "name: other\nrules: []\n")
    await until(lambda: main.resources.engine.pool.checkedout() == 0)  # type: ignore[attr-defined]
    held.go_on.set()
    with pytest.raises(TooExpensiveError):
        await planning


async def test_plan_ends_when_its_client_leaves(main: Person):
    held = HeldCpu()
    main.resources.plans = held  # type: ignore[assignment]

    async def receive() -> dict[str, Any]:
        await held.began.wait()
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
    with pytest.raises(UnavailableError, match="the client has gone"):
        await while_connected(request, channel_policies.plan_policy(main.resources, READER, "main", OVER_DEPENDS))
    assert held.ended.is_set()


async def test_client_that_leaves_the_api_ends_its_plan(main: Person, resources: Resources, app: Any, local_token: str):
    """The whole way through the application, with the body as an ASGI server hands it over."""
    held = HeldCpu()
    resources.plans = held  # type: ignore[assignment]
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"text": "name: x\\nrules: []"}', "more_body": False}
    ]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await held.began.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None: ...

    headers = [(b"authorization", f"Bearer {local_token}".encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/channels/main/policy/plan", "query_string": b"",
        "headers": headers, "raw_path": b"/api/v1/channels/main/policy/plan", "http_version": "1.1", "scheme": "http",
        "server": ("antivenom.test", 80), "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    assert held.ended.is_set()


class Held:
    """A pool whose calls wait until they are let go."""

    def __init__(self, pool: Any) -> None:
        self._pool, self.go_on, self.running = pool, asyncio.Event(), 0

    async def run(self, *args: Any, **options: Any) -> Any:
        self.running += 1
        await self.go_on.wait()
        return await self._pool.run(*args, **options)


async def test_whoever_only_tries_policies_keeps_nobody_waiting(resources: Resources) -> None:
    held = resources.previews = Held(resources.previews)  # type: ignore[assignment]
    texts = [f"name: tried-{n}\nrules: []\n" for n in range(6)]
    tried = [asyncio.create_task(policies.check_policy(resources, text, asker="reader")) for text in texts]
    other = asyncio.create_task(
        policies.check_policy(resources, "name: of-somebody-else\nrules: []\n", asker="somebody else")
    )
    for _ in range(50):
        await asyncio.sleep(0)
    assert held.running == 2, "one text of each who tries some"
    saved = await policies.check_policy(resources, "name: saved-meanwhile\nrules: []\n")
    assert (saved.name, other.done()) == ("saved-meanwhile", False)
    held.go_on.set()
    assert [policy.name for policy in await asyncio.gather(*tried)] == [f"tried-{n}" for n in range(6)]
    await other
