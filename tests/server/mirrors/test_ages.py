"""Ages of a mirror's records: what a cooldown sees, what is reported, and what people read."""

from __future__ import annotations

from typing import Any

import pytest

from antivenom.server.catalog import service as catalog
from antivenom.server.members import audit
from antivenom.server.mirrors.subdir_state import HeldLoss
from tests.server.mirrors.conftest import Person
from tests.server.mirrors.test_editing import edit
from tests.server.test_pages import member_client, stranger  # noqa: F401  # fixtures
from tests.upstreams import UpstreamServer, make_record, write_channel

COOLDOWN = (
    "name: slow\nrules:\n  - {id: young, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7}}\n"
)
SWAPPED = "name: same\nrules:\n  - {id: swapped, gate: metadata, trigger: replaced, action: stop}\n"
BY_EXPRESSION = (
    "name: same\nrules:\n"
    "  - {id: swapped, gate: expression, trigger: cel, action: stop, params: {expr: 'record.replaced_ms > 0'}}\n"
)
Record = tuple[str, dict[str, Any]]


def other_bytes(named: Record) -> Record:
    return named[0], named[1] | {"sha256": "ab" * 32, "md5": "cd" * 16}


async def events(person: Person, kind: str) -> list[dict[str, Any]]:
    async def find(ctx: Any, channel: str) -> list[dict[str, Any]]:
        found = await audit.list_events(ctx, audit.EventFilter(kind=kind, subject=f"channel:{channel}"))
        return [event.data for event in found.items]

    found: list[dict[str, Any]] = await person.ask(find, "main")
    return found


@pytest.mark.parametrize("shards", [False, True], ids=["whole", "sharded"])
async def test_a_cooldown_holds_back_what_an_upstream_calls_old(
    person: Person, upstream: UpstreamServer, shards: bool
) -> None:
    old = [make_record("a", "1.0"), make_record("b", "1.0")]
    write_channel(upstream.folder, {"linux-64": old}, shards=shards)
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=COOLDOWN)
    assert await person.kept("main") == {"a-1.0-h0_0.conda", "b-1.0-h0_0.conda"}
    backdated = make_record("a", "2.0", indexed_timestamp=1_500_000_000_000, timestamp=1_500_000_000)
    write_channel(upstream.folder, {"linux-64": [other_bytes(old[0]), backdated, old[1]]}, shards=shards)
    await person.sync("main")
    assert await person.kept("main") == {"b-1.0-h0_0.conda"}
    assert set(await person.withheld("main")) == {"a-1.0-h0_0.conda", "a-2.0-h0_0.conda"}
    write_channel(upstream.folder, {"linux-64": [old[0], old[1]]}, shards=shards)  # the bytes of before are back
    await person.sync("main")
    assert await person.kept("main") == {"a-1.0-h0_0.conda", "b-1.0-h0_0.conda"}


async def test_a_file_replaced_under_its_name_is_told_and_policies_can_ask(
    person: Person,
    upstream: UpstreamServer,
    member_client: Any,  # noqa: F811  # a fixture
) -> None:
    old = [make_record("a", "1.0"), make_record("b", "1.0")]
    write_channel(upstream.folder, {"linux-64": old})
    await person.mirror("main", upstream, subdirs=["linux-64"])
    assert await events(person, "mirror.replaced") == []
    write_channel(upstream.folder, {"linux-64": [other_bytes(old[0]), old[1]]})
    for _ in range(2):
        await person.sync("main")
        assert await events(person, "mirror.replaced") == [
            {"subdir": "linux-64", "files": ["a-1.0-h0_0.conda"], "count": 1}
        ]
    (record,) = (await person.ask(catalog.get_package, "main", "a")).records
    (untouched,) = (await person.ask(catalog.get_package, "main", "b")).records
    assert record.replaced_at == record.listed_at
    assert (untouched.replaced_at, untouched.listed_at.year) == (None, 2021)
    page = await member_client.get("/channels/main/packages/a")
    assert "replaced this file under its name" in page.text
    for policy in (SWAPPED, BY_EXPRESSION):
        await person.set_policy("main", policy)
        assert await person.kept("main") == {"b-1.0-h0_0.conda"}


async def test_an_upstream_that_swaps_everything_has_lost_everything(person: Person, upstream: UpstreamServer) -> None:
    records = [make_record(f"a{n}", "1.0") for n in range(30)]
    write_channel(upstream.folder, {"linux-64": records})
    await person.mirror("main", upstream, subdirs=["linux-64"])
    swapped = [make_record(f"evil{n}", "1.0") for n in range(30)]
    write_channel(upstream.folder, {"linux-64": swapped})
    mirror = await person.sync("main")
    assert (mirror.state, mirror.held) == ("held", {"linux-64": HeldLoss(30, 0)})
    same_names = [(fn, record | {"sha256": f"{n:064x}"}) for n, (fn, record) in enumerate(records)]
    write_channel(upstream.folder, {"linux-64": same_names})
    mirror = await person.sync("main")
    assert (mirror.state, mirror.held) == ("held", {"linux-64": HeldLoss(30, 0)})
    assert len(await person.kept("main")) == 30


async def test_a_wider_selection_seeds_and_a_new_dependency_does_not(person: Person, upstream: UpstreamServer) -> None:
    records = [make_record("a", "1.0"), make_record("b", "1.0"), make_record("late", "1.0")]
    write_channel(upstream.folder, {"linux-64": records[:2]})
    await person.mirror("main", upstream, subdirs=["linux-64"], specs=["a"], policy_text=COOLDOWN, closure=False)
    needy = records[0][0], records[0][1] | {"depends": ["late"]}
    write_channel(upstream.folder, {"linux-64": [needy, *records[1:]]})
    await person.sync("main")
    assert (await person.kept("main"), set(await person.withheld("main"))) == (
        {"a-1.0-h0_0.conda"},
        {"late-1.0-h0_0.conda"},
    )
    await edit(person, specs=["a", "b"])
    assert await person.kept("main") == {"a-1.0-h0_0.conda", "b-1.0-h0_0.conda"}
