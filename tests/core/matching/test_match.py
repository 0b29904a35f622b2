"""Compiling advisories and assessing components: rules, traps of names, evidence."""

from __future__ import annotations

from typing import Any

import pytest

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching import match
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange, Assessment, Severity
from antivenom.core.matching.compile_index import Exploited, build_index
from antivenom.core.matching.fixes import fix_in_channel
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in


def python(name: str, *ranges: AffectedRange, versions: tuple[str, ...] = ()) -> AffectedPackage:
    return AffectedPackage("pypi", name, ranges, versions)


def until(fixed: str, introduced: str | None = None, scheme: str = "pep440") -> AffectedRange:
    return AffectedRange(scheme, introduced, fixed=fixed)


def product(name: str, *ranges: AffectedRange) -> AffectedPackage:
    return AffectedPackage("cpe", name, ranges)


MAPS = NameMaps(
    {
        name: {"conda-forge": {"pypi": names}}
        for name, names in {
            "redis-py": ("redis",),
            "cmake": (),
            "py-opencv": ("opencv-python", "opencv-python-headless"),
            "ray-core": ("aiohttp", "ray"),
            "pillow": ("pillow",),
        }.items()
    },
    {"pypi/pillow": ("python:pillow",)},
)


def open_index(*advisories: Advisory, maps: NameMaps = MAPS, **exploited: Exploited) -> MatchIndex:
    by_cve = {k.replace("_", "-"): v for k, v in exploited.items()}
    return MatchIndex.load(build_index(advisories, by_cve, maps, built_in()))


def assess(index: MatchIndex, name: str, version: str = "1.0", **more: tuple[str, ...]) -> Assessment:
    kind = "purl" if name.startswith("pkg:") else "conda"
    return index.assess([ComponentKey(kind, name, version, **more)], "conda-forge")[0]  # type: ignore[arg-type]


def ids(assessment: Assessment) -> list[str]:
    return [f.ids[0] for f in assessment.findings]


def test_aliases_across_sources_are_one_finding_with_all_ids() -> None:
    index = open_index(
        Advisory("PYSEC-1", "osv", ("GHSA-a-b-c",), affected=(python("pillow", until("2")),)),
        Advisory("GHSA-a-b-c", "osv", ("CVE-1-1",), affected=(python("pillow", until("2")),)),
        Advisory("CVE-1-1", "nvd", affected=(product("python:pillow", until("3", scheme="cpe")),)),
    )
    [finding] = assess(index, "pillow").findings
    assert finding.ids == ("CVE-1-1", "GHSA-a-b-c", "PYSEC-1")
    assert ids(assess(index, "pillow", "2.5")) == []  # the OSV range is believed, not NVD's


def test_a_cpe_range_is_heard_when_no_advisory_names_the_pypi_package() -> None:
    index = open_index(
        Advisory("PYSEC-1", "osv", affected=(python("pillow", until("0.1")),)),
        Advisory("CVE-1-2", "nvd", affected=(product("python:pillow", until("3", scheme="cpe")),)),
    )
    [finding] = assess(index, "pillow", "2.5").findings
    assert (finding.ids, finding.confidence) == (("CVE-1-2",), "low")


def test_a_withdrawn_advisory_finds_nothing_and_silences_the_cpe_range() -> None:
    index = open_index(
        Advisory(
            "PYSEC-1", "osv", ("CVE-1-1",), withdrawn="2024-01-01T00:00:00Z", affected=(python("pillow", until("2")),)
        ),
        Advisory("CVE-1-1", "nvd", affected=(product("python:pillow", until("2", scheme="cpe")),)),
    )
    assert assess(index, "pillow").findings == ()


def test_equal_names_of_other_things_are_not_matched() -> None:
    index = open_index(*(Advisory(f"PYSEC-{n}", "osv", affected=(python(n, until("99")),)) for n in
                         ("redis", "cmake", "git", "zstd", "openssl", "snappy", "aiohttp")))  # fmt: skip
    for name in ("redis", "cmake", "git", "zstd", "openssl", "snappy", "libsnappy"):
        assert assess(index, name).findings == ()
    assert ids(assess(index, "redis-py")) == ["PYSEC-redis"]
    assert ids(assess(index, "ray-core")) == []  # it vendors aiohttp; its version is ray's


