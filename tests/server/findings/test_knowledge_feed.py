"""Feeds of knowledge through the real path: added, synced, compiled, overriding, removed; and the one that is built in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom import __version__, knowledge
from antivenom.core.errors import ConflictError
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.server.advisories import built_in, service
from antivenom.server.advisories.feed_state import FeedCursor
from antivenom.server.advisories.models import BUILT_IN_ID, Feed, KnowledgeRevision
from antivenom.server.advisories.storing import STORE_LOCK
from antivenom.server.context import LOCAL, Resources
from antivenom.server.events.freshness import FRESH
from tests.server.findings.test_match import conda, learn, match

NAMES = "conda\tproducts\tpart_of\tpackages\tnative\tsource\tchecked\n"
RELEASES = "product\taffected\tids\tsource\tchecked\n"
IGNORE = "ignore\tapplies_to\tlooks_at\twords\tunless\treason\tsource\tchecked\n"
REMOVE = "remove\tsource\tchecked\n"
FROM = "\tour security team\t2026-11-28\n"


def product(advisory_id: str, name: str, fixed: str, summary: str = "") -> Advisory:
    bounds = AffectedRange("cpe", None, fixed=fixed)
    return Advisory(advisory_id, "nvd", summary=summary, affected=(AffectedPackage("cpe", name, (bounds,)),))


async def add(client: Any, path: Path, text: str) -> dict[str, Any]:
    path.write_text(text)
    answer = await client.post("/api/v1/feeds", json={"kind": "knowledge", "location": str(path)})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def found(client: Any, name: str, version: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Ids of the findings; (id, rule) of what is ignored."""
    body = {"components": [conda(name, version)], "include_ignored": True}
    [answer] = (await client.post("/api/v1/match", json=body)).json()
    ignored = [(f["ids"][0], f["ignored_by"]["rule"]) for f in answer["ignored"]]
    return [f["ids"][0] for f in answer["findings"]], ignored


@pytest.fixture
async def known(resources: Resources, run_jobs: Any) -> Resources:
    await learn(
        resources,
        product("CVE-2024-0001", "oracle:mysql", "8.1", "MySQL Server (component: InnoDB)"),
        product("CVE-2024-0002", "acme:widget", "2.0"),
        product("CVE-2024-0003", "haxx:curl", "8.0"),
    )
    await run_jobs(resources)
    return resources


async def test_a_feed_extends_overrides_and_switches_off(
    known: Resources, app_client: Any, run_jobs: Any, tmp_path: Path
) -> None:
    assert await found(app_client, "mysql-libs", "8.0") == ([], [("CVE-2024-0001", "parts/mysql-libs")])
    assert await found(app_client, "acme-tool", "1.0") == ([], [])
    assert await found(app_client, "libcurl", "7.88.0") == (["CVE-2024-0003"], [])
    text = (
        f"{NAMES}acme-tool\tacme:widget\t-\t-\t-{FROM}{RELEASES}acme:widget\t..1.5\tCVE-2024-0002{FROM}"
        f"{REMOVE}ignore/server-side{FROM}parts/mysql-libs{FROM}names/libcurl{FROM}"
    )
    feed = await add(app_client, tmp_path / "ours.tsv", text)
    assert await run_jobs(known) == []
    assert await found(app_client, "mysql-libs", "8.0") == (["CVE-2024-0001"], [])
    assert await found(app_client, "acme-tool", "1.0") == (["CVE-2024-0002"], [])
    assert await found(app_client, "acme-tool", "1.9") == (
        [],
        [("CVE-2024-0002", "releases/acme:widget/CVE-2024-0002")],
    )
    assert await found(app_client, "libcurl", "7.88.0") == ([], [])
    shown = (await app_client.get(f"/api/v1/feeds/{feed['id']}")).json()
    assert (shown["entries"], shown["outcome"], shown["built_in"], shown["version"]) == (5, "5 added", False, "")


async def test_the_feed_that_was_added_last_decides_and_takes_its_rows_along_when_it_goes(
    known: Resources, app_client: Any, run_jobs: Any, tmp_path: Path
) -> None:
    row = f"{IGNORE}server-side\tpart\tsummary\t"
    await add(
        app_client,
        tmp_path / "one.tsv",
        f"{row}optimizer\t-\tThe client has no optimizer.{FROM}{REMOVE}parts/mysql-libs{FROM}",
    )
    last = await add(app_client, tmp_path / "two.tsv", f"{row}innodb\t-\tThe client has no tables.{FROM}")
    await run_jobs(known)
    body = {"components": [conda("mysql-libs", "8.0")], "include_ignored": True}
    [answer] = (await app_client.post("/api/v1/match", json=body)).json()
    assert answer["ignored"][0]["ignored_by"] == {"rule": "ignore/server-side", "reason": "The client has no tables."}
    assert (await app_client.delete(f"/api/v1/feeds/{last['id']}")).status_code == 204
    await run_jobs(known)
    assert await found(app_client, "mysql-libs", "8.0") == (["CVE-2024-0001"], [])


async def test_a_malformed_row_is_set_aside_with_its_line(
    known: Resources, app_client: Any, run_jobs: Any, tmp_path: Path
) -> None:
    text = f"{NAMES}acme-tool\tacme\t-\t-\t-{FROM}acme-lib\tacme:widget\t-\t-\t-{FROM}"
    feed = await add(app_client, tmp_path / "ours.tsv", text)
    await run_jobs(known)
    assert await found(app_client, "acme-lib", "1.0") == (["CVE-2024-0002"], [])
    answer = await app_client.get(f"/api/v1/feeds/{feed['id']}/set-aside")
    [aside] = answer.json()["items"]
    assert aside["entry"] == "ours.tsv line 2"
    assert aside["reason"] == "products: 'acme' is not what this column holds"


