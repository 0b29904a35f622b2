"""What today's policy withholds cannot be downloaded: not by an old listing, not by another spelling of its path."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from antivenom.server.advisories.service import add_feed
from antivenom.server.channels.service import update_channel
from antivenom.server.context import LOCAL
from antivenom.server.distribution import superseded_files
from antivenom.server.publications import service as publications
from antivenom.server.web.answers import RequestHeaders
from tests.e2e.upstream_channel import Package, make_artifact, write_upstream
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer
from tests.waiting import until

OLD, NEW = Package("alpha", "1.0"), Package("alpha", "2.0")
NEEDS_OLD = Package("needs-old", "1.0", depends=("alpha 1.0",))
ALPHA_1 = f"/conda/main/noarch/{OLD.fn}"
CVE = "CVE-2023-0001"  # of the year of the packages: their builder may know it
BAN_ALPHA_1 = """
name: ban
rules:
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["alpha 1.0"]}}
"""
ALLOW_ALL = "name: ban\nrules: []\n"
STOP_ACTIVE = """
name: active
rules:
  - {id: active, gate: vulnerabilities, trigger: package, action: stop, params: {status: [active, reported]}}
"""


async def publish(person: Person, upstream: UpstreamServer, *packages: Package, policy: str | None = None) -> None:
    write_upstream(upstream.folder, list(packages), shards=False)
    await person.mirror("main", upstream, subdirs=["linux-64"], policy_text=policy)


async def republish(person: Person, upstream: UpstreamServer, ask: Asker, *packages: Package) -> None:
    """The upstream lists these packages only; the web process serves that publication when this returns."""
    write_upstream(upstream.folder, list(packages), shards=False)
    await person.sync("main")

    async def is_served() -> bool:
        document = json.loads((await ask("/conda/main/noarch/repodata.json")).body)
        return set(document["packages.conda"]) == {package.fn for package in packages}

    await until(is_served)


async def tell_of_a_vulnerability(person: Person, folder: Path, name: str, version: str) -> None:
    """An advisory about one version, matched by name."""
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "versions": [version]}
    advisory = {"id": CVE, "modified": "2026-01-01T00:00:00Z", "summary": "bad", "affected": [affected]}
    feed = folder / "feed"
    feed.mkdir()
    (feed / f"{CVE}.json").write_text(json.dumps(advisory))
    names = folder / "names.tsv"
    names.write_text(f"conda_name\tpypi_name\n{name}\t{name}\n")
    async with person.resources.context(LOCAL) as ctx:
        await add_feed(ctx, "name-map", str(names))
        await add_feed(ctx, "osv", str(feed))
    await person.run_jobs(person.resources)


async def test_a_file_that_left_the_index_stays_downloadable_while_the_policy_admits_it(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    await publish(person, upstream, OLD, NEW)
    stored = await ask(ALPHA_1)
    await republish(person, upstream, ask, NEW)
    again = await ask(ALPHA_1)
    assert (again.status, again.body) == (200, stored.body)
    assert ask.application.files.answer_from_cache(ALPHA_1.encode(), RequestHeaders()) is None  # never by memory alone


async def test_a_file_that_left_the_index_without_being_stored_is_not_found(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    await publish(person, upstream, OLD, NEW)
    await republish(person, upstream, ask, NEW)
    assert (await ask(ALPHA_1)).status == 404


async def test_a_later_policy_withholds_a_file_that_only_an_older_publication_lists(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    await publish(person, upstream, OLD, NEW)
    assert (await ask(ALPHA_1)).status == 200
    await republish(person, upstream, ask, NEW)
    await person.set_policy("main", BAN_ALPHA_1)
    for method in ("GET", "HEAD"):
        refused = await ask(ALPHA_1, method=method)
        assert refused.status == 403
    problem = json.loads((await ask(ALPHA_1)).body)
    assert (problem["policy"], problem["rule_id"], problem["allowed_version"]) == ("ban", "banned", "alpha>=2.0")
    assert (await ask(ALPHA_1, range="bytes=0-9")).status == 403
    assert (await ask(ALPHA_1, if_none_match="*")).status == 403


async def test_a_later_policy_releases_a_file_that_an_older_publication_withheld(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    await publish(person, upstream, OLD, NEW)
    stored = await ask(ALPHA_1)
    await person.set_policy("main", BAN_ALPHA_1)
    await republish(person, upstream, ask, NEW)
    assert (await ask(ALPHA_1)).status == 403
    await person.set_policy("main", ALLOW_ALL)
    released = await ask(ALPHA_1)
    assert (released.status, released.body) == (200, stored.body)


async def test_new_knowledge_withholds_a_file_that_only_an_older_publication_lists(
    person: Person, upstream: UpstreamServer, ask: Asker, tmp_path: Path
) -> None:
    await publish(person, upstream, OLD, NEW, policy=STOP_ACTIVE)
    assert (await ask(ALPHA_1)).status == 200
    await republish(person, upstream, ask, NEW)
    assert (await ask(ALPHA_1)).status == 200
    await tell_of_a_vulnerability(person, tmp_path, "alpha", "1.0")
    refused = await ask(ALPHA_1)
    assert refused.status == 403
    assert CVE in json.loads(refused.body)["detail"]


async def test_what_the_closure_withheld_stays_withheld_after_it_left_the_index(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    await publish(person, upstream, OLD, NEW, NEEDS_OLD)
    path = f"/conda/main/noarch/{NEEDS_OLD.fn}"
    assert (await ask(path)).status == 200
    await person.set_policy("main", BAN_ALPHA_1)
    await republish(person, upstream, ask, NEW)
    assert (await ask(path)).status == 403


async def test_a_rollback_releases_nothing_that_the_attached_policy_withholds_from_outside_the_index(
    person: Person, upstream: UpstreamServer, ask: Asker
) -> None:
    await publish(person, upstream, NEW)
    await republish(person, upstream, ask, OLD, NEW)
    assert (await ask(ALPHA_1)).status == 200
    await person.set_policy("main", BAN_ALPHA_1)
    async with person.resources.context(LOCAL) as ctx:
        await publications.rollback(ctx, "main", 1)

    async def is_refused() -> bool:
        return (await ask(ALPHA_1)).status == 403

    await until(is_refused)


@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "superseded"])
async def test_no_spelling_of_its_path_gives_a_withheld_file_away(
    person: Person, upstream: UpstreamServer, ask: Asker, is_listed: bool
) -> None:
    await publish(person, upstream, OLD, NEW)
    stored = (await ask(ALPHA_1)).body
    digest = hashlib.sha256(stored).hexdigest()
    if not is_listed:
        await republish(person, upstream, ask, NEW)
    await person.set_policy("main", BAN_ALPHA_1)

    async def is_refused() -> bool:
        return (await ask(ALPHA_1)).status == 403

    await until(is_refused)
    escaped = "".join(f"%{byte:02x}" for byte in OLD.fn.encode())
    spellings = [
        f"/conda/main/noarch/{fn}"
        for fn in (
            OLD.fn.upper(), OLD.fn.title(), OLD.fn.replace("alpha", "Alpha"), escaped, f"./{OLD.fn}", f"/{OLD.fn}",
            f"x/../{OLD.fn}", f"%2e/{OLD.fn}", f"{OLD.fn}/", f"{OLD.fn}%00", f"{OLD.fn}%20", f"%20{OLD.fn}", f"{OLD.fn}?x=1",
            f"{OLD.fn}%3Fx", f"{OLD.fn};x", f"{OLD.fn}#x", OLD.fn.replace("-", "%2D"), OLD.fn.replace("%", "%25"),
            escaped.replace("%", "%25"), OLD.fn.replace(".conda", ".CONDA"), OLD.fn.replace(".conda", ".tar.bz2"),
            f"shards/{OLD.fn}", f"shards/{digest}.msgpack.zst", f"\\{OLD.fn}", f"%5c{OLD.fn}", f"%2f{OLD.fn}",
        )
    ]  # fmt: skip
    for token in ("x", "av-" + "0" * 64, "%2f", ""):
        spellings += [
            f"/t/{token}{ALPHA_1}",
            f"/conda/t/{token}/main/noarch/{OLD.fn}",
            f"/t/{token}/t/{token}{ALPHA_1}",
        ]
        spellings += [f"/t/{token}/conda/t/{token}/main/noarch/{OLD.fn}"]
    for start in (
        "/conda/main/linux-64",
        "/conda/main",
        "/conda/main/noarch/noarch",
        "/conda/MAIN/noarch",
        "/conda//main/noarch",
    ):
        spellings.append(f"{start}/{OLD.fn}")
    spellings += [f"//conda/main/noarch/{OLD.fn}", f"/conda/main//noarch/{OLD.fn}", f"/CONDA/main/noarch/{OLD.fn}"]
    spellings += [f"/%63onda/main/noarch/{OLD.fn}", f"/conda/./main/noarch/{OLD.fn}", f"/conda/main/%6eoarch/{OLD.fn}"]
    spellings += [
        f"/artifact/{digest[:2]}/{digest}",
        f"/conda/main/artifact/{digest}",
        f"/static/../conda/main/noarch/{OLD.fn}",
    ]
    for spelling in spellings:
        for headers in ({}, {"range": "bytes=0-99999"}, {"if_none_match": "*"}):
            answer = await ask(spelling, **headers)
            assert answer.status in (401, 403, 404), spelling
            assert stored[:64] not in answer.body, spelling
        assert ask.application.files.answer_from_cache(spelling.encode(), RequestHeaders()) is None, spelling


async def test_a_trusted_artifact_that_clears_a_vulnerability_itself_releases_its_record(
    person: Person, upstream: UpstreamServer, ask: Asker, tmp_path: Path
) -> None:
    cleared = Package("alpha", "1.0", security={"vulns_cleared": [CVE]})
    await publish(person, upstream, cleared, NEW)
    await person.ask(update_channel, "main", trust_build_statements=True)
    await tell_of_a_vulnerability(person, tmp_path, "alpha", "1.0")
    await person.set_policy("main", STOP_ACTIVE)
    assert set(await person.withheld("main")) == {cleared.fn}  # nobody has looked into it yet
    await person.set_policy("main", ALLOW_ALL)

    async def is_stored() -> bool:
        return (await ask(ALPHA_1)).status == 200

    await until(is_stored)
    await ask.application.artifacts.finish_recording()
    await person.run_jobs(person.resources)
    await person.set_policy("main", STOP_ACTIVE)
    assert await person.withheld("main") == {}
    assert (await ask(ALPHA_1)).status == 200


# -- what is admitted while it is listed is admitted afterwards ------------------------------------------------------

COOLDOWN = """
name: cooldown
rules:
  - {id: active, gate: vulnerabilities, trigger: package, action: stop, params: {status: [active, reported]}}
  - {id: young, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7, unless_fix: true}}