def test_without_any_map_curated_names_work_and_guesses_are_low() -> None:
    index = open_index(
        Advisory("PYSEC-1", "osv", affected=(python("torch", until("2")), python("foobar", until("2")))),
        Advisory("CVE-1-1", "nvd", affected=(product("haxx:curl", until("8.0", scheme="cpe")),)),
        maps=NameMaps(),
    )
    assert [f.confidence for f in assess(index, "pytorch").findings] == ["medium"]
    assert [f.confidence for f in assess(index, "foobar").findings] == ["low"]
    assert ids(assess(index, "libcurl", "7.88.0")) == ["CVE-1-1"]
    assert not assess(index, "no-such-thing").assessed


def test_a_purl_on_the_record_is_exact_and_beats_the_map() -> None:
    index = open_index(Advisory("PYSEC-1", "osv", affected=(python("other", until("2")),)))
    [finding] = assess(index, "pillow", purls=("pkg:pypi/Other",)).findings
    assert finding.confidence == "exact"


@pytest.mark.parametrize(("version", "hit"), [("1.9", True), ("2.0", False), ("2.5", False), ("3.0", True), ("3.1", True),
                                              ("3.2", False), ("7.7", True), ("not-a-number", False)])  # fmt: skip
def test_ranges_listed_versions_and_bad_listed_versions(version: str, hit: bool) -> None:
    ranges = (until("2.0"), AffectedRange("pep440", "3.0", last_affected="3.1"))
    index = open_index(
        Advisory("PYSEC-1", "osv", affected=(python("pillow", *ranges, versions=("???", "7.7", "1.9")),))
    )
    assert bool(assess(index, "pillow", version).findings) is hit


SHAPES: list[tuple[dict[str, str | bool], str, str]] = [  # a range, versions in it, versions that are not
    ({}, "0 1.9 2.0 3.0 99", ""),
    ({"introduced": "0"}, "0 1.9 2.0 3.0 99", ""),
    ({"introduced": "2.0"}, "2.0 2.5 3.0 99 20261121", "0 1.9"),
    ({"introduced": "2.0", "introduced_excluded": True}, "2.5 3.0 99 20261121", "0 1.9 2.0"),
    ({"introduced": "2.0", "fixed": "3.0"}, "2.0 2.5", "0 1.9 3.0 99"),
    ({"introduced": "2.0", "last_affected": "3.0"}, "2.0 2.5 3.0", "0 1.9 3.1 99"),
    ({"fixed": "3.0"}, "0 1.9 2.9", "3.0 99"),
    ({"last_affected": "3.0"}, "0 1.9 3.0", "3.1 99"),
    ({"introduced": "3.0", "fixed": "3.0"}, "", "0 2.9 3.0 3.1"),
    ({"introduced": "3.0", "fixed": "2.0"}, "", "0 1.9 2.5 3.1"),
    ({"introduced": "3.0", "last_affected": "3.0"}, "3.0", "2.9 3.1"),
]


@pytest.mark.parametrize("scheme", ["pep440", "semver", "generic", "cpe"])
@pytest.mark.parametrize(("bounds", "inside", "outside"), SHAPES)
def test_a_range_of_any_shape_holds_what_lies_between_its_bounds_and_without_an_end_all_that_follows(
    scheme: str, bounds: dict[str, Any], inside: str, outside: str
) -> None:
    affected = AffectedRange(scheme, **bounds)
    package = python("pillow", affected) if scheme == "pep440" else product("zlib:zlib", affected)
    index = open_index(Advisory("A-1", "osv" if scheme == "pep440" else "nvd", affected=(package,)))
    name = "pillow" if scheme == "pep440" else "zlib"
    assert [v for v in inside.split() if ids(assess(index, name, v)) != ["A-1"]] == []
    assert [v for v in outside.split() if ids(assess(index, name, v))] == []


@pytest.mark.parametrize(
    ("affected", "confidence", "told"),
    [
        (AffectedRange("cpe"), "low", "all versions"),
        (AffectedRange("cpe", "1.0"), "medium", ">=1.0"),
        (AffectedRange("cpe", "1.0", introduced_excluded=True), "medium", ">1.0"),
        (AffectedRange("cpe", fixed="9"), "medium", "<9"),
    ],
)
def test_only_a_range_without_any_bound_is_low_and_a_listed_version_that_it_covers_is_not_told_again(
    affected: AffectedRange, confidence: str, told: str
) -> None:
    package = AffectedPackage("cpe", "zlib:zlib", (affected,), ("1.2", "1.3"))
    index = open_index(Advisory("CVE-1-1", "nvd", affected=(package,)))
    [finding] = assess(index, "zlib", "1.2").findings
    assert (finding.confidence, [e.range for e in finding.evidence]) == (confidence, [told])


