"""Feeds end to end on a real database: what is stored, what changes, what a failure leaves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from httpx2 import AsyncClient
from sqlalchemy import select, text

from antivenom.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError, OutboundRefusedError
from antivenom.core.feeds.registry import SOURCES
from antivenom.server import rooms
from antivenom.server.advisories import jobs, queries, service, storing, syncing
from antivenom.server.advisories.models import Feed, KnowledgeRevision
from antivenom.server.context import LOCAL, Actor, Resources
from antivenom.server.events.queue import OwnJobs, open_queue, run_lanes
from antivenom.server.events.upstream_slots import SYNCS_PER_UPSTREAM
from tests.server.advisories.conftest import FeedServer
from tests.server.advisories.test_feed_files import entry, zipped
from tests.waiting import until

TOKEN = Actor("token", "ci", "admin")


async def add(resources: Resources, kind: str, location: str) -> int:
    async with resources.context(LOCAL) as ctx:
        return (await service.add_feed(ctx, kind, location)).id


async def sync(resources: Resources, feed_id: int) -> Feed:
    await syncing.sync_feed(resources, feed_id)
    async with resources.context(LOCAL) as ctx:
        return await service.get_feed(ctx, feed_id)


async def revisions(resources: Resources) -> list[KnowledgeRevision]:
    async with resources.context(LOCAL) as ctx:
        return list(await ctx.session.scalars(select(KnowledgeRevision).order_by(KnowledgeRevision.id)))


async def events(resources: Resources, kind: str) -> list[dict[str, object]]:
    async with resources.context(LOCAL) as ctx:
        rows = await ctx.session.execute(text("SELECT data FROM event WHERE kind = :k ORDER BY id"), {"k": kind})
        return [data for (data,) in rows]


def write_lines(path: Path, *entries: dict[str, object]) -> None:
    path.write_bytes(b"".join(json.dumps(e).encode() + b"\n" for e in entries))


async def test_a_feed_is_stored_and_an_unchanged_one_writes_nothing(resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, *(entry(n) for n in range(5)))
    feed_id = await add(resources, "osv", str(path))
    feed = await sync(resources, feed_id)
    assert (feed.state, feed.counts.added, feed.counts.entries) == ("ok", 5, 5)
    (revision,) = await revisions(resources)
    assert revision.package_keys == [f"pypi/demo-package-{n}" for n in range(5)]
    path.touch()
    feed = await sync(resources, feed_id)
    assert (feed.counts.added, feed.counts.changed, feed.counts.entries) == (0, 0, 5)
    assert len(await revisions(resources)) == 1
    assert [e["revision"] for e in await events(resources, "feed.synced")] == [revision.id, None]


async def test_what_changes_disappears_or_is_withdrawn_is_told_by_package(resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, *(entry(n) for n in range(4)))
    feed_id = await add(resources, "osv", str(path))
    await sync(resources, feed_id)
    write_lines(path, entry(0), entry(1, summary="new"), entry(2, withdrawn="2026-02-01T00:00:00Z"))
    feed = await sync(resources, feed_id)
    counts = {k: getattr(feed.counts, k) for k in ("added", "changed", "removed", "withdrawn", "entries")}
    assert counts == {"added": 0, "changed": 2, "removed": 1, "withdrawn": 1, "entries": 3}
    assert (await revisions(resources))[-1].package_keys == [f"pypi/demo-package-{n}" for n in (1, 2, 3)]
    assert (await events(resources, "feed.synced"))[-1]["removed"] == ["PYSEC-2026-3"]
    async with resources.context(LOCAL) as ctx:
        assert (await service.get_advisory(ctx, "PYSEC-2026-2")).withdrawn == "2026-02-01T00:00:00Z"
        with pytest.raises(NotFoundError):
            await service.get_advisory(ctx, "PYSEC-2026-3")


async def test_an_entry_that_breaks_keeps_what_was_stored_of_it(resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, entry(0), entry(1))
    feed_id = await add(resources, "osv", str(path))
    await sync(resources, feed_id)
    path.write_bytes(json.dumps(entry(0)).encode() + b'\n{"id": "PYSEC-2026-1", "affected": [}\n')
    feed = await sync(resources, feed_id)
    assert (feed.counts.set_aside, feed.counts.removed, feed.counts.entries) == (1, 0, 2)
    async with resources.context(LOCAL) as ctx:
        (aside,) = (await service.list_set_aside(ctx, feed_id)).items
    assert "PYSEC-2026-1" in aside.entry
    assert "not JSON" in aside.reason


@pytest.mark.parametrize("bad", [b"\x1f\x8b\x08\x00truncated", b'{"catalogVersion": "1", "vulnerabilities": []}', b""])
async def test_a_failing_sync_keeps_the_data_and_shows_why(resources: Resources, tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, entry(0))
    feed_id = await add(resources, "osv", str(path))
    await sync(resources, feed_id)
    path.write_bytes(bad)
    feed = await sync(resources, feed_id)
    assert (feed.state, feed.failures, feed.counts.entries) == ("failed", 1, 1)
    assert feed.last_error
    assert feed.next_sync_at is not None
    async with resources.context(LOCAL) as ctx:
        assert (await service.get_advisory(ctx, "PYSEC-2026-0")).ids == ("PYSEC-2026-0",)
    write_lines(path, entry(0))
    assert (await sync(resources, feed_id)).state == "ok"


async def test_aliases_are_one_vulnerability_under_every_id(resources: Resources, tmp_path: Path) -> None:
    osv, kev, epss = tmp_path / "osv.jsonl", tmp_path / "kev.json", tmp_path / "epss.csv"
    write_lines(
        osv,
        entry(1, aliases=["CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"], related=["CVE-2026-0009"]),
        {**entry(2), "id": "GHSA-aaaa-bbbb-cccc", "aliases": ["CVE-2026-0001"], "summary": "Worse"},
        {**entry(3), "id": "CVE-2026-0009"},
    )
    kev.write_text(json.dumps({"vulnerabilities": [{"cveID": "CVE-2026-0001", "dateAdded": "2026-03-01"}]}))
    epss.write_text(
        "#score_date:2026-03-02T00:00:00Z\ncve,epss,percentile\nCVE-2026-0001,0.7,0.9\nCVE-2026-0009,0.1,0.2\n"
    )
    for kind, path in (("osv", osv), ("kev", kev), ("epss", epss)):
        assert (await sync(resources, await add(resources, kind, str(path)))).state == "ok"
    async with resources.context(LOCAL) as ctx:
        view = await service.get_advisory(ctx, "ghsa-AAAA-bbbb-cccc")
        assert view.ids == ("CVE-2026-0001", "GHSA-aaaa-bbbb-cccc", "PYSEC-2026-1")
        assert (view.kev, view.epss, view.kev_added) == (True, 0.7, "2026-03-01")
        assert {a.package for a in view.affected} == {"demo-package-1", "demo-package-2"}
        assert [v.id for v in (await service.search_advisories(ctx)).items] == ["CVE-2026-0001", "CVE-2026-0009"]
        assert [v.id for v in (await service.search_advisories(ctx, kev=True)).items] == ["CVE-2026-0001"]
        assert (await service.search_advisories(ctx, epss_min=0.5)).total == 1
        for words in ("PYSEC-2026-1 demo-package-2", "ghsa-aaaa cve-2026-0001"):
            assert [v.id for v in (await service.search_advisories(ctx, q=words)).items] == ["CVE-2026-0001"]
        assert (await service.search_advisories(ctx, q="worse")).items[0].summary == "Worse"
        assert (await service.search_advisories(ctx, q="demo-package-2 nowhere")).total == 0
    kev.write_text(json.dumps({"vulnerabilities": [{"cveID": "CVE-2026-0009", "dateAdded": "2026-03-05"}]}))
    async with resources.context(LOCAL) as ctx:
        kev_feed = (await queries.list_feeds_of_kind(ctx.session, "kev"))[0].id
    await sync(resources, kev_feed)
    async with resources.context(LOCAL) as ctx:
        assert [v.id for v in (await service.search_advisories(ctx, kev=True)).items] == ["CVE-2026-0009"]


async def test_an_alias_that_goes_splits_the_group(resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "osv.jsonl"
    write_lines(path, entry(1, aliases=["CVE-2026-0001"]), {**entry(2), "id": "CVE-2026-0001"})
    feed_id = await add(resources, "osv", str(path))
    await sync(resources, feed_id)
    write_lines(path, entry(1), {**entry(2), "id": "CVE-2026-0001"})
    await sync(resources, feed_id)
    async with resources.context(LOCAL) as ctx:
        found = await service.search_advisories(ctx, sort="id")
        assert [list(v.ids) for v in found.items] == [["CVE-2026-0001"], ["PYSEC-2026-1"]]


def test_entries_of_every_kind_are_stored_and_counted_by_its_table() -> None:
    """Another kind of a known table needs nothing in the server (docs/dev/how-to-add-a-feed.md)."""
    assert set(queries.FEED_COLUMNS) == set(storing.STAGING)
    assert {source.TABLE for source in SOURCES.values()} <= set(storing.STAGING)


async def test_removing_a_feed_removes_what_only_it_brought(resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "osv.jsonl"
    write_lines(path, entry(1))
    feed_id = await add(resources, "osv", str(path))
    await sync(resources, feed_id)
    async with resources.context(LOCAL) as ctx:
        await service.remove_feed(ctx, feed_id)
    assert (await revisions(resources))[-1].package_keys == ["pypi/demo-package-1"]
    async with resources.context(LOCAL) as ctx:
        assert (await service.search_advisories(ctx)).total == 0


async def test_a_bucket_is_read_whole_once_and_then_by_what_changed(
    resources: Resources, feed_server: FeedServer
) -> None:
    singles = {f"PYSEC-2026-{n}.json": json.dumps(entry(n)).encode() for n in range(3)}
    url = feed_server.write("PyPI/all.zip", zipped(singles))
    feed_server.write("PyPI/modified_id.csv", b"2026-01-02T00:00:00Z,PYSEC-2026-1\n2026-01-01T00:00:00Z,PYSEC-2026-0\n")
    feed_id = await add(resources, "osv", url)
    assert (await sync(resources, feed_id)).counts.added == 3
    changed = json.dumps(entry(2, summary="changed")).encode()
    feed_server.write("PyPI/PYSEC-2026-2.json", changed)
    feed_server.write("PyPI/PYSEC-2026-1.json", singles["PYSEC-2026-1.json"])
    feed_server.write(
        "PyPI/modified_id.csv",
        b"2026-02-02T00:00:00Z,PYSEC-2026-2\n2026-02-01T00:00:00Z,PYSEC-2026-404\n2026-01-02T00:00:00Z,PYSEC-2026-1\n",
    )
    feed_server.asked.clear()
    feed = await sync(resources, feed_id)
    assert (feed.state, feed.counts.changed, feed.counts.removed, feed.counts.set_aside) == ("ok", 1, 0, 1)
    assert "/PyPI/all.zip" not in feed_server.asked
    feed_server.asked.clear()
    feed = await sync(resources, feed_id)
    assert feed.counts.changed == 0
    assert feed_server.asked[0] == "/PyPI/modified_id.csv"


async def test_an_address_without_a_file_name_may_be_a_file(resources: Resources, feed_server: FeedServer) -> None:
    """As forges offer a repository's archive: …/tar.gz/refs/heads/main."""
    url = feed_server.write("tar.gz/refs/heads/main", zipped({"a/PYSEC-2026-1.json": json.dumps(entry(1)).encode()}))
    feed_id = await add(resources, "osv", url)
    feed = await sync(resources, feed_id)
    assert (feed.state, feed.counts.added, feed.last_error) == ("ok", 1, "")
    assert (await sync(resources, feed_id)).counts.unchanged == "304 Not Modified"
    feed_server.write("tar.gz/refs/heads/main", zipped({"a/PYSEC-2026-2.json": json.dumps(entry(2)).encode()}))
    feed = await sync(resources, feed_id)
    assert (feed.counts.added, feed.counts.removed) == (1, 1)


