"""POST /api/v1/match and the jobs behind it, on a real database and blob store."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange, Assessment, Finding
from antivenom.core.matching.advisory_prose import package_keys, split_prose
from antivenom.core.matching.component_request import read_component
from antivenom.core.source.source_map import Component
from antivenom.server.advisories.feed_state import FeedCounts, FeedCursor
from antivenom.server.advisories.models import AdvisoryRow, Exploitation, Feed, KnowledgeRevision, NameMapping
from antivenom.server.context import LOCAL, Context, Resources
from antivenom.server.events.progress import JobProgress
from antivenom.server.events.service import record
from antivenom.server.findings import jobs, service
from antivenom.server.findings.models import Curation, FindingRow

REQUESTS = Advisory(
    id="PYSEC-2023-74",
    source="osv",
    aliases=("CVE-2023-32681", "GHSA-j8r2-6x86-q33q"),
    summary="Requests leaks Proxy-Authorization headers",
    published="2023-05-26T17:15:14Z",
    cvss_vectors=("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:C/C:H/I:N/A:N",),
    affected=(
        AffectedPackage("pypi", "requests", (AffectedRange("pep440", "2.3.0", fixed="2.31.0"),), (), ("2.31.0",)),
    ),
)
OPENSSL = Advisory(
    id="CVE-2022-3602",
    source="nvd",
    cvss_vectors=("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",),
    affected=(AffectedPackage("cpe", "openssl:openssl", (AffectedRange("cpe", "3.0.0", fixed="3.0.7"),)),),
)


async def learn(resources: Resources, *advisories: Advisory, maps: dict[str, list[str]] | None = None) -> None:
    """What a feed's sync does: rows, a revision, an event that the compile job listens to."""
    assert jobs.compile_knowledge
    async with resources.context(LOCAL) as ctx:
        feed = Feed(
            kind="osv",
            location=f"test:{advisories[0].id}",
            created_at=ctx.now,
            cursor=FeedCursor(),
            progress=JobProgress(),
            counts=FeedCounts(),
        )
        ctx.session.add(feed)
        await ctx.session.flush()
        revision = KnowledgeRevision(at=ctx.now, cause="test", package_keys=[], everything=True)
        ctx.session.add(revision)
        await ctx.session.flush()
        for advisory in advisories:
            body, prose = split_prose(advisory)
            ctx.session.add(
                AdvisoryRow(
                    feed_id=feed.id,
                    id=advisory.id,
                    aliases=list(advisory.aliases),
                    summary=advisory.summary,
                    severity=0,
                    disputed=False,
                    package_keys=list(package_keys(advisory)),
                    digest=b"",
                    body=body,
                    prose=prose,
                )
            )
        for name, names in (maps or {}).items():
            ctx.session.add(
                NameMapping(feed_id=feed.id, channel="conda-forge", conda_name=name, ecosystem="pypi", names=names)
            )
        await record(ctx, "feed.synced", subject=f"feed:{feed.id}", revision=revision.id)


@pytest.fixture
async def knowing(resources: Resources, run_jobs: Any) -> Resources:
    async with resources.context(LOCAL) as ctx:
        ctx.session.add(Exploitation(cve="CVE-2023-32681", epss=0.5, kev_added="2024-01-01", kev_ransomware=True))
    await learn(resources, REQUESTS, OPENSSL, maps={"requests": ["requests"], "attr": []})
    await run_jobs(resources)
    return resources


