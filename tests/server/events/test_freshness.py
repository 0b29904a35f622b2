from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.server.advisories.models import Feed
from antivenom.server.advisories.service import freshness_of as feed_freshness
from antivenom.server.context import LOCAL, Resources
from antivenom.server.events.freshness import FRESH, judge_freshness, note_change
from antivenom.server.mirrors.models import Mirror
from antivenom.server.mirrors.service import freshness_of as mirror_freshness
from antivenom.server.readiness import CONDITIONS, count_sources, describe_sources
from tests.server.advisories.test_syncing import add, entry, sync, write_lines
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer, make_record, write_channel

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Row:
    every_s: int | None = 3600
    created_at: datetime = NOW - 100 * DAY
    last_success_at: datetime | None = NOW
    changed_at: datetime | None = NOW
    longest_gap_s: int = 0


@pytest.mark.parametrize(
    ("row", "stale"),
    [
        (Row(last_success_at=NOW - 3 * HOUR), ""),
        (Row(last_success_at=NOW - 4 * HOUR), "no sync has succeeded for 4 hours; one is due every 1 hour"),
        (Row(every_s=None, last_success_at=NOW - 2 * DAY), ""),
        (Row(every_s=None, last_success_at=NOW - 4 * DAY), "no sync has succeeded for 4 days; it has no schedule"),
        (Row(last_success_at=None, created_at=NOW - HOUR), ""),
        (Row(last_success_at=None), "no sync has succeeded for 100 days; one is due every 1 hour"),
        (Row(last_success_at=NOW + DAY), ""),
    ],
)
def test_a_row_is_stale_when_no_sync_succeeded_for_three_intervals(row: Row, stale: str) -> None:
    assert judge_freshness(row, NOW, unscheduled=3 * DAY).stale == stale


@pytest.mark.parametrize(
    ("gap", "quiet", "is_frozen"),
    [
        (HOUR, 6 * DAY, False),
        (HOUR, 8 * DAY, True),
        (5 * DAY, 14 * DAY, False),
        (5 * DAY, 16 * DAY, True),
        (timedelta(0), 1000 * DAY, False),
    ],
)
def test_a_row_is_frozen_when_it_is_quiet_for_far_longer_than_ever(
    gap: timedelta, quiet: timedelta, is_frozen: bool
) -> None:
    row = Row(changed_at=NOW - quiet, longest_gap_s=int(gap.total_seconds()))
    assert bool(judge_freshness(row, NOW, unscheduled=DAY).frozen) == is_frozen


def test_changes_widen_the_longest_gap_only() -> None:
    row = Row(changed_at=None)
    for at in (NOW, NOW + 2 * HOUR, NOW + 3 * HOUR, NOW):  # the last: a clock that was set back
        note_change(row, at)
    assert (row.longest_gap_s, row.changed_at) == (7200, NOW)


async def test_syncs_note_what_brought_something_new(
    resources: Resources,
    person: Person,
    upstream: UpstreamServer,
    tmp_path: Any,
) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, entry(1))
    feed_id = await add(resources, "osv", str(path))
    first = (await sync(resources, feed_id)).changed_at
    assert first is not None
    path.touch()
    assert (await sync(resources, feed_id)).changed_at == first
    write_lines(path, entry(1), entry(2))
    assert (await sync(resources, feed_id)).changed_at > first

    write_channel(upstream.folder, {"linux-64": [make_record("a", "1.0")]})
    made = await person.mirror("main", upstream, subdirs=["linux-64"])
    assert (await person.sync("main")).changed_at == made.changed_at
    write_channel(upstream.folder, {"linux-64": [make_record("a", "1.0"), make_record("b", "1.0")]})
    assert (await person.sync("main")).changed_at > made.changed_at


async def test_what_is_stale_or_frozen_is_said_to_people_and_to_monitoring(
    resources: Resources,
    person: Person,
    upstream: UpstreamServer,
    member_client: Any,
    tmp_path: Any,
) -> None:
    write_lines(tmp_path / "feed.jsonl", entry(1))
    feed_id = await add(resources, "osv", str(tmp_path / "feed.jsonl"))
    await sync(resources, feed_id)
    write_channel(upstream.folder, {"linux-64": [make_record("a", "1.0")]})
    await person.mirror("main", upstream, subdirs=["linux-64"], every_s=3600)
    assert set((await count_sources(resources)).values()) == {0}
    assert "Stale" not in (await member_client.get("/channels")).text
    async with resources.context(LOCAL) as ctx:
        for table, where in (("mirror", "true"), ("feed", "id > 0")):
            await ctx.session.execute(
                text(
                    f"UPDATE {table} SET last_success_at = now() - interval '20 days', longest_gap_s = 60,"
                    f" changed_at = now() - interval '30 days' WHERE {where}"
                )
            )
    counts = await count_sources(resources)
    assert counts == {
        (what, condition): int(condition in ("stale", "frozen"))
        for what in ("feed", "mirror")
        for condition in CONDITIONS
    }
    assert describe_sources(counts)[0] == "1 feed stale: antivenom feed list"
    assert len((await member_client.get("/readyz")).json()["late"]) == 4
    dashboard = (await member_client.get("/")).text
    for title in (
        "The feed osv is stale",
        "The feed osv is frozen",
        "The mirror main is stale",
        "The mirror main is frozen",
    ):
        assert title in dashboard
    for page in ("/channels", "/channels/main/mirror", "/feeds", f"/feeds/{feed_id}"):
        shown = (await member_client.get(page)).text
        assert "Stale" in shown, page
        assert "Frozen" in shown, page
    for address in ("/api/v1/mirrors/main", f"/api/v1/feeds/{feed_id}"):
        answer = (await member_client.get(address)).json()
        assert answer["stale"].startswith("no sync has succeeded for 20 days"), answer
        assert answer["frozen"] == "nothing new for 30 days; before, something was new at least every 1 minute"
    metrics = (await member_client.get("/metrics")).text
    assert 'antivenom_sources{condition="frozen",what="mirror"} 1.0' in metrics
    assert 'antivenom_sources{condition="failing",what="feed"} 0.0' in metrics


def test_the_demo_is_never_stale() -> None:
    made = NOW - 100 * DAY
    assert feed_freshness(Feed(id=5, is_demo=True, every_s=60, created_at=made, longest_gap_s=0), NOW) == FRESH
    assert (
        mirror_freshness(Mirror(upstream="demo://upstream", every_s=60, created_at=made, longest_gap_s=0), NOW) == FRESH
    )
    assert (
        mirror_freshness(Mirror(upstream="https://up.example", every_s=60, created_at=made, longest_gap_s=0), NOW)
        != FRESH
    )