async def test_a_missing_file_fails_with_the_reason(resources: Resources, feed_server: FeedServer) -> None:
    feed = await sync(resources, await add(resources, "kev", f"{feed_server.url}/gone.json"))
    assert feed.state == "failed"
    assert "404" in feed.last_error


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("file:///etc/passwd", InvalidInputError),
        ("ftp://example.org/x", InvalidInputError),
        ("relative/path", InvalidInputError),
        ("/does/not/exist", InvalidInputError),
        ("http://169.254.169.254/latest", OutboundRefusedError),
        ("http://10.0.0.1/x", OutboundRefusedError),
        ("http:///x", InvalidInputError),
        ("", InvalidInputError),
    ],
)
async def test_a_location_that_may_not_be_read_is_refused(resources: Resources, location: str, error: type) -> None:
    async with resources.context(LOCAL) as ctx:
        with pytest.raises(error):
            await service.add_feed(ctx, "osv", location)
        assert (await service.list_feeds(ctx)).total == 0


async def test_only_the_local_administrator_names_paths(resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, entry(1))
    async with resources.context(TOKEN) as ctx:
        with pytest.raises(ForbiddenError):
            await service.add_feed(ctx, "osv", str(path))


async def test_a_feed_is_added_once_and_of_a_known_kind(resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, entry(1))
    await add(resources, "osv", str(path))
    async with resources.context(LOCAL) as ctx:
        with pytest.raises(ConflictError):
            await service.add_feed(ctx, "osv", str(path))
        with pytest.raises(InvalidInputError, match="not of kind kev"):
            await service.add_feed(ctx, "kev", str(path))
        with pytest.raises(InvalidInputError) as refused:
            await service.add_feed(ctx, "ovs", str(path))
        assert "osv" in refused.value.hint