async def match(client: Any, *components: Any) -> list[dict[str, Any]]:
    answer = await client.post("/api/v1/match", json={"components": list(components)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def conda(name: str, version: str, **more: Any) -> dict[str, Any]:
    return {"type": "conda", "name": name, "version": version, **more}


async def test_it_works(knowing: Resources, app_client: Any) -> None:
    [hit, fixed, library] = await match(
        app_client,
        conda("requests", "2.25.0", channel="conda-forge", subdir="noarch", build="pyhd8ed1ab_0"),
        {"purl": "pkg:pypi/Requests@2.31.0"},
        conda("openssl", "3.0.5"),
    )
    [finding] = hit["findings"]
    assert finding["ids"] == ["CVE-2023-32681", "GHSA-j8r2-6x86-q33q", "PYSEC-2023-74"]
    assert (finding["cvss"], finding["severity"], finding["kev"], finding["epss"]) == (6.1, "medium", True, 0.5)
    assert finding["risk"] == 61.05  # threat 1 x (5.0 + 6.1) / 2 / 10 x 1.1
    assert finding["fixed_versions"] == ["2.31.0"]
    assert (finding["status"], finding["confidence"]) == ("reported", "high")
    assert finding["evidence"] == [
        {
            "source": "PYSEC-2023-74 (osv)",
            "via": "name map of conda-forge: conda requests is PyPI requests",
            "range": ">=2.3.0,<2.31.0",
        }
    ]
    nothing: dict[str, list[object]] = {"findings": [], "ignored": [], "undecided": []}
    assert fixed == {"assessed": True, "reason": "purl: pkg:pypi/Requests@2.31.0", **nothing}
    assert [f["ids"] for f in library["findings"]] == [["CVE-2022-3602"]]


MYSQL = Advisory(
    id="CVE-2024-0001",
    source="nvd",
    summary="Vulnerability in the MySQL Server product (component: InnoDB)",
    affected=(AffectedPackage("cpe", "oracle:mysql", (AffectedRange("cpe", "8.0", fixed="8.1"),)),),
)


async def test_what_a_row_of_knowledge_sets_aside_is_listed_when_asked_for(
    resources: Resources, app_client: Any, run_jobs: Any
) -> None:
    await learn(resources, MYSQL)
    await run_jobs(resources)
    component = conda("mysql-libs", "8.0.30")
    [plain] = await match(app_client, component)
    assert plain == {"assessed": True, "reason": plain["reason"], "findings": [], "ignored": [], "undecided": []}
    answer = await app_client.post("/api/v1/match", json={"components": [component], "include_ignored": True})
    [asked] = answer.json()
    [ignored] = asked.pop("ignored")
    assert (ignored["ids"], ignored["status"], ignored["fixed_versions"]) == (["CVE-2024-0001"], "ignored", ["8.1"])
    assert ignored["ignored_by"]["rule"] == "parts/mysql-libs"
    assert "is about the client library" in ignored["ignored_by"]["reason"]
    assert {**asked, "ignored": []} == plain
    async with resources.context(LOCAL) as ctx:
        assert (await service.list_affected(ctx, "CVE-2024-0001")).total == 0


async def test_what_no_source_covers_is_not_assessed_and_says_why(knowing: Resources, app_client: Any) -> None:
    [unknown, mapped_to_none] = await match(app_client, conda("libfoo", "1.0"), conda("nothing-known", "1"))
    assert not unknown["assessed"]
    assert unknown["reason"].startswith("no advisory source knows conda package libfoo")
    assert not mapped_to_none["assessed"]


@pytest.mark.parametrize(
    "wrong",
    [None, 7, [], {}, conda("", "1"), {"name": "x"}, conda("x", 1), {"purl": 3}, {"purl": "x"}, {"type": "rpm"},
     {"purl": "pkg:pypi/requests"}, conda("requests", "no-number"), {"purl": "pkg:pypi/\x00@1"}],
)  # fmt: skip
async def test_a_wrong_component_is_answered_in_its_place(knowing: Resources, app_client: Any, wrong: Any) -> None:
    [first, second, third] = await match(app_client, conda("requests", "2.25.0"), wrong, conda("requests", "2.25.0"))
    assert not second["assessed"] and second["reason"] and second["findings"] == []
    assert first == third and len(first["findings"]) == 1


async def test_ten_thousand_components_are_taken_and_one_more_is_not(knowing: Resources, app_client: Any) -> None:
    many = [conda("requests", f"2.{i % 40}.{i}") for i in range(10_000)]
    assert len(await match(app_client, *many)) == 10_000
    answer = await app_client.post("/api/v1/match", json={"components": [*many, conda("x", "1")]})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "10,000 at most" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"components": 1}', b"\xff", b'{"components": {"a": 1}}'])
async def test_a_body_of_the_wrong_shape_is_a_problem(knowing: Resources, app_client: Any, body: bytes) -> None:
    answer = await app_client.post("/api/v1/match", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_before_any_feed_everything_is_not_assessed(app_client: Any) -> None:
    [answer] = await match(app_client, conda("openssl", "1.1.1k"))
    assert not answer["assessed"]
    assert "feed add" in answer["reason"]


async def test_nobody_matches_without_signing_in(anonymous_client: Any) -> None:
    answer = await anonymous_client.post("/api/v1/match", json={"components": []})
    assert answer.status_code == 401


async def test_new_knowledge_is_compiled_and_used_at_once(knowing: Resources, app_client: Any, run_jobs: Any) -> None:
    assert (await match(app_client, conda("openssl", "3.0.8")))[0]["findings"] == []
    newer = msgspec.structs.replace(
        OPENSSL,
        id="CVE-2023-9999",
        affected=(AffectedPackage("cpe", "openssl:openssl", (AffectedRange("cpe", fixed="3.0.9"),)),),
    )
    await learn(knowing, newer)
    await run_jobs(knowing)
    [answer] = await match(app_client, conda("openssl", "3.0.8"))
    assert [f["ids"][0] for f in answer["findings"]] == ["CVE-2023-9999"]


async def store(ctx: Context, revision: int, assessment: Assessment) -> None:
    await service.store_assessments(ctx, revision, [(Component("requests", "2.25.0", ()), assessment)])


async def assess(ctx: Context) -> Assessment:
    key = read_component(conda("requests", "2.25.0"))
    [assessment] = await service.match_components(ctx, [key])
    return assessment


async def test_stored_findings_are_found_by_any_id_and_close_when_gone(knowing: Resources) -> None:
    async with knowing.context(LOCAL) as ctx:
        assessment = await assess(ctx)
        await store(ctx, 1, assessment)
        await store(ctx, 1, assessment)  # twice is once
        for any_id in assessment.findings[0].ids:
            page = await service.list_affected(ctx, any_id)
            assert [(c.name, c.version, c.primary_id) for c in page.items] == [("requests", "2.25.0", "CVE-2023-32681")]
        await store(ctx, 2, Assessment(True, "looked again"))
        assert (await service.list_affected(ctx, "CVE-2023-32681")).total == 0
        row = await ctx.session.get(FindingRow, (1, "CVE-2023-32681"), populate_existing=True)
        assert row is not None and (row.opened_revision, row.closed_revision) == (1, 2)
        await store(ctx, 3, assessment)
        await ctx.session.refresh(row)
        assert (row.opened_revision, row.closed_revision) == (3, None)


async def test_older_knowledge_never_overwrites_newer(knowing: Resources) -> None:
    async with knowing.context(LOCAL) as ctx:
        assessment = await assess(ctx)
        await store(ctx, 5, assessment)
        await store(ctx, 4, Assessment(True, "late"))
        assert (await service.list_affected(ctx, "CVE-2023-32681")).total == 1
        row = await ctx.session.get(FindingRow, (1, "CVE-2023-32681"))
        assert row is not None and (row.opened_revision, row.closed_revision) == (5, None)


async def test_a_withdrawn_advisory_closes_its_findings(knowing: Resources, run_jobs: Any, app_client: Any) -> None:
    async with knowing.context(LOCAL) as ctx:
        await store(ctx, 1, await assess(ctx))
    async with knowing.context(LOCAL) as ctx:
        row = await ctx.session.get(AdvisoryRow, (1, REQUESTS.id))
        assert row is not None
        row.body = msgspec.msgpack.encode(msgspec.structs.replace(REQUESTS, withdrawn="2024-01-01T00:00:00Z"))
        ctx.session.add(KnowledgeRevision(at=ctx.now, cause="test", package_keys=[], everything=True))
        await record(ctx, "feed.synced", subject="feed:1", revision=2)
    await run_jobs(knowing)
    assert (await match(app_client, conda("requests", "2.25.0")))[0]["findings"] == []
    async with knowing.context(LOCAL) as ctx:
        assert (await service.list_affected(ctx, "CVE-2023-32681")).total == 0
    listed = await app_client.get("/api/v1/advisories/CVE-2023-32681/affected")
    assert listed.json()["items"] == []


async def test_curation_of_an_artifact_is_kept_and_unreadable_ones_leave_no_row(ctx: Context) -> None:
    said = await service.store_curation(
        ctx, sha256=b"a" * 32, fn="x-1-0.conda", document=b'{"vulns_cleared": ["CVE-1-1"]}'
    )
    assert list(said) == ["CVE-1-1"]
    assert await service.store_curation(ctx, sha256=b"b" * 32, fn="y-1-0.conda", document=b"\xff{") == {}
    assert list(await ctx.session.scalars(select(Curation.fn))) == ["x-1-0.conda"]


def test_a_finding_has_the_fields_that_the_api_promises() -> None:
    promised = {"ids", "severity", "cvss", "kev", "epss", "risk", "fixed_versions", "status", "confidence", "evidence"}
    assert promised <= set(Finding.__struct_fields__)


@pytest.mark.parametrize(
    ("component", "why"),
    [
        (conda("requests", "2.0", subdir="linux-" + "6" * 60), "the subdir is longer than any platform's"),
        ({"purl": "pkg:pypi/requests@2.0?x=" + "x" * 1_000}, "the purl is longer than 1,000 characters"),
    ],
)
async def test_what_is_longer_than_any_real_one_is_answered_in_its_place(
    resources: Resources, app_client: Any, component: dict[str, Any], why: str
) -> None:
    [wrong, right] = await match(app_client, component, conda("requests", "2.0"))
    assert (wrong["assessed"], wrong["reason"]) == (False, why)
    assert right["reason"] != why