"""


async def tell_of_its_platform(person: Person, folder: Path, platform: str) -> None:
    rows = folder / "platforms.tsv"
    rows.write_text(f"vulnerability\tonly_on\tsource\tchecked\n{CVE}\t{platform}\tus\t2026-11-28\n")
    async with person.resources.context(LOCAL) as ctx:
        await add_feed(ctx, "knowledge", str(rows))
    await person.run_jobs(person.resources)


async def store(person: Person, upstream: UpstreamServer, ask: Asker, *packages: Package) -> None:
    """Publish packages, each of which somebody has fetched."""
    write_upstream(upstream.folder, list(packages), shards=False)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    for package in packages:
        assert (await ask(f"/conda/main/{package.subdir}/{package.fn}")).status == 200
    await ask.application.artifacts.finish_recording()
    await person.run_jobs(person.resources)


async def let_leave(person: Person, upstream: UpstreamServer, ask: Asker, fn: str, *left: Package) -> None:
    """The upstream lists only what is left; the web process serves that."""
    write_upstream(upstream.folder, list(left), shards=False)
    await person.sync("main")

    async def has_left() -> bool:
        return fn not in json.loads((await ask("/conda/main/linux-64/repodata.json")).body)["packages.conda"]

    await until(has_left)


@pytest.mark.parametrize(("platform", "status"), [("windows", 200), ("linux", 403)])
async def test_a_file_that_left_the_index_is_judged_by_what_concerns_its_platform(
    person: Person, upstream: UpstreamServer, ask: Asker, tmp_path: Path, platform: str, status: int
) -> None:
    old, new = Package("alpha", "1.0", subdir="linux-64"), Package("alpha", "2.0", subdir="linux-64")
    await store(person, upstream, ask, old, new)
    await tell_of_a_vulnerability(person, tmp_path, "alpha", "1.0")
    await tell_of_its_platform(person, tmp_path, platform)
    await person.set_policy("main", STOP_ACTIVE)
    assert (old.fn in await person.withheld("main")) == (status == 403)
    await let_leave(person, upstream, ask, old.fn, new)
    assert (await ask(f"/conda/main/linux-64/{old.fn}")).status == status


async def test_only_the_file_itself_is_judged_where_the_others_of_its_name_do_not_count(
    person: Person, upstream: UpstreamServer, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may ask for a file that left the index, as often as they like; a name may have thousands of records."""
    judged: list[int] = []
    judge = superseded_files.judge_file

    class Counting:
        async def run(self, function: Any, policy: Any, fn: str, cases: Any, *args: Any, **options: Any) -> Any:
            judged.append(len(cases))
            return judge(policy, fn, cases, *args)

    await publish(person, upstream, OLD, NEW)
    assert (await ask(ALPHA_1)).status == 200
    await republish(person, upstream, ask, NEW)
    monkeypatch.setattr(ask.application.files._judge._resources, "judgements", Counting())
    assert (await ask(ALPHA_1)).status == 200
    assert judged == [1]