async def test_the_api_answers_what_a_sync_counted_and_nothing_before(
    resources: Resources, app_client: AsyncClient, feed_server: FeedServer
) -> None:
    """The keys of `counts` and `progress` are those that clients of earlier releases know."""
    url = feed_server.write("feed.jsonl", b"".join(json.dumps(entry(n)).encode() + b"\n" for n in range(2)))
    feed_id = await add(resources, "osv", url)
    path = f"/api/v1/feeds/{feed_id}"
    new = (await app_client.get(path)).json()
    assert (new["counts"], new["progress"]["phase"], new["outcome"]) == ({}, "waiting for a worker", "")
    await sync(resources, feed_id)
    read = (await app_client.get(path)).json()
    counted = {"added": 2, "changed": 0, "removed": 0, "withdrawn": 0, "set_aside": 0, "read": 2, "entries": 2}
    assert (read["counts"], read["progress"], read["outcome"]) == (counted, {}, "2 added")
    await sync(resources, feed_id)
    unchanged = (await app_client.get(path)).json()
    assert unchanged["counts"] == {
        **dict.fromkeys(("added", "changed", "removed", "withdrawn", "set_aside"), 0),
        "unchanged": "304 Not Modified",
        "entries": 2,
    }
    assert unchanged["outcome"] == "nothing changed: 304 Not Modified"
    listed = (await app_client.get("/api/v1/feeds?sort=-entries")).json()
    assert (listed["items"], listed["total"]) == ([unchanged], 1)
    async with resources.context(LOCAL) as ctx:
        stored = (await ctx.session.execute(text("SELECT counts, cursor, progress FROM feed"))).one()
    assert stored.counts == unchanged["counts"]
    assert stored.cursor.keys() == {"last_modified", "rules", "sha256"}
    assert stored.progress == {}


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"etag": None, "last_modified": "Mon, 01 Jan 2026 00:00:00 GMT", "sha256": "00", "whole_at": "2026-01-01"},
        {"through": None, "started": "2026-01-01T00:00:00+00:00", "start_index": 2000},
        {"fingerprint": "1-2-3", "pending": {"keys": ["pypi/a"], "everything": False, "removed": ["PYSEC-1"]}},
        {"of_a_later_release": 1, "pending": {"keys": [], "everything": True}},
    ],
)
async def test_positions_that_other_releases_stored_are_read(
    resources: Resources, tmp_path: Path, stored: dict[str, object]
) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, entry(0))
    feed_id = await add(resources, "osv", str(path))
    async with resources.context(LOCAL) as ctx:
        await ctx.session.execute(text("UPDATE feed SET cursor = CAST(:c AS jsonb)"), {"c": json.dumps(stored)})
    feed = await sync(resources, feed_id)
    assert (feed.state, feed.cursor.pending) == ("ok", None)
    (revision,) = await revisions(resources)
    pending = stored.get("pending", {})
    assert isinstance(pending, dict)
    assert set(pending.get("keys", ())) <= set(revision.package_keys)
    assert revision.everything == pending.get("everything", False)


