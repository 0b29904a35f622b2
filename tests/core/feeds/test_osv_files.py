"""OSV files beyond the buckets: a project's own, GitHub's repository, malicious packages, an organization's for conda."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from antivenom.core.feeds import nvd, osv
from antivenom.core.feeds.entry import Reading
from antivenom.core.matching.advisories import Advisory, Assessment, Confidence, Finding
from antivenom.core.matching.compile_index import build_index, range_text
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in

READING = Reading(now=datetime(2026, 11, 21, tzinfo=UTC))
Json = dict[str, Any]


def assess(name: str, version: str, *advisories: Advisory) -> Assessment:
    index = MatchIndex.load(build_index(advisories, knowledge=built_in()), built_in())
    [found] = index.assess([ComponentKey("conda", name, version)])
    return found


def findings(name: str, version: str, *advisories: Advisory) -> dict[str, Finding]:
    return {f.ids[0]: f for f in assess(name, version, *advisories).findings}


# -- a project's own file: no package, a range of releases beside one of commits -------------------------------------


def of_project(**more: object) -> Json:
    """As curl writes its entries."""
    return {
        "schema_version": "1.5.0",
        "id": "CURL-CVE-2026-0001",
        "aliases": ["CVE-2026-0001"],
        "summary": "a flaw",
        "modified": "2026-03-26T10:36:00.00Z",
        "database_specific": {"package": "curl", "severity": "Low", "CWE": {"id": "CWE-295", "desc": "x"}},
        "affected": [
            {
                "ranges": [
                    {"type": "SEMVER", "events": [{"introduced": "7.44.0"}, {"fixed": "8.7.0"}]},
                    {
                        "type": "GIT",
                        "repo": "https://github.com/Curl/curl.git",
                        "events": [{"introduced": "5d" * 20}, {"fixed": "ae" * 20}],
                    },
                ],
                "versions": ["8.6.0", "7.44.0", "curl-7_50_0"],
            }
        ],
        "details": "libcurl skips a check.",
        **more,
    }


def nvd_on_curl(fixed: str) -> Advisory:
    match = {"criteria": "cpe:2.3:a:haxx:libcurl:*:*:*:*:*:*:*:*", "vulnerable": True, "versionEndExcluding": fixed}
    item = {"id": "CVE-2026-0001", "vulnStatus": "Analyzed", "configurations": [{"nodes": [{"cpeMatch": [match]}]}]}
    return nvd.parse_entry({"cve": item}, READING)


def test_a_projects_own_entry_counts_without_a_package() -> None:
    read = osv.parse_entry(of_project(), READING)
    assert [(a.ecosystem, a.name, [range_text(r) for r in a.ranges], a.versions, a.said_by) for a in read.affected] == [
        ("git", "github.com/curl/curl", [">=7.44.0,<8.7.0"], ("8.6.0", "7.44.0"), "curl")
    ]
    assert read.cwes == ("CWE-295",)
    found = findings("libcurl", "8.6.0", read)["CVE-2026-0001"]
    assert found.ids == ("CVE-2026-0001", "CURL-CVE-2026-0001")
    assert (found.confidence, found.fixed_versions, found.severity) == (Confidence.medium, ("8.7.0",), "low")
    assert not findings("libcurl", "8.7.0", read)
    assert not findings("libcurl", "7.43.0", read)


def test_it_is_the_projects_word_and_goes_before_nvd() -> None:
    read, other = osv.parse_entry(of_project(), READING), nvd_on_curl("8.8.0")
    for version, is_found in {"7.43.0": False, "7.44.0": True, "8.6.0": True, "8.7.0": False}.items():
        assert bool(findings("libcurl", version, read, other)) is is_found, version
    assert findings("libcurl", "7.43.0", other)


def test_somebody_elses_entry_on_a_repository_is_not_the_projects_word() -> None:
    entry = of_project(id="ACME-2026-1")
    read, other = osv.parse_entry(entry, READING), nvd_on_curl("8.8.0")
    assert findings("libcurl", "8.7.0", read, other)
    assert findings("libcurl", "8.6.0", read)["CVE-2026-0001"].confidence == Confidence.low


def test_names_of_tags_alone_find_nothing() -> None:
    git = of_project()["affected"][0]["ranges"][1]
    read = osv.parse_entry(
        of_project(affected=[{"ranges": [git], "versions": ["curl-7_50_0", "tiny-curl-8_4_0"]}]), READING
    )
    assert read.affected == ()
    assert {"git-range", "no-package"} <= set(read.flags)


@pytest.mark.parametrize(
    ("package", "key"),
    [
        ({"purl": "pkg:pypi/My_Name@1.0"}, ("pypi", "my-name")),
        ({"name": "ignored", "purl": "pkg:npm/%40scope/name"}, ("npm", "@scope/name")),
        ({"purl": "pkg:maven/org.example/thing"}, ("maven", "org.example:thing")),
        ({"purl": "pkg:github/Acme/Widget"}, ("git", "github.com/acme/widget")),
        ({"purl": "pkg:generic/openssl"}, ("generic", "openssl")),
        ({"ecosystem": "Acme", "name": "Widget"}, ("acme", "Widget")),
        ({"ecosystem": "Conda", "name": "Acme-Tool"}, ("conda", "acme-tool")),
        ({"ecosystem": "conda", "name": "acme-tool", "purl": "pkg:pypi/other"}, ("conda", "acme-tool")),
    ],
)
def test_a_package_is_named_by_its_ecosystem_or_its_purl(package: Json, key: tuple[str, str]) -> None:
    read = osv.parse_entry(of_project(affected=[{"package": package, "versions": ["1.0"]}]), READING)
    assert [(a.ecosystem, a.name) for a in read.affected] == [key]


@pytest.mark.parametrize(
    "package", [{"name": "curl"}, {"purl": "curl"}, {"purl": 7}, {"ecosystem": "PyPI"}, {}, "curl"]
)
def test_a_package_that_is_named_by_neither_is_flagged(package: object) -> None:
    read = osv.parse_entry(of_project(affected=[{"package": package, "versions": ["1.0"]}]), READING)
    assert (read.affected, "no-package" in read.flags) == ((), True)


# -- an organization's own advisories on conda packages ---------------------------------------------------------------


def on_conda(name: str, fixed: str, **more: object) -> Advisory:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    entry = {"id": "ACME-2026-7", "modified": "2026-01-01T00:00:00Z", **more}
    return osv.parse_entry(
        {**entry, "affected": [{"package": {"ecosystem": "conda", "name": name}, "ranges": ranges}]}, READING
    )


def test_advisories_on_conda_packages_are_found_by_name() -> None:
    own = on_conda("acme-tool", "2.0")
    found = findings("acme-tool", "1.9", own)["ACME-2026-7"]
    assert (found.confidence, found.fixed_versions) == (Confidence.exact, ("2.0",))
    assert not findings("acme-tool", "2.0", own)
    assert assess("acme-tool", "2.0", own).assessed
    assert not assess("other-tool", "2.0", own).assessed  # a feed of some conda packages says nothing of the others


def test_an_own_advisory_goes_before_all_others_and_is_found_on_a_metapackage() -> None:
    own = on_conda("libcurl", "8.5.0", aliases=["CVE-2026-0001"])
    assert findings("libcurl", "8.4.0", own, nvd_on_curl("8.8.0"))
    assert not findings("libcurl", "8.6.0", own, nvd_on_curl("8.8.0"))
    [metapackage, *_] = built_in().metapackages
    assert findings(metapackage, "1.0", on_conda(metapackage, "2.0"))


# -- GitHub's repository ------------------------------------------------------------------------------------------------


def of_github(events: list[Json], last_known: object = None, **more: object) -> Json:
    affected: Json = {
        "package": {"ecosystem": "PyPI", "name": "Thing"},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    if last_known is not None:
        affected["database_specific"] = {"last_known_affected_version_range": last_known}
    return {
        "schema_version": "1.4.0",
        "id": "GHSA-aaaa-bbbb-cccc",
        "modified": "2026-01-25T23:16:15Z",
        "aliases": ["CVE-2026-0001"],
        "affected": [affected],
        "database_specific": {"cwe_ids": ["CWE-79"], "severity": "MODERATE", "github_reviewed": True},
        **more,
    }


OPEN = [{"introduced": "1.0"}]


@pytest.mark.parametrize(
    ("events", "last_known", "ranges"),
    [
        (OPEN, "<= 1.4.1", [">=1.0,<=1.4.1"]),
        (OPEN, "< 1.5", [">=1.0,<1.5"]),
        (OPEN, "= 1.4.1", [">=1.0,<=1.4.1"]),
        (OPEN, ">= 1.0, <= 1.4.1", [">=1.0,<=1.4.1"]),
        ([*OPEN, {"fixed": "1.5"}], "<= 1.4.1", [">=1.0,<1.5"]),
        ([*OPEN, {"last_affected": "1.3"}], "<= 1.4.1", [">=1.0,<=1.3"]),
        (OPEN, None, [">=1.0"]),
        (OPEN, "some", [">=1.0"]),
        (OPEN, ["<= 1"], [">=1.0"]),
    ],
)
def test_a_range_without_an_end_ends_where_github_knows_it(
    events: list[Json], last_known: object, ranges: list[str]
) -> None:
    read = osv.parse_entry(of_github(events, last_known), READING)
    assert [range_text(r) for r in read.affected[0].ranges] == ranges


def test_an_unreviewed_entry_adds_ids_and_severity_and_no_package() -> None:
    vector = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
    read = osv.parse_entry(of_github([], severity=[vector], affected=[]), READING)
    assert (read.id, read.aliases, read.cvss, read.affected, read.flags) == (
        "GHSA-aaaa-bbbb-cccc", ("CVE-2026-0001",), 9.8, (), (),
    )  # fmt: skip
    found = findings("libcurl", "8.6.0", read, nvd_on_curl("8.8.0"))["CVE-2026-0001"]
    assert (found.ids, found.severity) == (("CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"), "critical")


# -- malicious packages -------------------------------------------------------------------------------------------------


def test_a_malicious_package_is_malware_and_a_withdrawn_one_is_not() -> None:
    entry: Json = {
        "id": "MAL-2026-1",
        "modified": "2026-01-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "acme-requests", "purl": "pkg:pypi/acme-requests"},
                "versions": ["1.2.0"],
                "database_specific": {"cwes": [{"cweId": "CWE-506", "name": "Embedded Malicious Code"}]},
            }
        ],
    }
    read = osv.parse_entry(entry, READING)
    assert read.cwes == ("CWE-506",)
    assert findings("acme-requests", "1.2.0", read)["MAL-2026-1"].severity == "malware"
    assert not findings("acme-requests", "1.3.0", read)
    assert not findings(
        "acme-requests", "1.2.0", osv.parse_entry({**entry, "withdrawn": "2026-02-01T00:00:00Z"}, READING)
    )
