"""What an advisory's package is compiled to: a table for each kind of bound, list and source."""

from __future__ import annotations

from itertools import permutations

import pytest

from antivenom.core.matching.advisories import REJECTED, Advisory, AffectedPackage, AffectedRange, Severity
from antivenom.core.matching.compile_index import Exploited, build_index, compile_package, package_key, range_text
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom_client.version_keys import version_key

PSEUDO = "0.0.0-20240527191746-e0fe7cc39172"
EXCLUDED = {"introduced_excluded": True}


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        (AffectedRange("pep440"), "all versions"),
        (AffectedRange("pep440", "0"), "all versions"),
        (AffectedRange("pep440", "0.0.0-0"), "all versions"),
        (AffectedRange("pep440", ""), "all versions"),
        (AffectedRange("pep440", "1"), ">=1"),
        (AffectedRange("pep440", "1", True), ">1"),
        (AffectedRange("pep440", "1", fixed="2"), ">=1,<2"),
        (AffectedRange("pep440", "1", last_affected="2"), ">=1,<=2"),
        (AffectedRange("pep440", "0", fixed="2"), "<2"),
        (AffectedRange("pep440", None, fixed="2", last_affected="1.9"), "<2"),
    ],
)
def test_a_range_reads_as_people_write_it(bounds: AffectedRange, text: str) -> None:
    assert range_text(bounds) == text


def compiled(*ranges: AffectedRange, ecosystem: str = "cpe", source: str = "nvd", **fields: object):  # type: ignore[no-untyped-def]
    flags = fields.pop("flags", ())
    affected = AffectedPackage(ecosystem, "v:p", ranges, **fields)  # type: ignore[arg-type]
    return compile_package(Advisory("A-1", source, flags=flags), affected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ranges", "texts", "is_open", "is_unbounded"),
    [
        ([AffectedRange("cpe")], ["all versions"], True, True),
        ([AffectedRange("cpe", "1")], [">=1"], True, False),
        ([AffectedRange("cpe", "x")], [">=x"], True, True),  # a start without a number
        ([AffectedRange("cpe", fixed="2")], ["<2"], False, False),
        ([AffectedRange("cpe", fixed="2"), AffectedRange("cpe", "3")], ["<2", ">=3"], True, False),
        ([AffectedRange("cpe", "2", fixed="2")], [], False, False),
        ([AffectedRange("cpe", "2", last_affected="2")], [">=2,<=2"], False, False),
        ([AffectedRange("cpe", "2", True, last_affected="2")], [], False, False),
        ([AffectedRange("cpe", "1", fixed="soon"), AffectedRange("cpe", "3", fixed="4")], [">=3,<4"], False, False),
        ([AffectedRange("cpe", PSEUDO, fixed="2")], [], False, False),
        ([AffectedRange("cpe", "1", fixed=PSEUDO)], [], False, False),
        ([AffectedRange("cpe", fixed=f"v{PSEUDO}"), AffectedRange("cpe", "0", fixed="1")], ["<1"], False, False),
    ],
)
def test_a_range_that_is_empty_or_ends_nowhere_drops_nothing_but_itself(
    ranges: list[AffectedRange], texts: list[str], is_open: bool, is_unbounded: bool
) -> None:
    package = compiled(*ranges)
    assert [interval.text for interval in package.intervals] == texts
    assert (package.is_open, package.is_unbounded) == (is_open, is_unbounded)
    assert package.undecided == ("" if texts else "versions that cannot be read")


def test_commits_are_no_versions_but_in_orders_that_have_them() -> None:
    pseudo = AffectedRange("semver", fixed=PSEUDO)
    assert [i.text for i in compiled(pseudo, ecosystem="go", source="osv").intervals] == [f"<{PSEUDO}"]
    assert compiled(flags=("git-range",)).undecided == "commits only"
    assert compiled(flags=("other",)).undecided == "versions that cannot be read"
    assert compiled(flags=("git-range",), versions=("1",)).undecided == ""
    assert compiled(source="curated").undecided == ""


@pytest.mark.parametrize(
    ("ecosystem", "ranges", "scheme"),
    [
        ("pypi", [AffectedRange("semver")], "pep440"),
        ("pypi", [], "pep440"),
        ("cpe", [AffectedRange("cpe")], "generic"),
        ("bitnami", [AffectedRange("semver"), AffectedRange("generic")], "semver"),
        ("cran", [], "generic"),
    ],
)
def test_the_order_is_that_of_the_ecosystem_or_of_the_first_range(
    ecosystem: str, ranges: list[AffectedRange], scheme: str
) -> None:
    for withdrawn in ("", "2024-01-01T"):
        package = compile_package(
            Advisory("A-1", "osv", withdrawn=withdrawn), AffectedPackage(ecosystem, "p", tuple(ranges)), "go"
        )
        assert (package.scheme, package.target, package.is_withdrawn) == (scheme, "go", bool(withdrawn))
        assert (package.advisory, package.source, package.vulnerability) == ("A-1", "osv", 0)