@pytest.mark.parametrize("is_all_gone", [True, False], ids=["name left", "fix left"])
async def test_a_fix_that_left_the_index_is_still_let_through_its_cooldown(
    person: Person,
    upstream: UpstreamServer,
    ask: Asker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_all_gone: bool,
) -> None:
    # What is built again later has other bytes, and other bytes are young.
    monkeypatch.setattr("tests.e2e.upstream_channel.make_artifact", functools.cache(make_artifact))
    bad, fix = Package("alpha", "1.0", subdir="linux-64"), Package("alpha", "2.0", subdir="linux-64")
    other = Package("beta", "1.0", subdir="linux-64")
    write_upstream(upstream.folder, [bad, other], shards=False)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    write_upstream(upstream.folder, [bad, fix, other], shards=False)
    await person.sync("main")  # seen now for the first time, so it is young
    assert (await ask(f"/conda/main/linux-64/{fix.fn}")).status == 200
    await tell_of_a_vulnerability(person, tmp_path, "alpha", "1.0")
    await person.set_policy("main", COOLDOWN)
    assert set(await person.withheld("main")) == {bad.fn}
    await let_leave(person, upstream, ask, fix.fn, *([other] if is_all_gone else [bad, other]))
    assert (await ask(f"/conda/main/linux-64/{fix.fn}")).status == 200