async def test_a_feed_that_an_earlier_release_read_by_other_rules_is_read_anew_once(
    resources: Resources, tmp_path: Path
) -> None:
    path, gone = tmp_path / "feed.jsonl", tmp_path / "gone.jsonl"
    for location in (path, gone):
        write_lines(location, entry(0))
        await sync(resources, await add(resources, "osv", str(location)))
    gone.unlink()
    assert await asked_to_reread(resources) == []
    async with resources.context(LOCAL) as ctx:
        await ctx.session.execute(text("UPDATE feed SET cursor = cursor - 'rules' WHERE id <> 0"))
        await ctx.session.execute(text("UPDATE advisory SET summary = 'by older rules'"))
    (feed_id,) = await asked_to_reread(resources)
    feed = await sync(resources, feed_id)
    assert (feed.location, feed.counts.unchanged, feed.counts.read) == (str(path), None, 1)
    assert await asked_to_reread(resources) == []


async def asked_to_reread(resources: Resources) -> list[int]:
    await jobs.reread(resources)
    async with resources.context(LOCAL) as ctx:
        return list(await ctx.session.scalars(select(Feed.id).where(Feed.state == "queued")))


async def test_feeds_of_one_host_are_all_read_within_a_moment(resources: Resources, feed_server: FeedServer) -> None:
    """More than may read it at once: the rest waits for nobody's clock tick."""
    feeds = []
    for n in range(SYNCS_PER_UPSTREAM + 2):
        url = feed_server.write(f"{n}.jsonl", json.dumps(entry(n)).encode())
        feeds.append(await add(resources, "osv", url))
    list(rooms.load("jobs"))
    async with open_queue(resources) as app:
        running = asyncio.create_task(run_lanes(app, OwnJobs(), jobs_at_once=8, patience_s=0.1))

        async def are_all_read() -> bool:
            async with resources.context(LOCAL) as ctx:
                return all([(await service.get_feed(ctx, feed)).state == "ok" for feed in feeds])

        await until(are_all_read)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
