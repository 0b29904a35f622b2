"""The audit trail: narrowing, ordering, exporting it, and what its page says."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from antivenom.core.errors import ForbiddenError, InvalidInputError
from antivenom.server.context import LOCAL, SYSTEM, Actor, Resources
from antivenom.server.events.models import Event
from antivenom.server.members import audit
from antivenom.server.members.audit_wording import describe_event

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ANA = Actor("member", "ana", "admin")
EVENTS = [
    (NOON, "member:ana", "policy.revised", "policy:baseline", {"number": 2, "gates": ["licenses"]}),
    (NOON + timedelta(hours=1), "system", "publication.published", "channel:main", {"number": 7, "kept": 1200}),
    (NOON + timedelta(hours=2), "token:ci", "mirror.failed", "channel:main", {"error": "50 %_of it came"}),
    (
        NOON + timedelta(days=2),
        "system",
        "feed.synced",
        "feed:3",
        {"feed_kind": "osv", "counts": {"read": 0, "added": 5}},
    ),
]


@pytest.fixture
async def recorded(resources: Resources) -> None:
    async with resources.context(SYSTEM) as ctx:
        for at, actor, kind, subject, data in EVENTS:
            ctx.session.add(Event(at=at, actor=actor, kind=kind, subject=subject, data=data))
            await ctx.session.flush()


async def kinds(resources: Resources, wanted: audit.EventFilter, sort: str = "-at") -> list[str]:
    async with resources.context(ANA) as ctx:
        return [event.kind for event in (await audit.list_events(ctx, wanted, sort=sort)).items]


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (audit.EventFilter(kind="policy.revised"), ["policy.revised"]),
        (audit.EventFilter(kind="policy"), ["policy.revised"]),
        (audit.EventFilter(kind="pol"), []),
        (audit.EventFilter(actor="system", subject="channel:main"), ["publication.published"]),
        (audit.EventFilter(q="OSV"), ["feed.synced"]),
        (audit.EventFilter(q="%_"), ["mirror.failed"]),
        (audit.EventFilter(q="ana"), ["policy.revised"]),
        (audit.EventFilter(since=NOON + timedelta(hours=2)), ["feed.synced", "mirror.failed"]),
        (audit.EventFilter(until=NOON + timedelta(hours=1)), ["policy.revised"]),
    ],
)
async def test_each_part_of_a_filter_narrows(resources: Resources, wanted: audit.EventFilter, left: list[str]) -> None:
    assert await kinds(resources, wanted) == left


@pytest.mark.usefixtures("recorded")
async def test_the_order_is_the_one_asked_for(resources: Resources) -> None:
    newest_first = await kinds(resources, audit.EventFilter())
    assert await kinds(resources, audit.EventFilter(), "at") == newest_first[::-1]
    assert await kinds(resources, audit.EventFilter(), "kind") == sorted(newest_first)
    with pytest.raises(InvalidInputError, match="cannot sort by 'data'"):
        await kinds(resources, audit.EventFilter(), "data")


@pytest.mark.usefixtures("recorded")
async def test_choices_are_counted_under_the_other_filters_only(resources: Resources) -> None:
    async with resources.context(ANA) as ctx:
        wanted = audit.EventFilter(actor="system", kind="feed.synced")
        assert await audit.count_kinds(ctx, wanted) == {"feed.synced": 1, "publication.published": 1}
        assert await audit.count_actors(ctx, wanted) == {"system": 1}


async def test_a_reader_may_not_see_the_trail(resources: Resources) -> None:
    async with resources.context(Actor("member", "rob", "member")) as ctx:
        for asking in (audit.list_events(ctx), audit.count_kinds(ctx, audit.EventFilter())):
            with pytest.raises(ForbiddenError):
                await asking
        with pytest.raises(ForbiddenError):
            await audit.iterate_events_as_csv(ctx, audit.EventFilter())


@pytest.mark.usefixtures("recorded")
async def test_the_api_streams_the_whole_trail_as_lines_and_as_a_table(app_client: Any) -> None:
    listed = (await app_client.get("/api/v1/events", params={"q": "main", "sort": "at"})).json()
    streamed = await app_client.get("/api/v1/events", params={"q": "main", "sort": "at", "stream": "1"})
    assert [json.loads(line) for line in streamed.text.splitlines()] == listed["items"]
    assert listed["total"] == 2
    table = await app_client.get("/api/v1/events.csv", params={"q": "main", "sort": "at"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["kind"] for row in rows] == ["publication.published", "mirror.failed"]
    assert json.loads(rows[0]["data"]) == {"number": 7, "kept": 1200}


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"},
        {"since": "2026-05-04T12:00:00"},
        {"sort": "colour"},
        {"q": "x" * 300},
        {"actor": "\0"},
        {"stream": "1", "subject": "a\0b"},
    ],
)
async def test_a_wrong_question_to_the_api_is_refused(app_client: Any, query: dict[str, str]) -> None:
    for path in ("/api/v1/events", "/api/v1/events.csv"):
        assert (await app_client.get(path, params=query)).status_code == 422


async def test_a_spreadsheet_is_given_no_formula(resources: Resources) -> None:
    async with resources.context(LOCAL) as ctx:
        subject = '=HYPERLINK("http://evil.example")'
        ctx.session.add(Event(at=NOON, actor="local", kind="demo.added", subject=subject, data={}))
    async with resources.context(LOCAL) as ctx:
        text = "".join([line async for line in await audit.iterate_events_as_csv(ctx, audit.EventFilter())])
    assert next(csv.DictReader(io.StringIO(text)))["subject"] == f"'{subject}"


def test_an_event_in_words_names_its_subject_and_page() -> None:
    words = [describe_event(Event(id=1, at=a, actor=b, kind=c, subject=d, data=e)) for a, b, c, d, e in EVENTS]
    assert [(w.actor_name, w.what, w.subject_name, w.href, w.is_failure) for w in words] == [
        ("ana", "Policy revised", "baseline", "/policies/baseline", False),
        ("Antivenom", "Publication published", "main", "/channels/main", False),
        ("ci", "Mirror failed", "main", "/channels/main", True),
        ("Antivenom", "Feed synced", "osv (feed 3)", "/feeds/3", False),
    ]
    assert words[1].facts == [("number", "7"), ("kept", "1,200")]
    assert words[3].facts == [("added", "5")]
