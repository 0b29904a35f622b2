"""The whole way to a component's findings: every outcome, and that it is the way that matching goes."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from antivenom.core.feeds.entry import Reading
from antivenom.core.feeds.osv import parse_entry
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.explain import Considered, Explanation, NameOutcome, Outcome, Result, explain
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in

MAPS = NameMaps(
    {"pillow": {"conda-forge": {"pypi": ("pillow",)}}, "namesake": {"conda-forge": {"pypi": ()}}},
    {"pypi/pillow": ("python:pillow",)},
)


def until(fixed: str | None, introduced: str | None = None, scheme: str = "cpe") -> AffectedRange:
    return AffectedRange(scheme, introduced, fixed=fixed)


def nvd(advisory_id: str, product: str, *bounds: AffectedRange, summary: str = "", platforms: str = "") -> Advisory:
    affected = AffectedPackage("cpe", product, bounds, platforms=(platforms,) if platforms else ())
    return Advisory(advisory_id, "nvd", summary=summary, affected=(affected,))


def osv(advisory_id: str, project: str, cve: str = "", withdrawn: str = "") -> Advisory:
    affected = AffectedPackage("pypi", project, (until("9.0", scheme="pep440"),))
    return Advisory(advisory_id, "osv", (cve,) if cve else (), withdrawn=withdrawn, affected=(affected,))


def julia(advisory_id: str, name: str, fixed: str, cve: str) -> Advisory:
    affected = AffectedPackage("julia-builds", name, (until(fixed),))
    return Advisory(advisory_id, "osv", (cve,), affected=(affected,))


def commits(advisory_id: str, cve: str) -> Advisory:
    entry = {
        "id": advisory_id,
        "aliases": [cve],
        "modified": "2026-01-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "OSS-Fuzz", "name": "openssl"},
                "ranges": [{"type": "GIT", "repo": "https://example.org/openssl", "events": [{"introduced": "0"}]}],
            }
        ],
    }
    return parse_entry(entry, Reading(datetime(2026, 11, 28, tzinfo=UTC)))


KNOWN = (
    nvd("CVE-2026-0001", "openssl:openssl", until("3.0.8", "3.0.0"), until("1.1.1t", "1.1.1")),
    julia("JLSEC-1", "OpenSSL_jll", "1.1.1t", "CVE-2026-0001"),
    nvd("CVE-2026-0002", "openssl:openssl", until("3.0.6")),
    julia("JLSEC-2", "OpenSSL_jll", "3.0.9", "CVE-2026-0002"),
    nvd("CVE-2026-0003", "openssl:openssl", until("4.0"), platforms="windows"),
    commits("OSV-2026-4", "CVE-2026-0004"),
    nvd("CVE-2026-0005", "postgresql:postgresql", until("16.0"), summary="A flaw in the server's planner"),
    osv("PYSEC-1", "pillow", "CVE-2026-0006"),
    nvd("CVE-2026-0006", "python:pillow", until("12.0")),
    osv("PYSEC-2", "pillow", "CVE-2026-0007", withdrawn="2026-02-01T00:00:00Z"),
)


@pytest.fixture(scope="module")
def index() -> MatchIndex:
    return MatchIndex.load(build_index(KNOWN, None, MAPS, built_in()))


def told(index: MatchIndex, name: str, version: str, subdir: str = "") -> Explanation:
    return explain(index, ComponentKey("conda", name, version, subdir=subdir), "conda-forge")


def one(found: Explanation, vulnerability: str) -> Considered:
    [item] = [c for c in found.considered if vulnerability in c.ids]
    return item


def test_a_finding_shows_who_decides_and_what_the_others_say(index: MatchIndex) -> None:
    item = one(told(index, "openssl", "3.0.7"), "CVE-2026-0001")
    assert (item.outcome, item.why) == (Outcome.finding, "3.0.7 is in >=3.0.0,<3.0.8, says NVD")
    nvd_says, julia_says = item.comparisons
    assert (nvd_says.decides, nvd_says.result, nvd_says.ranges) == (True, Result.inside, (">=3.0.0,<3.0.8",))
    assert (nvd_says.name, nvd_says.via) == (
        "cpe/openssl:openssl",
        "curated: conda openssl is CPE product openssl:openssl",
    )
    assert (julia_says.decides, julia_says.result, julia_says.rank) == (False, Result.outside, "Julia")
    assert julia_says.why == "not heard: NVD goes first"


def test_what_does_not_affect_the_version_names_the_ranges_and_who_would_say_otherwise(index: MatchIndex) -> None:
    item = one(told(index, "openssl", "3.0.7"), "CVE-2026-0002")
    assert item.outcome is Outcome.not_affected
    assert item.why == "3.0.7 is not in <3.0.6, says NVD, which goes before Julia"


def test_another_platform_is_no_finding_where_the_subdir_is_known(index: MatchIndex) -> None:
    everywhere, linux = told(index, "openssl", "3.0.7"), told(index, "openssl", "3.0.7", "linux-64")
    assert one(everywhere, "CVE-2026-0003").outcome is Outcome.finding
    item = one(linux, "CVE-2026-0003")
    assert (item.outcome, item.rule) == (Outcome.other_platform, "platform")
    assert "windows" in item.why


def test_commits_alone_are_undecided(index: MatchIndex) -> None:
    item = one(told(index, "openssl", "3.0.7"), "CVE-2026-0004")
    assert (item.outcome, item.why) == (Outcome.undecided, "it names commits only, and no other source names releases")
    assert item.comparisons[0].result is Result.not_compared


def test_a_version_without_a_number_is_undecided_and_not_clean(index: MatchIndex) -> None:
    found = told(index, "openssl", "trunk")
    assert not found.assessed
    assert {c.outcome for c in found.considered} == {Outcome.undecided}
    assert one(found, "CVE-2026-0001").why == "trunk has no number that could be compared"


def test_what_a_rule_sets_aside_names_the_row_and_its_reason(index: MatchIndex) -> None:
    item = one(told(index, "libpq", "15.0"), "CVE-2026-0005")
    assert (item.outcome, item.rule) == (Outcome.set_aside, "parts/libpq")
    assert "not about the client library" in item.why
    assert item.comparisons[0].ignored_by == "parts/libpq"
    assert one(told(index, "libpq", "17.0"), "CVE-2026-0005").outcome is Outcome.not_affected


def test_an_own_advisory_that_was_taken_back_is_shown(index: MatchIndex) -> None:
    found = told(index, "pillow", "8.0")
    item = one(found, "CVE-2026-0007")
    assert (item.outcome, item.comparisons[0].why) == (Outcome.withdrawn, "withdrawn: it finds nothing")
    assert one(found, "CVE-2026-0006").comparisons[0].rank == "an advisory of its own ecosystem"


def test_every_name_that_was_tried_says_what_became_of_it(index: MatchIndex) -> None:
    names = {n.name: n for n in told(index, "pillow", "8.0").names}
    assert (names["pillow"].outcome, names["pillow"].advisories) == (NameOutcome.heard, 2)
    assert names["pillow"].via == "name map of conda-forge: conda pillow is PyPI pillow"
    bash = told(index, "bash", "5.2")
    assert not bash.assessed
    [name] = bash.names
    assert (name.name, name.outcome) == ("gnu:bash", NameOutcome.unread)
    assert "NVD's whole list" in name.why
    nowhere = told(index, "no-such-thing", "1.0")
    assert {n.outcome for n in nowhere.names} == {NameOutcome.no_evidence}
    assert not nowhere.considered
    assert "not in the name map" in nowhere.reason


def test_a_metapackage_says_where_to_look(index: MatchIndex) -> None:
    found = told(index, "python-gil", "3.12")
    assert (found.depends_on, found.names, found.considered) == ("python", (), ())


def test_a_metapackage_with_advisories_of_its_own_is_explained_by_them() -> None:
    own = Advisory("MAL-1", "osv", affected=(AffectedPackage("conda", "python-gil", (until("3.12"),)),))
    index = MatchIndex.load(build_index((*KNOWN, own), None, MAPS, built_in()))
    found = told(index, "python-gil", "3.11")
    assert (found.depends_on, one(found, "MAL-1").outcome) == ("", Outcome.finding)


@pytest.mark.parametrize("name", ["openssl", "libpq", "pillow", "bash", "no-such-thing", "python-gil"])
@pytest.mark.parametrize("version", ["1.0", "3.0.5", "3.0.7", "8.0", "17.0", "trunk"])
@pytest.mark.parametrize("subdir", ["", "linux-64", "win-64"])
def test_it_finds_and_sets_aside_exactly_what_matching_does(
    index: MatchIndex, name: str, version: str, subdir: str
) -> None:
    key = ComponentKey("conda", name, version, subdir=subdir)
    found = explain(index, key, "conda-forge")
    [assessment] = index.assess([key], "conda-forge")
    [ignored] = index.list_ignored([key], "conda-forge")
    by_outcome = {outcome: [c.ids for c in found.considered if c.outcome is outcome] for outcome in Outcome}
    assert by_outcome[Outcome.finding] == [f.ids for f in assessment.findings]
    assert sorted(by_outcome[Outcome.set_aside] + by_outcome[Outcome.other_platform]) == sorted(f.ids for f in ignored)
    assert (found.assessed, found.reason) == (assessment.assessed, assessment.reason)
    assert sum(found.counts.values()) == len(found.considered)
    for item in found.considered:
        if item.outcome is Outcome.finding:
            assert any(c.decides and c.result is Result.inside for c in item.comparisons)
        if item.outcome is Outcome.not_affected:
            assert not any(c.decides and c.result is Result.inside for c in item.comparisons)
    assert msgspec.json.encode(found)