@pytest.mark.parametrize("standing", ["A-1", "A-2"])
@pytest.mark.parametrize("source", ["osv", "nvd"])
def test_a_withdrawn_entry_takes_back_its_own_word_and_not_that_of_others_as_precise(
    source: str, standing: str
) -> None:
    package = python("pillow", until("2")) if source == "osv" else product("zlib:zlib", until("2", scheme="cpe"))
    index = open_index(
        *(
            Advisory(i, source, ("CVE-1-1",), withdrawn="" if i == standing else "2024-01-01T", affected=(package,))
            for i in ("A-1", "A-2")
        )
    )
    [finding] = assess(index, "pillow" if source == "osv" else "zlib").findings
    assert [e.source for e in finding.evidence] == [f"{standing} ({source})"]


def test_where_all_was_withdrawn_a_version_without_a_number_is_clean_like_any_other() -> None:
    gone = Advisory("PYSEC-1", "osv", withdrawn="2024-01-01T00:00:00Z", affected=(python("pillow", until("2")),))
    nvd = Advisory("CVE-1-1", "nvd", ("PYSEC-1",), affected=(product("python:pillow", until("2", scheme="cpe")),))
    index = open_index(gone, nvd)
    assert assess(index, "pillow", "nightly") == assess(index, "pillow", "1.0")
    assert assess(index, "pillow", "nightly").assessed


def test_bounds_that_are_not_pep440_are_kept() -> None:
    index = open_index(
        Advisory("PYSEC-1", "osv", affected=(python("pillow", AffectedRange("pep440", last_affected="2.6.0-NA")),))
    )
    assert ids(assess(index, "pillow", "2.6.0")) == ["PYSEC-1"]
    assert ids(assess(index, "pillow", "2.6.1")) == []


def test_score_risk_and_fixed_versions() -> None:
    index = open_index(
        Advisory("CVE-1-1", "nvd", cvss_vectors=("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",),
                 affected=(product("openssl:openssl", until("1.1.1y", "1.1.1", "cpe"), until("3.0.14", "3.0", "cpe")),)),
        CVE_1_1=Exploited(epss=0.5),
    )  # fmt: skip
    [finding] = assess(index, "openssl", "1.1.1k").findings
    assert (finding.severity, finding.cvss, finding.risk) == ("critical", 9.8, 47.0)
    assert finding.fixed_versions == ("1.1.1y", "3.0.14")
    assert finding.evidence[0].range == ">=1.1.1,<1.1.1y"
    assert not fix_in_channel(finding, ["1.1.1k", "1.1.1w", "3.0.7"])
    assert fix_in_channel(finding, ["3.0.14"])
    assert fix_in_channel(finding, ["1.1.1y"])


def test_equal_answers_are_one_object_and_input_order_is_kept() -> None:
    index = open_index(Advisory("PYSEC-1", "osv", affected=(python("pillow", until("2")),)))
    keys = [ComponentKey("conda", "pillow", v) for v in ("3", "1.0", "4", "1.1")]
    answers = index.assess(keys, "conda-forge")
    assert answers[0] is answers[2]
    assert answers[1] is answers[3]
    assert [len(a.findings) for a in answers] == [0, 1, 0, 1]


def test_the_index_does_not_depend_on_the_order_of_advisories() -> None:
    some = [
        Advisory(f"PYSEC-{i}", "osv", (f"CVE-1-{i % 3}",), affected=(python("pillow", until("2")),)) for i in range(7)
    ]
    assert build_index(some) == build_index(list(reversed(some)))


@pytest.mark.parametrize("newest_first", [True, False])
def test_of_two_versions_of_one_entry_the_newer_counts(newest_first: bool) -> None:
    old = Advisory("PYSEC-1", "osv", modified="2026-01-01T00:00:00Z", affected=(python("pillow", until("9")),))
    new = Advisory("PYSEC-1", "osv", modified="2026-02-01T00:00:00Z", affected=(python("pillow", until("2")),))
    index = open_index(*([new, old] if newest_first else [old, new]))
    answers = index.assess([ComponentKey("conda", "pillow", v) for v in ("1", "3")], "conda-forge")
    assert [len(a.findings) for a in answers] == [1, 0]


