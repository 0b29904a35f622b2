"""An acknowledged change is applied, come what may: what a channel should serve is compared with what it does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.core.errors import StorageError
from antivenom.server.channel_policies.queries import channels_under_policy
from antivenom.server.context import LOCAL, SYSTEM
from antivenom.server.publications import queries
from antivenom.server.publications import service as publications
from antivenom.server.publications.reconcile import reconcile
from antivenom.server.readiness import list_behind
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer, make_record, write_channel

BAN = 'name: ban\nrules:\n  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["alpha"]}}\n'


class Clock:
    """The time that services see; a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **parts: float) -> None:
        self.now += timedelta(**parts)


@pytest.fixture
def clock(resources) -> Clock:
    resources.clock = Clock()
    return resources.clock


@pytest.fixture
async def main(person: Person, upstream: UpstreamServer, clock: Clock) -> Person:
    """A published channel `main` with alpha and beta."""
    write_channel(upstream.folder, {"noarch": [make_record(n, "1.0", subdir="noarch") for n in ("alpha", "beta")]})
    await person.mirror("main", upstream, subdirs=["noarch"])
    return person


class FailingCpu:
    """A child process that finds the disk full."""

    async def run(self, *_: Any, **__: Any) -> Any:
        raise StorageError("no space left on device", hint="free some space")


async def look(person: Person) -> Any:
    async with person.resources.context(LOCAL) as ctx:
        return await publications.get_channel_summary(ctx, "main")


async def reconcile_now(person: Person) -> int:
    async with person.resources.context(SYSTEM) as ctx:
        found = await reconcile(ctx)
    await person.run_jobs(person.resources, tolerate=(StorageError,))
    return found


async def test_channel_in_step_is_left_alone(main: Person):
    assert await reconcile_now(main) == 0
    assert (await look(main)).behind is None


async def test_change_is_applied_however_often_publishing_failed(main: Person, clock: Clock):
    working, main.resources.publishing_cpu = main.resources.publishing_cpu, FailingCpu()  # type: ignore[assignment]
    await main.set_policy("main", BAN)
    for _ in range(12):
        clock.forward(minutes=6)
        assert await reconcile_now(main) == 1
    head = await look(main)
    assert head.behind.failures == 13
    assert "no space left" in head.behind.error
    assert head.publication == 1
    assert await list_behind(main.resources) != []
    main.resources.publishing_cpu = working
    clock.forward(minutes=6)
    assert await reconcile_now(main) == 1
    head = await look(main)
    assert (head.behind, head.publication, head.withheld) == (None, 2, 1)
    assert await list_behind(main.resources) == []


async def test_failure_delays_the_next_try_and_a_new_change_does_not_wait_for_it(main: Person):
    working, main.resources.publishing_cpu = main.resources.publishing_cpu, FailingCpu()  # type: ignore[assignment]
    await main.set_policy("main", BAN)
    main.resources.publishing_cpu = working
    assert await reconcile_now(main) == 0  # five seconds have not gone by
    await main.set_policy("main", BAN.replace("alpha", "beta"))
    assert (await look(main)).behind is None
    assert await main.kept("main") == {"alpha-1.0-h0_0.conda"}


async def test_job_that_is_lost_is_queued_again(main: Person):
    from antivenom.server.channel_policies import service as channel_policies

    async with main.resources.context(LOCAL) as ctx:
        await channel_policies.set_policy(ctx, "main", BAN)
        await ctx.session.execute(text("DELETE FROM procrastinate_jobs WHERE task_name = 'publication.republish'"))
    assert (await look(main)).behind is not None
    assert await reconcile_now(main) == 1
    assert await main.kept("main") == {"beta-1.0-h0_0.conda"}


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("policy", "UPDATE channel SET policy_revision_id = (SELECT max(id) FROM policy_revision)"),
        ("knowledge", "UPDATE publication SET knowledge_revision = -1"),
        ("time", "UPDATE publication SET holds_until = '2020-01-01'"),
    ],
)
async def test_difference_that_nobody_noted_is_found(main: Person, what: str, statement: str):
    from antivenom.server.policies import service as policies

    async with main.resources.context(LOCAL) as ctx:
        await policies.save_policy(ctx, BAN)
        await ctx.session.flush()
        await ctx.session.execute(text(statement))
    assert await reconcile_now(main) == 1
    assert await reconcile_now(main) == 0


async def test_rollback_is_not_undone(main: Person):
    await main.set_policy("main", BAN)
    async with main.resources.context(LOCAL) as ctx:
        await publications.rollback(ctx, "main", 1)
    assert await reconcile_now(main) == 0
    assert (await look(main)).publication == 1


async def test_first_failure_and_the_recovery_are_events(main: Person, clock: Clock):
    working, main.resources.publishing_cpu = main.resources.publishing_cpu, FailingCpu()  # type: ignore[assignment]
    await main.set_policy("main", BAN)
    clock.forward(minutes=6)
    await reconcile_now(main)
    main.resources.publishing_cpu = working
    clock.forward(minutes=6)
    await reconcile_now(main)
    async with main.resources.context(LOCAL) as ctx:
        kinds = list(
            await ctx.session.scalars(text("SELECT kind FROM event WHERE kind LIKE 'publication.%' ORDER BY id"))
        )
    assert kinds[-3:] == ["publication.failed", "publication.recovered", "publication.published"]


async def test_page_shows_what_is_behind_and_why(main: Person, app_client):
    main.resources.publishing_cpu = FailingCpu()  # type: ignore[assignment]
    await main.set_policy("main", BAN)
    shown = (await app_client.get("/api/v1/channels/main")).json()["behind"]
    assert shown["failures"] == 1
    assert "no space left" in shown["error"]


async def test_who_changes_several_channels_does_so_in_one_order(main: Person, upstream: UpstreamServer):
    """Found by the soak: two that republished all channels locked them in two orders, and one of them was lost."""
    for name in ("zebra", "other", "another"):
        await main.mirror(name, upstream, subdirs=["noarch"], policy_text=BAN)
    async with main.resources.context(LOCAL) as ctx:
        ids = list(await ctx.session.scalars(text("SELECT id FROM channel ORDER BY id")))
        for channel_id in ids[:-1]:  # a row that was written anew comes last when nobody says in which order
            await ctx.session.execute(text(f"UPDATE channel SET upstream = upstream WHERE id = {channel_id}"))
        await ctx.session.execute(text("UPDATE publication SET knowledge_revision = -1"))
        policy_id = await ctx.session.scalar(text("SELECT id FROM policy"))
    async with main.resources.context(LOCAL) as ctx:
        assert [channel.id for channel in await queries.published_channels(ctx.session)] == ids
        assert [row[0] for row in await queries.list_differing_channels(ctx.session, 0, ctx.now)] == ids
        under = await channels_under_policy(ctx.session, policy_id, lock=True)
        assert [channel.id for channel in under] == ids[1:]