def test_a_listed_version_counts_once_and_where_no_range_covers_it() -> None:
    within = AffectedRange("cpe", "2", fixed="3")
    package = compiled(within, versions=("1.0", "4", "2.5", "1", "nightly", "3", "2"))
    assert [i.text for i in package.intervals] == [">=2,<3", "==1.0", "==3", "==4"]
    one = package.intervals[1]
    assert one.low == version_key("generic", "1.0")
    assert one.high is not None
    assert one.low < one.high < (version_key("generic", "1.0.0.1") or b"")
    assert [i.text for i in compiled(AffectedRange("cpe", "2"), versions=("1", "2", "9")).intervals] == [">=2", "==1"]
    assert not compiled(versions=("1",)).is_open


def test_lists_of_products_have_distributors_versions_of_the_release() -> None:
    listed = {"versions": ("1.2.3-4", "1.2.4")}
    assert [i.text for i in compiled(**listed).intervals] == ["==1.2.3", "==1.2.3-4", "==1.2.4"]
    own = compiled(ecosystem="npm", source="osv", **listed)
    assert [i.text for i in own.intervals] == ["==1.2.3-4", "==1.2.4"]


@pytest.mark.parametrize(("ecosystem", "fixed"), [("cpe", ("9", "2", "4")), ("julia-builds", ("9",))])
def test_the_ends_of_ranges_are_fixes_but_for_builds(ecosystem: str, fixed: tuple[str, ...]) -> None:
    ranges = [AffectedRange("generic", fixed=end) for end in ("2", "4", "2")]
    package = compiled(
        *ranges, AffectedRange("generic", "8", last_affected="8"), ecosystem=ecosystem, fixed_versions=("9", "9")
    )
    assert package.fixed == fixed


@pytest.mark.parametrize(
    ("ecosystem", "name", "key"),
    [
        ("cran", "Matrix", "cran/matrix"),
        ("npm", "JSONStream", "npm/jsonstream"),
        ("julia", "HTTP", "julia/HTTP"),
        ("cpe", "a:b", "cpe/a:b"),
    ],
)
def test_names_are_looked_up_as_conda_and_registries_write_them(ecosystem: str, name: str, key: str) -> None:
    assert package_key(AffectedPackage(ecosystem, name)) == key


# -- several entries --------------------------------------------------------------------------------------------------


def python(*fixed: str, name: str = "foo") -> tuple[AffectedPackage, ...]:
    return tuple(AffectedPackage("pypi", name, (AffectedRange("pep440", fixed=end),)) for end in fixed)


def affected(version: str, *advisories: Advisory, purl: str = "pkg:pypi/foo") -> list[str]:
    """The ids of the findings, which have to be the same in whatever order advisories come."""
    key = ComponentKey("purl", f"{purl}@{version}", "")
    found = []
    for turned in permutations(advisories):
        [assessment] = MatchIndex.load(build_index(turned)).assess([key])
        found.append([finding.ids[0] for finding in assessment.findings])
    assert all(one == found[0] for one in found)
    return found[0]


@pytest.mark.parametrize(
    ("entries", "version", "is_found"),
    [
        # the newest of one source and id
        ([("A-1", "osv", "2025", "9"), ("A-1", "osv", "2026", "2")], "3", False),
        ([("A-1", "osv", "2025", "2"), ("A-1", "osv", "2026", "9")], "3", True),
        # of equally new ones the longer
        ([("A-1", "osv", "2026", "2"), ("A-1", "osv", "2026", "2", "9")], "3", True),
        # another source is another record
        ([("A-1", "osv", "2025", "9"), ("A-1", "cve5", "2026", "2")], "3", True),
        # what only an older record says of the package is not added
        ([("A-1", "osv", "2025", "2", "9"), ("A-1", "osv", "2026", "2")], "3", False),
    ],
)
def test_of_records_of_one_entry_the_newest_counts_alone(
    entries: list[tuple[str, ...]], version: str, is_found: bool
) -> None:
    advisories = [Advisory(i, source, modified=when, affected=python(*ends)) for i, source, when, *ends in entries]
    assert bool(affected(version, *advisories)) is is_found


CVES = ("CVE-1-1", "CVE-1-2")


@pytest.mark.parametrize(
    ("alone", "at_1", "at_3"),
    [
        (None, ["CVE-1-1", "CVE-1-2"], ["CVE-1-1", "CVE-1-2"]),
        (Advisory("B-1", "osv", ("CVE-1-1",), affected=python("2")), ["CVE-1-1", "CVE-1-2"], ["CVE-1-2"]),
        # one that names no version tells nothing
        (Advisory("B-1", "osv", ("CVE-1-1",), affected=python("soon")), ["CVE-1-1", "CVE-1-2"], ["CVE-1-1", "CVE-1-2"]),
        (Advisory("B-1", "osv", ("CVE-1-1",), withdrawn="2024-01-01T", affected=python("2")), ["CVE-1-1", "CVE-1-2"], ["CVE-1-1", "CVE-1-2"]),
        # nor one of another package
        (Advisory("B-1", "osv", ("CVE-1-1",), affected=python("2", name="bar")), ["CVE-1-1", "CVE-1-2"], ["CVE-1-1", "CVE-1-2"]),
    ],
)  # fmt: skip
def test_an_entry_of_several_vulnerabilities_counts_where_none_tells_of_one_alone(
    alone: Advisory | None, at_1: list[str], at_3: list[str]
) -> None:
    several = Advisory("A-1", "osv", CVES, affected=python("9"))
    entries = [several] if alone is None else [several, alone]
    assert sorted(affected("1", *entries)) == at_1
    assert sorted(affected("3", *entries)) == at_3


