"""Every route × every role × signed in how: who is let in, and that nobody else is."""

from __future__ import annotations

from typing import Any

from antivenom.core.rights import DEFAULT_ROLES, OF_CHANNELS, Level, Levels, Rights, add_up
from antivenom.server.context import LOCAL, Resources
from tests.server.runtime.every_route import (
    ABSENT,
    HERE,
    NEEDS,
    OTHER,
    WAYS,
    Route,
    Sender,
    list_routes,
    make_sender,
    make_things,
    nothing_is_kept,
)

Grants = list[tuple[Levels, str | None]]
TABLE = {
    name.strip(): tuple(needs.split())
    for name, needs in ((line[:49], line[49:]) for line in NEEDS.strip().splitlines())
}
ROLES: dict[str, Grants] = {
    "none": [],
    "member": [(DEFAULT_ROLES["member"], None)],
    "author": [(DEFAULT_ROLES["author"], None)],
    "admin": [(DEFAULT_ROLES["admin"], None)],
    "owner": [(DEFAULT_ROLES["admin"], HERE)],  # of the channel that requests are about, and of nothing else
}


def test_the_table_has_every_route_and_no_other(app: Any) -> None:
    assert {route.name for route in list_routes(app)} == set(TABLE)


def is_let_in_by(needs: tuple[str, ...], rights: Rights) -> bool:
    permissions = [need for need in needs if need not in ("open", "signed-in")]
    return all(rights.holds(need.rstrip("@"), HERE if need.endswith("@") else None) for need in permissions)


def is_refused(answer: Any, channel: str = HERE) -> bool:
    """Whether the request was turned away for who sent it; a channel that one may not read is said not to exist."""
    if answer.status_code == 303:
        return bool(answer.headers["location"].startswith("/sign-in?") or answer.headers["location"] == "/sign-in")
    is_hidden = answer.status_code == 404 and f"there is no channel {channel!r}" in answer.text.replace("&#39;", "'")
    is_empty = answer.status_code == 200 and not answer.text  # a part of a page that has nothing to show
    return answer.status_code in (401, 403) or is_hidden or is_empty


async def ask(sender: Sender, route: Route, way: str) -> bool:
    """Whether somebody is let in. Whoever is, and whoever is not, never gets an error of the server."""
    answer = await sender.send(route, way)
    assert answer.status_code < 500 or route.path == "/readyz", (route.name, way, answer.text)
    return not is_refused(answer)


async def test_each_role_is_let_in_where_the_table_says_so_however_it_signed_in(
    app: Any, anonymous_client: Any, resources: Resources, monkeypatch: Any
) -> None:
    async with resources.context(LOCAL) as ctx:
        feed_id = await make_things(ctx)
    senders = {
        name: await make_sender(resources, anonymous_client, name, feed_id, grants) for name, grants in ROLES.items()
    }
    wrong = []
    async with nothing_is_kept(monkeypatch):
        for route in list_routes(app):
            needs = TABLE[route.name]
            if needs == ("open",) or route.path == "/sign-out":
                continue
            for name, sender in senders.items():
                for way in WAYS if route.is_api else ("bearer", "session"):
                    expected = is_let_in_by(needs, add_up(ROLES[name]))
                    if way != "session" and not route.is_api and route.path != "/api/openapi.json":
                        expected = takes_tokens(route) and expected  # pages are for people
                    if await ask(sender, route, way) != expected:
                        wrong.append((route.name, name, way, expected))
            if await ask(senders["none"], route, "nobody"):
                wrong.append((route.name, "nobody", "", False))
    assert wrong == []


def takes_tokens(route: Route) -> bool:
    """Whether programs use it though it is not below /api: files, numbers, the description of the API."""
    return route.path.startswith(("/advisories/files/", "/advisories/manifest.json"))


async def test_each_permission_of_the_table_is_needed_and_they_are_enough(
    app: Any, anonymous_client: Any, resources: Resources, monkeypatch: Any
) -> None:
    async with resources.context(LOCAL) as ctx:
        feed_id = await make_things(ctx)
    holding: dict[tuple[str, ...], Sender] = {}
    lacking: dict[str, Sender] = {}
    for number, needs in enumerate(sorted(set(TABLE.values()))):
        grants: Grants = [(levels(need.rstrip("@")), HERE if need.endswith("@") else None) for need in needs]
        holding[needs] = await make_sender(resources, anonymous_client, f"h{number}", feed_id, grants)
    for number, need in enumerate(sorted({need.rstrip("@") for needs in TABLE.values() for need in needs})):
        everything_else = [({**DEFAULT_ROLES["admin"], **below(need)}, None)]
        lacking[need] = await make_sender(resources, anonymous_client, f"l{number}", feed_id, everything_else)
    wrong = []
    async with nothing_is_kept(monkeypatch):
        for route in list_routes(app):
            needs = TABLE[route.name]
            if needs == ("open",) or route.path == "/sign-out":
                continue
            way = "bearer" if route.is_api else "session"
            if not await ask(holding[needs], route, way):
                wrong.append((route.name, "they are not enough"))
            wrong += [
                (route.name, f"{need} is not needed")
                for need in needs
                if need != "signed-in" and await ask(lacking[need.rstrip("@")], route, way)
            ]
    assert wrong == []


def levels(need: str) -> Levels:
    category, found, level = need.partition(":")
    return {category: Level[level]} if found else {}


def below(need: str) -> Levels:
    category, found, level = need.partition(":")
    return {category: Level(Level[level] - 1)} if found else {}


async def test_a_channel_of_others_answers_as_one_that_is_not_there(
    app: Any, anonymous_client: Any, resources: Resources, monkeypatch: Any
) -> None:
    async with resources.context(LOCAL) as ctx:
        feed_id = await make_things(ctx)
    owner = await make_sender(resources, anonymous_client, "owner", feed_id, ROLES["owner"])
    asked, wrong = 0, []
    async with nothing_is_kept(monkeypatch):
        for route in list_routes(app):
            if not (route.is_of_a_channel or route.name == "POST /api/v1/mirrors"):
                continue
            way = "bearer" if route.is_api else "session"
            there, absent = [await owner.send(route, way, channel) for channel in (OTHER, ABSENT)]
            asked += 1
            if (there.status_code, there.text.replace(OTHER, ABSENT)) != (absent.status_code, absent.text):
                wrong.append((route.name, there.status_code, there.text[:300], absent.status_code, absent.text[:300]))
    assert asked > 40
    assert wrong == []


def test_what_counts_for_a_channel_is_asked_for_channels_alone() -> None:
    for needs in TABLE.values():
        for need in needs:
            assert not need.endswith("@") or need.partition(":")[0] in OF_CHANNELS