async def test_a_file_of_another_kind_is_refused(app_client: Any, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_text('{"id": "PYSEC-1", "modified": "2026-01-01T00:00:00Z", "affected": []}\n')
    answer = await app_client.post("/api/v1/feeds", json={"kind": "knowledge", "location": str(path)})
    assert answer.status_code == 422
    assert "a feed of kind osv" in answer.json()["detail"]


# -- what is built in -------------------------------------------------------------------------------------------------


async def test_what_is_built_in_is_listed_with_its_rows_and_its_release(resources: Resources, app_client: Any) -> None:
    await built_in.announce_built_in(resources)
    await built_in.announce_built_in(resources)
    [feed] = (await app_client.get("/api/v1/feeds")).json()["items"]
    assert (feed["id"], feed["kind"], feed["location"]) == (BUILT_IN_ID, "knowledge", "built in")
    assert (feed["entries"], feed["version"], feed["built_in"]) == (len(knowledge.entries()), __version__, True)
    assert feed["outcome"] == f"comes with release {__version__}"
    assert (await app_client.get(f"/feeds/{BUILT_IN_ID}")).status_code in (200, 303)


async def test_what_is_built_in_is_neither_synced_nor_removed_nor_stale(resources: Resources, app_client: Any) -> None:
    await built_in.announce_built_in(resources)
    async with resources.context(LOCAL) as ctx:
        with pytest.raises(ConflictError, match="comes with the release"):
            await service.request_feed_sync(ctx, BUILT_IN_ID)
        with pytest.raises(ConflictError, match="comes with the release"):
            await service.remove_feed(ctx, BUILT_IN_ID)
        assert await service.request_feed_sync(ctx) == []
        assert (await service.current_knowledge(ctx)).feeds == ()
        assert service.freshness_of(await service.get_feed(ctx, BUILT_IN_ID), ctx.now) == FRESH


async def test_a_new_home_compiles_nothing_for_what_is_built_in(resources: Resources) -> None:
    await built_in.announce_built_in(resources)
    async with resources.context(LOCAL) as ctx:
        assert list(await ctx.session.scalars(select(KnowledgeRevision))) == []


async def test_a_release_that_knows_something_else_has_everything_compiled_anew(
    known: Resources, app_client: Any, run_jobs: Any
) -> None:
    await built_in.announce_built_in(known)
    await run_jobs(known)
    async with known.context(LOCAL) as ctx:
        feed = await ctx.session.get(Feed, BUILT_IN_ID)
        assert feed is not None
        feed.cursor = FeedCursor(version="0.0.1", digest="another")
        before = list(await ctx.session.scalars(select(KnowledgeRevision)))
    await built_in.announce_built_in(known)
    assert await run_jobs(known) == []
    async with known.context(LOCAL) as ctx:
        after = list(await ctx.session.scalars(select(KnowledgeRevision).order_by(KnowledgeRevision.id)))
    assert len(after) == len(before) + 1
    assert after[-1].index_key is not None
    assert await match(app_client, conda("libcurl", "7.88.0"))


async def test_vulnerabilities_are_formed_anew_while_no_feed_is_stored(
    known: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feed that is being stored forms some by the rules that it read before; both at once leaves these as they were."""
    await built_in.announce_built_in(known)
    async with known.context(LOCAL) as ctx:
        feed = await ctx.session.get(Feed, BUILT_IN_ID)
        assert feed is not None
        feed.cursor = FeedCursor(version="0.0.1", digest="another", malware="another")
    held = []

    async def forget(session: AsyncSession) -> None:
        held.append(await session.scalar(text(f"SELECT count(*) FROM pg_locks WHERE objid = {STORE_LOCK} AND granted")))

    monkeypatch.setattr(built_in, "forget_rules", forget)
    await built_in.announce_built_in(known)
    assert held == [1]


async def test_a_part_is_told_by_the_whole_description_whatever_else_its_row_quotes(
    resources: Resources, app_client: Any, run_jobs: Any, tmp_path: Path
) -> None:
    part = "part\town\tothers\trest\treason\tsource\tchecked\n"
    text = f"{NAMES}it-s\to'brien:it's\t-\t-\t-{FROM}{part}it-s\town'\t-\tother\tIt is of the rest.{FROM}"
    await add(app_client, tmp_path / "ours.tsv", text)
    long = "x" * 400
    await learn(
        resources,
        msgspec.structs.replace(product("CVE-2024-0001", "postgresql:postgresql@x", "16.9"), details=f"{long} libpq"),
        msgspec.structs.replace(product("CVE-2024-0002", "postgresql:postgresql", "16.9"), details=f"{long} pg_trgm"),
        msgspec.structs.replace(product("CVE-2024-0003", "o'brien:it's", "2"), details=f"{long} the own' code"),
        product("CVE-2024-0004", "o'brien:it's", "2"),
    )
    await run_jobs(resources)
    assert await found(app_client, "libpq", "16.1") == (["CVE-2024-0001"], [("CVE-2024-0002", "parts/libpq")])
    assert await found(app_client, "it-s", "1.0") == (["CVE-2024-0003"], [("CVE-2024-0004", "parts/it-s")])