def test_advisories_that_a_third_joins_later_are_one_vulnerability_with_the_facts_of_all() -> None:
    one = Advisory("GHSA-a", "osv", cvss=5.0, severity=Severity.medium, affected=(python("pillow", until("2")),))
    two = Advisory("PYSEC-1", "osv", published="2026-01-01T00:00:00Z", affected=(python("pillow", until("3")),))
    bridge = Advisory("CVE-2026-1", "osv", ("GHSA-a", "PYSEC-1"))
    index = open_index(one, two, bridge)
    (finding,) = index.assess([ComponentKey("conda", "pillow", "1")], "conda-forge")[0].findings
    assert finding.ids == ("CVE-2026-1", "GHSA-a", "PYSEC-1")
    assert (finding.cvss, finding.published) == (5.0, "2026-01-01T00:00:00Z")


def test_a_damaged_index_is_refused() -> None:
    for data in (b"", b"x" * 40, build_index([])[:-3]):
        with pytest.raises(InvalidInputError):
            MatchIndex.load(data)


def test_the_short_way_for_names_that_only_the_map_knows_says_what_the_long_one_says() -> None:
    index = open_index(
        Advisory("PYSEC-1", "osv", affected=(python("pillow", until("2")),)),
        Advisory("CVE-1-1", "nvd", affected=(product("cmake:cmake", until("2", scheme="cpe")),)),
        maps=NameMaps(
            {n: {"conda-forge": {"pypi": p}} for n, p in {
                "pillow": ("pillow",), "attrs": ("attrs",), "libquux": (), "cmake": (), "two": ("a", "b"), "r-x": (),
            }.items()},
            {"pypi/attrs": ("attrs_project:attrs",)},
        ),
    )  # fmt: skip
    names = ["pillow", "attrs", "libquux", "cmake", "two", "r-x", "unheard-of", "openssl"]
    short = [assess(index, name) for name in names]
    slow = open_slowly(index)
    assert short == [assess(slow, name) for name in names]
    assert {a.assessed for a in short} == {True, False}


def open_slowly(index: MatchIndex) -> MatchIndex:
    class Slow(MatchIndex):
        def _clean_at_once(self, name: str, channel: str) -> None:
            return None

    return Slow(index._index)


def test_a_part_of_a_product_and_a_range_without_bounds_are_low() -> None:
    index = open_index(
        Advisory(
            "CVE-1-1", "nvd", summary="libpq", affected=(product("postgresql:postgresql", until("16.1", "16", "cpe")),)
        ),
        Advisory("CVE-1-2", "nvd", affected=(product("python:python", AffectedRange("cpe")),)),
    )
    assert [f.confidence for f in assess(index, "postgresql", "16.0").findings] == ["medium"]
    assert [f.confidence for f in assess(index, "libpq", "16.0").findings] == ["low"]
    assert [f.confidence for f in assess(index, "python", "3.12").findings] == ["low"]


def test_one_vulnerability_cites_every_source_that_agrees_and_the_most_precise_decides() -> None:
    julia = AffectedPackage("julia-builds", "Zlib_jll", (AffectedRange("generic", fixed="1.3.2"),))
    index = open_index(
        Advisory("CVE-1-1", "nvd", affected=(product("zlib:zlib", until("1.3", scheme="cpe")),)),
        Advisory("JLSEC-1", "osv", aliases=("CVE-1-1",), affected=(julia,)),
    )
    [finding] = assess(index, "zlib", "1.2").findings
    assert [e.source for e in finding.evidence] == ["CVE-1-1 (nvd)", "JLSEC-1 (osv)"]
    assert finding.fixed_versions == ("1.3",)
    assert assess(index, "zlib", "1.3.1").findings == ()  # Julia rebuilt late; NVD knows the fix


