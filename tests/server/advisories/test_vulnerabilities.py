"""Vulnerabilities as the database has them: by the rules of the core, however they came about."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from antivenom.core.feeds.entry import instant
from antivenom.core.matching.advisories import Severity
from antivenom.core.matching.compile_index import CompiledVulnerability, Exploited, build_index
from antivenom.core.matching.match import MatchIndex
from antivenom.core.matching.risk import expect_threats, risk_score, threat_of
from antivenom.knowledge import built_in
from antivenom.server.advisories import export, jobs, service, vulnerabilities
from antivenom.server.advisories.models import Vulnerability, VulnerabilityId
from antivenom.server.context import LOCAL, Context, Resources
from tests.server.advisories.test_feed_files import entry
from tests.server.advisories.test_syncing import add, revisions, sync, write_lines

IMPACTS = (0.0, 0.1, 2.675, 3.0, 5.0, 7.5, 9.0, 9.95, 10.0)
SCORES = (None, 0.0, 1e-12, 0.00001, 0.00035, 0.12345, 0.5, 0.97565, 1.0)
VECTORS = (
    "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N",
    "AV:N/AC:L/Au:N/C:P/I:P/A:P",
)


EXPECTED = expect_threats({Severity.high: (123_456_789, 3), Severity.low: (1, 1)})


def risk_cases() -> list[tuple[float, Severity, float | None, bool, bool]]:
    chance = random.Random(20261128)
    grid = [*itertools.product(IMPACTS, Severity, SCORES, (False, True), (False, True))]
    drawn = [
        (
            chance.uniform(0, 10),
            chance.choice([*Severity]),
            chance.choice([None, chance.random()]),
            chance.random() < 0.2,
            chance.random() < 0.5,
        )
        for _ in range(5_000)
    ]
    ties = [(n / 1000, Severity.high, 0.5, False, False) for n in range(10_001)]  # many fall between two hundredths
    return [*grid, *drawn, *ties]


async def test_risk_in_sql_is_risk_in_python_bit_by_bit(ctx: Context) -> None:
    cases = risk_cases()
    impacts, severities, scores, kevs, ransomwares = map(list, zip(*cases, strict=True))
    rows = await ctx.session.scalars(
        text(
            f"""SELECT {vulnerabilities.RISK} FROM unnest(CAST(:impacts AS float8[]), CAST(:severities AS int[]),
            CAST(:scores AS float8[]), CAST(:kevs AS bool[]), CAST(:ransomwares AS bool[])) WITH ORDINALITY
            AS given (impact, severity, epss, kev, kev_ransomware, place) ORDER BY place"""
        ),
        {
            "impacts": impacts,
            "severities": list(map(int, severities)),
            "scores": scores,
            "kevs": kevs,
            "ransomwares": ransomwares,
            "expected": [EXPECTED[severity] for severity in Severity],
        },
    )
    expected = [risk_score(i, threat_of(v, EXPECTED, epss=s, kev=k), kev=k, ransomware=r) for i, v, s, k, r in cases]
    assert list(rows) == expected
    assert {0.0, 100.0} <= set(expected)
    assert min(expected) >= 0.0
    assert max(expected) <= 100.0


async def test_scores_too_small_for_postgresql_are_nought(resources: Resources, tmp_path: Path) -> None:
    osv, epss = tmp_path / "osv.jsonl", tmp_path / "epss.csv"
    write_lines(osv, {**entry(1), "id": "CVE-2026-0001"})
    epss.write_text("#score_date:2026-03-02T00:00:00Z\ncve,epss\nCVE-2026-0001,5e-324\n")
    for kind, path in (("osv", osv), ("epss", epss)):
        assert (await sync(resources, await add(resources, kind, str(path)))).state == "ok"
    async with resources.context(LOCAL) as ctx:
        view = await service.get_advisory(ctx, "CVE-2026-0001")
        assert (view.epss, view.risk) == (0.0, 0.0)


# -- the database and the match index say the same, also little by little -----------------------------------------------


def random_entries(chance: random.Random) -> list[dict[str, Any]]:
    """Entries of few ids that name each other often; some name several CVE ids."""
    ids = [
        *(f"CVE-2026-000{n}" for n in range(5)),
        *(f"{p}-2026-{n}" for p in ("GO", "PYSEC", "GHSA") for n in range(4)),
        "MAL-2026-1",
    ]
    made: list[dict[str, Any]] = []
    for number, advisory_id in enumerate(chance.sample(ids, 12)):
        others = [i for i in ids if i != advisory_id]
        more: dict[str, Any] = {"aliases": chance.sample(others, chance.choice([0, 1, 1, 1, 2, 3]))}
        if chance.random() < 0.6:
            vector = chance.choice(VECTORS)
            kind = "CVSS_V4" if vector.startswith("CVSS:4") else "CVSS_V3" if vector.startswith("CVSS") else "CVSS_V2"
            more["severity"] = [{"type": kind, "score": vector}]
        if chance.random() < 0.2:
            more["withdrawn"] = "2026-03-01T00:00:00Z"
        more["published"] = chance.choice(["0001-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])
        more["summary"] = chance.choice(["", f"Flaw {number}", f"Flaw {number}, bundled", "A flaw at some length"])
        more["summary"] = chance.choice([more["summary"], "Malicious code in this (PyPI)"])
        made.append({**entry(number), "id": advisory_id, **more})
    return made


async def compiled(ctx: Context, folder: Path) -> dict[str, CompiledVulnerability]:
    await export.export_facts(ctx.session, folder)
    await export.export_advisories(ctx.session, folder)
    facts = {cve: Exploited(*rest) for cve, *rest in export.read_exploitation(folder)}
    index = MatchIndex.load(build_index(export.read_advisories(folder / "advisories"), facts, None, built_in()))
    found = (index.vulnerability(number) for number in range(index.vulnerability_count))
    return {vulnerability.ids[0]: vulnerability for vulnerability in found}


def as_compiled(row: Vulnerability) -> tuple[object, ...]:
    return (
        tuple(row.ids),
        row.severity,
        row.cvss,
        row.kev,
        row.kev_ransomware,
        row.epss,
        row.risk,
        row.is_disputed,
        row.published_at,
        row.modified_at,
        row.summary,
    )


async def check_surfaces_agree(resources: Resources, folder: Path) -> int:
    """The search, the page and the match index say the same of every vulnerability; how many ids several share."""
    async with resources.context(LOCAL) as ctx:
        index = await compiled(ctx, folder)
        rows = {row.id: row for row in await ctx.session.scalars(select(Vulnerability))}
        assert rows.keys() == index.keys()
        for vulnerability_id, row in rows.items():
            about = index[vulnerability_id]
            dates = (instant(about.published), instant(about.modified))
            assert as_compiled(row) == (
                about.ids,
                *(getattr(about, f) for f in about.__struct_fields__[1:8]),
                *dates,
                about.summary,
            )
            view = await service.get_advisory(ctx, vulnerability_id)
            assert (view.ids, view.severity, view.cvss) == (about.ids, Severity(about.severity).name, about.cvss)
            assert (view.kev, view.ransomware, view.epss, view.risk) == (
                row.kev,
                row.kev_ransomware,
                row.epss,
                row.risk,
            )
            assert (view.published, view.modified, view.summary) == (row.published_at, row.modified_at, row.summary)
            assert (view.disputed, bool(view.withdrawn)) == (row.is_disputed, row.is_withdrawn)
        listed = [
            (i, v) for i, v in await ctx.session.execute(select(VulnerabilityId.id, VulnerabilityId.vulnerability))
        ]
        assert sorted(listed) == sorted((i, v) for v, about in index.items() for i in about.ids)
        return len(listed) - len({i for i, _ in listed})


@pytest.mark.parametrize("seed", range(3))
async def test_search_page_and_match_index_agree_after_every_change(
    resources: Resources, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vulnerabilities, "IN_THIS_PROCESS_MAX", 10 if seed else 500)  # in a child process too
    chance = random.Random(seed)
    path, kev, epss = tmp_path / "osv.jsonl", tmp_path / "kev.json", tmp_path / "epss.csv"
    kev.write_text(json.dumps({"vulnerabilities": [{"cveID": "CVE-2026-0001", "dateAdded": "2026-03-01"}]}))
    epss.write_text(
        "#score_date:2026-03-02T00:00:00Z\ncve,epss\n" + "".join(f"CVE-2026-000{n},0.{n}\n" for n in range(4))
    )
    entries = random_entries(chance)
    write_lines(path, *entries)
    osv_id = await add(resources, "osv", str(path))
    shared = 0
    for kind, file in (("kev", kev), ("epss", epss)):
        await sync(resources, await add(resources, kind, str(file)))
    for _ in range(5):
        assert (await sync(resources, osv_id)).state == "ok"
        shared += await check_surfaces_agree(resources, tmp_path)
        entries = chance.sample(entries, len(entries) - chance.randint(0, 2))
        changed = {e["id"]: e for e in random_entries(chance)[: chance.randint(1, 4)]}
        entries = [*(e for e in entries if e["id"] not in changed), *changed.values()]
        write_lines(path, *entries)
    assert shared > 0  # ids of several vulnerabilities did occur


async def test_an_advisory_of_several_cves_leads_to_each(resources: Resources, tmp_path: Path) -> None:
    path = tmp_path / "osv.jsonl"
    write_lines(
        path,
        {**entry(1), "id": "GO-2026-1", "aliases": ["CVE-2026-0002", "CVE-2026-0001"], "summary": "Two flaws"},
        {**entry(2), "id": "CVE-2026-0002", "summary": "The second flaw"},
    )
    await sync(resources, await add(resources, "osv", str(path)))
    async with resources.context(LOCAL) as ctx:
        found = await service.search_advisories(ctx, q="go-2026-1", sort="id")
        assert [(list(v.ids), v.summary) for v in found.items] == [
            (["CVE-2026-0001", "GO-2026-1"], "Two flaws"),
            (["CVE-2026-0002", "GO-2026-1"], "The second flaw"),
        ]
        view = await service.get_advisory(ctx, "GO-2026-1")
        assert (view.ids, view.related) == (("CVE-2026-0001", "GO-2026-1"), ("CVE-2026-0002",))
        view = await service.get_advisory(ctx, "CVE-2026-0002")
        assert {a.package for a in view.affected} == {"demo-package-1", "demo-package-2"}
        assert view.related == ("CVE-2026-0001",)


async def test_what_an_earlier_release_stored_is_formed_again_by_todays_rules(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "osv.jsonl"
    write_lines(
        path,
        {**entry(1), "id": "GO-2026-1", "aliases": ["CVE-2026-0002", "CVE-2026-0001"]},
        *({**entry(n), "id": f"CVE-2026-000{n}"} for n in range(2, 6)),
    )
    await sync(resources, await add(resources, "osv", str(path)))
    as_stored = text("SELECT to_jsonb(v) FROM vulnerability v ORDER BY id")
    async with resources.context(LOCAL) as ctx:
        expected = list(await ctx.session.scalars(as_stored))
        assert len(expected) == 5
        # As the release of 2026-11-21 and its migration leave it: two CVE ids in one vulnerability.
        await ctx.session.execute(text("DELETE FROM vulnerability WHERE id = 'CVE-2026-0002'"))
        await ctx.session.execute(text("UPDATE vulnerability SET impact = NULL, risk = 1, summary = 'Old'"))
        await ctx.session.execute(text("DELETE FROM vulnerability_id WHERE vulnerability = 'CVE-2026-0002'"))
        await ctx.session.execute(
            text("INSERT INTO vulnerability_id VALUES ('CVE-2026-0002', 'CVE-2026-0001', 'CVE-2026-0001')")
        )
    monkeypatch.setattr(jobs, "REGROUPED_AT_ONCE", 2)
    before = len(await revisions(resources))
    await jobs.regroup(resources)
    await jobs.regroup(resources)
    async with resources.context(LOCAL) as ctx:
        assert list(await ctx.session.scalars(as_stored)) == expected
    assert [r.everything for r in (await revisions(resources))[before:]] == [True]


# -- malware, and what has no score ----------------------------------------------------------------------------------


async def test_estimates_follow_the_scores_that_others_have(resources: Resources, tmp_path: Path) -> None:
    osv, epss = tmp_path / "osv.jsonl", tmp_path / "epss.csv"
    high = [{"type": "CVSS_V3", "score": VECTORS[1]}]
    write_lines(osv, *({**entry(n), "id": f"CVE-2026-000{n}", "severity": high} for n in range(3)))
    osv_feed = await add(resources, "osv", str(osv))
    assert (await sync(resources, osv_feed)).state == "ok"

    async def risks() -> list[tuple[str, float, bool]]:
        async with resources.context(LOCAL) as ctx:
            await check_surfaces_agree(resources, tmp_path)
            found = (await service.search_advisories(ctx)).items
            return [(row.id, row.risk, row.epss is None) for row in found]

    assert {risk for _, risk, _ in await risks()} == {94.0}  # no EPSS at all: severity alone
    feed = None
    for first, estimate in ((0.3, 28.2), (0.1, 18.8)):  # with 0.3 of the second
        epss.write_text(
            f"#score_date:2026-03-0{int(first * 10)}T00:00:00Z\ncve,epss\nCVE-2026-0000,{first}\nCVE-2026-0001,0.3\n"
        )
        feed = feed or await add(resources, "epss", str(epss))
        assert (await sync(resources, feed)).state == "ok"
        assert {risk for i, risk, is_estimated in await risks() if is_estimated} == {estimate}
    write_lines(osv, *({**entry(n), "id": f"CVE-2026-000{n}", "severity": high} for n in (0, 2)))
    assert (await sync(resources, osv_feed)).state == "ok"  # the second is gone, and what is left is not touched
    assert {risk for i, risk, is_estimated in await risks() if is_estimated} == {9.4}


async def test_malware_is_first_and_above_critical_and_follows_the_knowledge(
    resources: Resources, tmp_path: Path
) -> None:
    osv, kev, ours = tmp_path / "osv.jsonl", tmp_path / "kev.json", tmp_path / "ours.tsv"
    critical = [{"type": "CVSS_V3", "score": VECTORS[1]}]
    write_lines(
        osv,
        {**entry(1), "id": "PYSEC-2026-1", "aliases": ["MAL-2026-1"], "summary": "A release of others"},
        {**entry(2), "id": "PYSEC-2026-2", "summary": "Puts a dropper in place"},
        {**entry(3), "id": "CVE-2026-0003", "severity": critical},
        {**entry(4), "id": "MAL-2026-4", "withdrawn": "2026-03-01T00:00:00Z"},
    )
    kev.write_text(json.dumps({"vulnerabilities": [{"cveID": "CVE-2026-0003", "dateAdded": "2026-03-01"}]}))
    for kind, path in (("osv", osv), ("kev", kev)):
        assert (await sync(resources, await add(resources, kind, str(path)))).state == "ok"

    async def listed(**wanted: Any) -> list[str]:
        async with resources.context(LOCAL) as ctx:
            return [row.id for row in (await service.search_advisories(ctx, **wanted)).items]

    assert (await listed())[:2] == ["MAL-2026-1", "CVE-2026-0003"]
    assert await listed(severity="malware") == ["MAL-2026-1"]
    assert await listed(epss_min=1.0) == ["MAL-2026-1"]
    assert set(await listed(severity="critical")) == {"MAL-2026-1", "CVE-2026-0003"}
    ours.write_text(
        "malware\tlooks_at\twords\tunless\tsource\tchecked\nmine\tsummary\tdropper*\t-\tour own look\t2026-11-28\n"
    )
    assert (await sync(resources, await add(resources, "knowledge", str(ours)))).state == "ok"
    await jobs.regroup(resources)
    assert set(await listed(severity="malware")) == {"MAL-2026-1", "PYSEC-2026-2"}
    async with resources.context(LOCAL) as ctx:
        assert (await service.get_advisory(ctx, "PYSEC-2026-2")).kind == "malware"


async def test_a_description_that_mentions_a_platform_reaches_the_match_index(
    resources: Resources, tmp_path: Path
) -> None:
    path = tmp_path / "osv.jsonl"
    write_lines(
        path,
        {**entry(1), "summary": "A flaw", "details": "A demo. It is found on Windows."},
        {**entry(2), "summary": "A flaw", "details": "A demo. It is found everywhere."},
    )
    await sync(resources, await add(resources, "osv", str(path)))
    async with resources.context(LOCAL) as ctx:
        index = await compiled(ctx, tmp_path)
        read = {a.id: a.details for a in export.read_advisories(tmp_path / "advisories")}
    assert sorted(v.told_on for v in index.values()) == [(), ("windows",)]
    assert sorted(read.values()) == ["", "A demo. It is found on Windows."]
