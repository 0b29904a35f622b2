"""Feeds that come in pages, fail halfway, are not modified, overlap, or are asked for over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from antivenom.core.feeds.entry import READING_RULES
from antivenom.server.advisories import fetching, jobs, service, syncing
from antivenom.server.advisories.feed_state import FeedCursor
from antivenom.server.advisories.models import Feed
from antivenom.server.context import LOCAL, Resources
from antivenom.server.findings import service as matching
from antivenom.server.findings.jobs import await_feeds, compile_knowledge
from tests.server.advisories.conftest import EtagServer, FeedServer
from tests.server.advisories.test_feed_files import entry, json_lines
from tests.server.advisories.test_syncing import add, revisions, sync, write_lines


class NvdApi:
    """Three CVEs in pages of one; answers 500 while `is_broken_from` is at or before the asked index."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.is_broken_from = 99
        self.modified: list[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                api.asked.append(query)
                start = int(query["startIndex"])
                self.send_response(500 if start >= api.is_broken_from else 200)
                self.end_headers()
                self.wfile.write(json.dumps(api.page(query, start)).encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/rest/json/cves/2.0"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def page(self, query: dict[str, str], start: int) -> dict[str, Any]:
        ids = self.modified if "lastModStartDate" in query else ["CVE-2026-0001", "CVE-2026-0002", "CVE-2026-0003"]
        found = [{"cve": {"id": i, "descriptions": [], "lastModified": "2026-01-01T00:00:00.000"}} for i in ids]
        return {"totalResults": len(found), "startIndex": start, "vulnerabilities": found[start : start + 1]}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def nvd_api() -> Iterator[NvdApi]:
    api = NvdApi()
    yield api
    api.close()


async def test_nvd_pages_go_on_where_a_failure_stopped_them(resources: Resources, nvd_api: NvdApi) -> None:
    nvd_api.is_broken_from = 1
    feed_id = await add(resources, "nvd", nvd_api.url)
    feed = await sync(resources, feed_id)
    assert feed.state == "failed"
    assert feed.cursor.start_index == 1
    async with resources.context(LOCAL) as ctx:
        assert (await service.search_advisories(ctx)).total == 1
    nvd_api.is_broken_from = 99
    nvd_api.asked.clear()
    feed = await sync(resources, feed_id)
    assert (feed.state, feed.counts.entries) == ("ok", 3)
    whole = [int(query["startIndex"]) for query in nvd_api.asked if "lastModStartDate" not in query]
    assert whole == [1, 2]


async def test_nvd_asks_in_windows_for_what_was_modified(resources: Resources, nvd_api: NvdApi) -> None:
    feed_id = await add(resources, "nvd", nvd_api.url)
    through = (await sync(resources, feed_id)).cursor.through
    async with resources.context(LOCAL) as ctx:
        feed = await service.get_feed(ctx, feed_id, lock=True)
        long_ago = (ctx.now - fetching.NVD_WINDOW - timedelta(days=1)).isoformat()
        feed.cursor = FeedCursor(through=long_ago, rules=READING_RULES)
    nvd_api.asked.clear()
    nvd_api.modified = ["CVE-2026-0009"]
    feed = await sync(resources, feed_id)
    assert feed.counts.entries == 4
    first, second = nvd_api.asked
    assert first["lastModEndDate"] == second["lastModStartDate"]
    assert feed.cursor.through > through


async def test_a_sync_cut_off_while_storing_leaves_the_old_and_the_next_one_completes(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, entry(0))
    feed_id = await add(resources, "osv", str(path))
    await sync(resources, feed_id)
    write_lines(path, entry(1), entry(2))

    async def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(syncing, "_store_set_aside", cut)  # the rows are written, the cursor is not
        with pytest.raises(KeyboardInterrupt):
            await syncing.sync_feed(resources, feed_id)
    async with resources.context(LOCAL) as ctx:
        assert [v.id for v in (await service.search_advisories(ctx)).items] == ["PYSEC-2026-0"]
        assert (await service.get_feed(ctx, feed_id)).state == "syncing"
    assert (await sync(resources, feed_id)).state == "ok"
    async with resources.context(LOCAL) as ctx:
        assert [v.id for v in (await service.search_advisories(ctx, sort="id")).items] == [
            "PYSEC-2026-1",
            "PYSEC-2026-2",
        ]


async def test_a_file_that_is_not_modified_is_not_read_again(resources: Resources, feed_server: FeedServer) -> None:
    feed_id = await add(resources, "osv", feed_server.write("feed.jsonl", json_lines(2)))
    await sync(resources, feed_id)
    feed = await sync(resources, feed_id)
    assert (feed.state, feed.counts.entries) == ("ok", 2)
    assert feed.counts.read is None  # the server answered 304
    assert len(await revisions(resources)) == 1


async def test_a_file_with_the_known_etag_is_neither_sent_nor_read_and_the_feed_says_so(
    resources: Resources, app_client: Any, etag_server: EtagServer
) -> None:
    etag_server.body = json_lines(2)
    feed_id = await add(resources, "osv", f"{etag_server.url}/feed.jsonl")
    await sync(resources, feed_id)
    await sync(resources, feed_id)
    assert etag_server.answers == [(None, 200), (etag_server.etag, 304)]
    listed = (await app_client.get("/api/v1/feeds")).json()["items"]
    assert [f["outcome"] for f in listed] == ["nothing changed: 304 Not Modified"]
    assert listed[0]["entries"] == 2
    etag_server.body = json_lines(3)
    feed = await sync(resources, feed_id)
    assert etag_server.answers[2][1] == 200
    assert (feed.counts.added, feed.counts.changed) == (1, 0)
    assert (await app_client.get(f"/api/v1/feeds/{feed_id}")).json()["outcome"] == "1 added"


async def test_of_a_feed_with_few_changes_only_those_rows_are_written(resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, *(entry(n) for n in range(3_000)))
    feed_id = await add(resources, "osv", str(path))
    await sync(resources, feed_id)
    before = await row_versions(resources)
    write_lines(path, *(entry(n, summary="new" if n < 10 else "") for n in range(3_000)))
    feed = await sync(resources, feed_id)
    assert (feed.counts.changed, feed.counts.entries) == (10, 3_000)
    after = await row_versions(resources)
    rewritten = {key for key, version in after.items() if before[key] != version}
    assert rewritten == {(table, f"PYSEC-2026-{n}") for table in ("advisory", "vulnerability") for n in range(10)}


async def row_versions(resources: Resources) -> dict[tuple[str, str], str]:
    """Which transaction wrote each row, by table and id."""
    tables = ("advisory", "vulnerability")
    listed = " UNION ALL ".join(f"SELECT '{table}', id, xmin::text FROM {table}" for table in tables)
    async with resources.context(LOCAL) as ctx:
        return {(table, row): version for table, row, version in await ctx.session.execute(text(listed))}


async def test_due_feeds_are_queued_and_failures_wait_longer_each_time(resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, entry(0))
    async with resources.context(LOCAL) as ctx:
        feed_id = (await service.add_feed(ctx, "osv", str(path), every_s=3600)).id
    feed = await sync(resources, feed_id)
    assert feed.next_sync_at - feed.last_success_at == timedelta(hours=1)
    await jobs.sync_due(resources)
    assert await state(resources, feed_id) == "ok"
    path.unlink()
    now = resources.clock()
    resources.clock = lambda: now
    pauses = []
    for _ in range(3):
        feed = await sync(resources, feed_id)
        pauses.append((feed.next_sync_at - feed.last_sync_at).total_seconds())
    assert pauses == [30, 60, 120]
    async with resources.context(LOCAL) as ctx:
        await ctx.session.execute(text("UPDATE feed SET next_sync_at = now() - interval '1 hour'"))
    await jobs.sync_due(resources)
    assert await state(resources, feed_id) == "queued"


async def test_feeds_that_a_clock_ahead_planned_are_due_and_read_from_the_beginning(
    resources: Resources, nvd_api: NvdApi
) -> None:
    feed_id = await add(resources, "nvd", nvd_api.url)
    await sync(resources, feed_id)
    nvd_api.asked.clear()
    now = resources.clock()
    resources.clock = lambda: now - timedelta(days=400)
    async with resources.context(LOCAL) as ctx:
        await ctx.session.execute(text("UPDATE feed SET every_s = 3600, next_sync_at = now() + interval '1 hour'"))
    await jobs.sync_due(resources)
    assert await state(resources, feed_id) == "queued"
    feed = await sync(resources, feed_id)
    assert feed.state == "ok"
    assert "lastModStartDate" not in nvd_api.asked[0]


async def state(resources: Resources, feed_id: int) -> str:
    async with resources.context(LOCAL) as ctx:
        return (await service.get_feed(ctx, feed_id)).state


async def test_matching_is_compiled_once_after_the_last_of_many_feeds(resources: Resources, tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.jsonl" for n in (1, 2)]
    for number, path in enumerate(paths):
        write_lines(path, entry(number))
    first, second = [await add(resources, "osv", str(path)) for path in paths]
    await sync(resources, first)
    await await_feeds(resources)
    assert await compilations(resources) == 0  # the second still waits to be read
    await sync(resources, second)
    await await_feeds(resources)
    await await_feeds(resources)
    assert await compilations(resources) == 1
    await compile_knowledge(resources)
    keys = [r.index_key for r in await revisions(resources)]
    assert keys[0] is None
    assert keys[1] is not None


async def test_who_asks_for_a_match_has_knowledge_compiled_at_once(
    resources: Resources, app_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "MATCH_PATIENCE_S", 0.1)  # no worker runs here: nobody would compile
    path = tmp_path / "feed.jsonl"
    write_lines(path, entry(1))
    feed_id = await add(resources, "osv", str(path))
    await sync(resources, feed_id)
    async with resources.context(LOCAL) as ctx:
        feed = await service.get_feed(ctx, feed_id)
        feed.created_at = feed.asked_at = ctx.now - timedelta(days=1)
    body = {"components": [{"purl": "pkg:pypi/demo-package-1@0.1"}]}
    await app_client.post("/api/v1/match", json=body)
    assert await compilations(resources) == 0  # nobody asked for the feed lately
    await app_client.post(f"/api/v1/feeds/{feed_id}/sync")
    await sync(resources, feed_id)
    await app_client.post("/api/v1/match", json=body)
    assert await compilations(resources) == 1


async def compilations(resources: Resources) -> int:
    """How many compilations wait for a worker."""
    async with resources.context(LOCAL) as ctx:
        counted = text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'findings.compile'")
        return int(await ctx.session.scalar(counted))


def write_kev(path: Path, *cves: str) -> None:
    path.write_text(json.dumps({"vulnerabilities": [{"cveID": c, "dateAdded": "2026-03-01"} for c in cves]}))


async def test_removing_one_kev_feed_loses_nothing_that_another_says(resources: Resources, tmp_path: Path) -> None:
    one, other, osv = tmp_path / "one.json", tmp_path / "other.json", tmp_path / "osv.jsonl"
    write_kev(one, "CVE-2026-0001", "CVE-2026-0002")
    write_kev(other, "CVE-2026-0001")
    write_lines(osv, *({**entry(n), "id": f"CVE-2026-000{n}"} for n in (1, 2)))
    await sync(resources, await add(resources, "osv", str(osv)))
    first, second = await add(resources, "kev", str(one)), await add(resources, "kev", str(other))
    await sync(resources, first)
    await sync(resources, second)
    async with resources.context(LOCAL) as ctx:
        await service.remove_feed(ctx, first)
    assert "CVE-2026-0001" in await exploited(resources)
    await sync(resources, second)
    assert await exploited(resources) == ["CVE-2026-0001"]


async def exploited(resources: Resources) -> list[str]:
    async with resources.context(LOCAL) as ctx:
        return [v.id for v in (await service.search_advisories(ctx, kev=True, sort="id")).items]


async def test_feeds_and_advisories_over_http(app_client: Any, resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, *(entry(n, aliases=[f"CVE-2026-000{n}"]) for n in range(3)))
    with path.open("ab") as file:
        file.write(b'{"id": "PYSEC-2026-7", "affected": [}\n')
    added = await app_client.post("/api/v1/feeds", json={"kind": "osv", "location": str(path), "every_s": 3600})
    assert added.status_code == 201
    feed_id = added.json()["id"]
    assert (await app_client.post("/api/v1/feeds", json={"kind": "osv", "location": str(path)})).status_code == 409
    assert (await app_client.post(f"/api/v1/feeds/{feed_id}/sync")).status_code == 202
    await syncing.sync_feed(resources, feed_id)
    listed = (await app_client.get("/api/v1/feeds")).json()["items"]
    assert [(f["state"], f["entries"], f["set_aside"]) for f in listed] == [("ok", 3, 1)]
    aside = (await app_client.get(f"/api/v1/feeds/{feed_id}/set-aside")).json()
    assert (aside["total"], "PYSEC-2026-7" in aside["items"][0]["entry"]) == (1, True)
    page = (await app_client.get("/api/v1/advisories", params={"sort": "id", "page": 2, "page_size": 2})).json()
    assert (page["total"], [a["id"] for a in page["items"]]) == (3, ["CVE-2026-0002"])
    found = (await app_client.get("/api/v1/advisories", params={"q": "demo-package-1"})).json()
    assert [a["id"] for a in found["items"]] == ["CVE-2026-0001"]
    one = (await app_client.get("/api/v1/advisories/PYSEC-2026-1")).json()
    assert one["ids"] == ["CVE-2026-0001", "PYSEC-2026-1"]
    assert (await app_client.get("/api/v1/advisories", params={"sort": "colour"})).status_code in (400, 422)
    assert (await app_client.delete(f"/api/v1/feeds/{feed_id}")).status_code == 204
    assert (await app_client.get(f"/api/v1/feeds/{feed_id}")).status_code == 404
    assert (await app_client.get("/api/v1/advisories/PYSEC-2026-1")).status_code == 404


async def test_real_feeds_load_through_the_service(resources: Resources, shared_data: Path) -> None:
    data = shared_data / "data"
    real: list[tuple[str, Path, int]] = [
        ("osv", data / "advisories/osv-pypi-2026-03-01.jsonl.zst", 3_000),
        ("kev", data / "advisories/kev.json.gz", 1_500),
        ("epss", data / "advisories/epss_scores-2026-01-30.csv.gz", 300_000),
        ("name-map", data / "mapping/conda-pypi.tsv.zst", 40_000),
    ]
    for kind, path, at_least in real:
        feed: Feed = await sync(resources, await add(resources, kind, str(path)))
        assert (feed.state, feed.last_error) == ("ok", "")
        assert feed.counts.entries >= at_least
    async with resources.context(LOCAL) as ctx:
        assert (await service.search_advisories(ctx, q="django")).total > 10
        assert (await service.search_advisories(ctx, epss_min=0.5)).total > 10
        assert (await service.get_advisory(ctx, "CVE-2021-44228")).epss > 0.9  # scored, though no feed here tells of it


async def test_a_fault_of_our_own_ends_as_a_failure_that_is_tried_again(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "feed.jsonl"
    write_lines(path, entry(1))
    feed_id = await add(resources, "osv", str(path))
    with monkeypatch.context() as patched:
        patched.setattr(syncing, "store_part", lambda *_, **__: 1 / 0)
        feed = await sync(resources, feed_id)
    assert feed.state == "failed"
    assert "something went wrong on the server" in feed.last_error
    assert feed.next_sync_at is not None
    assert (await sync(resources, feed_id)).state == "ok"