@pytest.mark.parametrize("vague", [AffectedRange("cpe", "1.0"), AffectedRange("cpe", "8.4", fixed="8.4")])
def test_an_empty_or_endless_range_does_not_silence_a_source_that_names_the_fix(vague: AffectedRange) -> None:
    julia = AffectedPackage("julia-builds", "Zlib_jll", (AffectedRange("generic", fixed="1.3.0"),))
    index = open_index(
        Advisory("CVE-1-1", "nvd", affected=(product("zlib:zlib", vague),)),
        Advisory("JLSEC-1", "osv", aliases=("CVE-1-1",), affected=(julia,)),
    )
    assert ids(assess(index, "zlib", "1.2")) == ["CVE-1-1"]
    assert ids(assess(index, "zlib", "1.3.1")) == []


def test_a_client_package_has_of_its_servers_vulnerabilities_those_that_say_so() -> None:
    affected = (product("oracle:mysql", until("8.0.40", "8.0", "cpe")),)
    index = open_index(
        Advisory("CVE-1-1", "nvd", summary="MySQL Server (component: InnoDB)", affected=affected),
        Advisory("CVE-1-2", "nvd", summary="MySQL Server (component: Client: mysqldump)", affected=affected),
        Advisory("CVE-1-3", "nvd", summary="Quoting functions miss something", affected=affected),
    )
    assert sorted(ids(assess(index, "mysql-server", "8.0.3"))) == ["CVE-1-1", "CVE-1-2", "CVE-1-3"]
    assert ids(assess(index, "mysql-client", "8.0.3")) == ["CVE-1-2"]
    assert ids(assess(index, "mysql-libs", "8.0.3")) == []  # nothing says that it is of the library


def test_releases_that_the_project_names_go_before_what_feeds_say_of_its_product() -> None:
    index = open_index(Advisory("CVE-2023-0286", "nvd", affected=(product("openssl:openssl", until("1.1.1t")),)))
    [finding] = assess(index, "openssl", "3.0.7").findings
    assert [(e.source, e.range) for e in finding.evidence] == [("CVE-2023-0286 (curated)", ">=3.0.0,<3.0.8")]
    assert finding.fixed_versions == ("3.0.8",)
    assert assess(index, "openssl", "3.0.8").findings == ()
    assert assess(index, "openssl", "1.0.1").findings == ()


def test_the_curated_releases_invent_nothing() -> None:
    wheels = AffectedPackage("pypi", "cryptography", (until("39.0.1"),))
    told = Advisory("PYSEC-1", "osv", aliases=("CVE-2023-0286",), affected=(wheels,))
    assert not assess(open_index(told), "openssl", "3.0.7").assessed  # no feed of products
    other = Advisory("CVE-1-1", "nvd", affected=(product("openssl:openssl", until("1.0")),))
    assert assess(open_index(other), "openssl", "3.0.7").findings == ()  # no feed knows CVE-2023-0286
    [finding] = assess(open_index(told, other), "openssl", "3.0.7").findings
    assert finding.ids == ("CVE-2023-0286", "PYSEC-1")


def test_a_feed_that_names_a_package_now_and_then_does_not_cover_its_ecosystem() -> None:
    npm = AffectedPackage("npm", "left-pad", (until("1.3", scheme="semver"),))
    index = open_index(Advisory("CVE-1-1", "cve5", affected=(npm, product("a:b", until("2", scheme="cpe")))))
    assert ids(assess(index, "pkg:npm/left-pad@1.2", "")) == ["CVE-1-1"]
    lodash = assess(index, "pkg:npm/lodash@4.17.15", "")
    assert not lodash.assessed
    assert "npm" in lodash.reason


@pytest.mark.parametrize("source", ["bitnami", "julia-builds", "oss-fuzz"])
def test_who_lists_what_they_build_covers_only_what_they_list(source: str) -> None:
    listed = AffectedPackage(source, "redis", (until("7.0", scheme="semver"),))
    index = open_index(Advisory("BIT-1", "osv", affected=(listed,)))
    assert not assess(index, "openssl", "3.0.7").assessed
    assert not assess(index, f"pkg:{source}/openssl@3.0.7", "").assessed


def test_what_only_a_map_of_products_suggests_is_never_clean() -> None:
    index = open_index(Advisory("CVE-1-1", "nvd", affected=(product("python:pillow", until("9.0", scheme="cpe")),)))
    assert ids(assess(index, "pillow", "8.0")) == ["CVE-1-1"]
    assert not assess(index, "pillow", "9.0").assessed  # no feed of PyPI's advisories