RECORD = {"source": "cve5", "withdrawn": "2024-06-01T", "modified": "2024-06-01T"}


@pytest.mark.parametrize(
    ("rejection", "others", "is_found"),
    [
        (Advisory("CVE-1-1", **RECORD), [], False),
        (Advisory("CVE-1-1", **RECORD | {"source": "nvd"}), [], False),
        (Advisory("CVE-1-1", **RECORD | {"withdrawn": ""}), [], True),
        (Advisory("X-1", aliases=("CVE-1-1",), **RECORD), [], True),  # not the record of the id
        (Advisory("X-1", aliases=("CVE-1-1",), flags=(REJECTED,), **RECORD | {"source": "osv"}), [], False),
        (Advisory("X-1", aliases=("CVE-1-1",), flags=(REJECTED,), **RECORD | {"withdrawn": "", "source": "osv"}), [], True),
        # a record that is newer than the rejection took it back
        (Advisory("CVE-1-1", **RECORD), [Advisory("CVE-1-1", "nvd", modified="2024-07-01T")], True),
        (Advisory("CVE-1-1", **RECORD), [Advisory("CVE-1-1", "nvd", modified="2024-06-01T")], False),
        (Advisory("CVE-1-1", **RECORD), [Advisory("CVE-1-1", "osv", modified="2024-07-01T")], False),
        # a rejection of several does not tell which
        (Advisory("X-1", aliases=CVES, flags=(REJECTED,), **RECORD | {"source": "osv"}), [], True),
    ],
)  # fmt: skip
def test_a_rejected_id_takes_back_what_is_said_of_products(
    rejection: Advisory, others: list[Advisory], is_found: bool
) -> None:
    listed = AffectedPackage("bitnami", "foo", (AffectedRange("semver", fixed="2"),))
    entry = Advisory("BIT-1", "osv", ("CVE-1-1",), affected=(listed,))
    assert bool(affected("1", rejection, *others, entry, purl="pkg:bitnami/foo")) is is_found
    own = Advisory("GHSA-1", "osv", ("CVE-1-1",), affected=python("2"))
    assert affected("1", rejection, *others, own) == ["CVE-1-1"]


@pytest.mark.parametrize(
    ("source", "package", "purl", "is_covered"),
    [
        ("osv", AffectedPackage("pypi", "x"), "pkg:pypi/foo@1", True),
        ("nvd", AffectedPackage("pypi", "x"), "pkg:pypi/foo@1", False),
        ("cve5", AffectedPackage("npm", "x"), "pkg:npm/foo@1", False),
        ("osv", AffectedPackage("bitnami", "x"), "pkg:bitnami/foo@1", False),
        ("osv", AffectedPackage("cpe", "x:x"), "pkg:pypi/foo@1", False),
    ],
)
def test_a_feed_of_a_whole_ecosystem_says_that_nothing_is_known_of_the_rest(
    source: str, package: AffectedPackage, purl: str, is_covered: bool
) -> None:
    index = MatchIndex.load(build_index([Advisory("A-1", source, affected=(package,))]))
    [assessment] = index.assess([ComponentKey("purl", purl, "")])
    assert assessment.assessed is is_covered
    assert index.ecosystems == (
        {package.ecosystem}
        if is_covered
        else {"cpe"}
        if source == "nvd" and package.ecosystem == "cpe"
        else frozenset()
    )


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({}, (False, False, None)),
        ({"CVE-1-1": Exploited(0.25)}, (False, False, 0.25)),
        ({"CVE-1-1": Exploited(0.25), "A-1": Exploited(0.5, kev=True)}, (True, False, 0.5)),
        ({"CVE-1-1": Exploited(None, kev=True, ransomware=True)}, (True, True, None)),
        ({"CVE-1-2": Exploited(0.25, kev=True)}, (False, False, None)),
        ({"CVE-1-1": Exploited(0.0)}, (False, False, 0.0)),
    ],
)
def test_what_is_known_of_exploitation_is_that_of_all_ids_the_worst(
    facts: dict[str, Exploited], shown: tuple[bool, bool, float | None]
) -> None:
    entry = Advisory("A-1", "osv", ("CVE-1-1",), severity=Severity.high, affected=python("2"))
    index = MatchIndex.load(build_index([entry], facts))
    [assessment] = index.assess([ComponentKey("purl", "pkg:pypi/foo@1", "")])
    [finding] = assessment.findings
    assert (finding.kev, finding.kev_ransomware, finding.epss) == shown
    assert index.vulnerability_count == 1