def test_a_summary_is_about_the_vulnerability_and_not_about_somebodys_copy() -> None:
    wheels = AffectedPackage("pypi", "cryptography", (until("39.0.1"),))
    index = open_index(
        Advisory("PYSEC-1", "osv", aliases=("CVE-1-1",), summary="OpenSSL included in wheels", affected=(wheels,)),
        Advisory("CVE-1-1", "cve5", summary="X.400 address type confusion in X.509 GeneralName"),
    )
    [finding] = assess(index, "pkg:pypi/cryptography@38.0", "").findings
    assert finding.summary.startswith("X.400")


def test_the_scheme_of_a_package_url_may_be_written_large() -> None:
    index = open_index(Advisory("PYSEC-1", "osv", affected=(python("pillow", until("9.0")),)))
    [assessment] = index.assess([ComponentKey("purl", "PKG:pypi/Pillow@8.0", "")])
    assert ids(assessment) == ["PYSEC-1"]


def test_a_product_that_several_languages_have_is_not_pythons_where_the_text_names_another() -> None:
    pillow = (product("python:pillow", until("9.0", scheme="cpe")),)
    index = open_index(
        Advisory("CVE-1-1", "nvd", summary="Stack overflow in the Java runtime", affected=pillow),
        Advisory("CVE-1-2", "nvd", summary="Use after free in C++ and Python", affected=pillow),
        Advisory("CVE-1-3", "nvd", summary="Use after free", affected=pillow),
    )
    assert sorted(ids(assess(index, "pillow", "8.0"))) == ["CVE-1-2", "CVE-1-3"]


def test_the_native_one_of_several_implementations_has_not_what_is_of_another_language() -> None:
    thrift = (product("apache:thrift", until("0.23", scheme="cpe")),)
    index = open_index(
        Advisory("CVE-1-1", "nvd", summary="Apache Thrift: Swift Range crash in skip()", affected=thrift),
        Advisory("CVE-1-2", "nvd", summary="Apache Thrift: C++ JSON OOB read", affected=thrift),
        Advisory("CVE-1-3", "nvd", summary="Apache Thrift: DoS", affected=thrift),
        Advisory("CVE-1-4", "nvd", summary="Apache Thrift: C++ and Java framing", affected=thrift),
    )
    assert sorted(ids(assess(index, "libthrift", "0.22.0"))) == ["CVE-1-2", "CVE-1-3", "CVE-1-4"]


def crate(name: str, *ranges: AffectedRange) -> AffectedPackage:
    return AffectedPackage("crates.io", name, ranges)


def test_an_advisory_of_several_cves_is_a_finding_of_each() -> None:
    index = open_index(
        Advisory("RUSTSEC-1", "osv", ("CVE-1-1", "CVE-1-2"), affected=(crate("x", until("2", scheme="semver")),)),
        CVE_1_2=Exploited(epss=0.5),
    )
    findings = assess(index, "pkg:cargo/x@1.0.0").findings
    assert [(f.ids, f.epss) for f in findings] == [
        (("CVE-1-2", "RUSTSEC-1"), 0.5),
        (("CVE-1-1", "RUSTSEC-1"), None),
    ]
    assert {e.source for f in findings for e in f.evidence} == {"RUSTSEC-1 (osv)"}


def test_an_advisory_of_one_cve_is_heard_before_one_of_several() -> None:
    index = open_index(
        Advisory("RUSTSEC-1", "osv", ("CVE-1-1", "CVE-1-2"), affected=(crate("x", until("2", scheme="semver")),)),
        Advisory("GHSA-a", "osv", ("CVE-1-1",), affected=(crate("x", until("1.5", scheme="semver")),)),
    )
    assert sorted(ids(assess(index, "pkg:cargo/x@1.0.0"))) == ["CVE-1-1", "CVE-1-2"]
    assert ids(assess(index, "pkg:cargo/x@1.7.0")) == ["CVE-1-2"]


def test_whoever_asks_for_names_that_are_not_there_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "PLANS_MAX", 10)
    index = MatchIndex.load(build_index([]))
    asked = [ComponentKey("conda", f"n{number}", "1.0") for number in range(95)]
    assert len(index.assess(asked)) == 95
    assert len(index._plans) <= 10
    assert index.list_ignored(asked) == [()] * 95
