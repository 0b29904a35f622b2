"""Package URLs and CPE products published for conda packages: which of them count, and how surely."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import associations, name_map, unpack
from antivenom.core.feeds.entry import NameEntry, Reading, SetAside
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange, Confidence
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.identity import SUGGESTED, Identity, NameMaps, identify_conda
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in

READING = Reading(now=datetime(2026, 11, 21, tzinfo=UTC))
Json = dict[str, Any]


def read(document: object) -> tuple[dict[str, dict[str, tuple[str, ...]]], list[SetAside]]:
    """(conda name → ecosystem → names, what was set aside)."""
    stream = io.BufferedReader(io.BytesIO(json.dumps(document).encode()))  # type: ignore[arg-type]
    rows = list(name_map.read(unpack.Member("mappings.json", stream), READING))
    names: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in rows:
        if isinstance(row, NameEntry):
            assert row.channel == "conda-forge"
            names.setdefault(row.conda_name, {})[row.ecosystem] = row.names
    return names, [row for row in rows if isinstance(row, SetAside)]


def document(packages: Json, **more: object) -> Json:
    return {"schema_version": 1, "channel": "conda-forge", "packages": packages, **more}


def record(purl: str | None, status: str = "verified", **more: object) -> Json:
    return {"purl": purl, "status": status, "source": "manual", "approved_by": "somebody", **more}


def test_what_people_or_two_sources_confirmed_counts_as_a_name() -> None:
    names, aside = read(
        document(
            {
                "ripgrep": record("pkg:cargo/ripgrep", cpes=["cpe:2.3:a:ripgrep_project:ripgrep"]),
                "Astral": record("pkg:pypi/Astral", "auto-verified", approved_by=None),
                "py-widget": record("pkg:github/Acme/Widget"),
                "r-thing": record("pkg:cran/thing"),
                "sysroot": record("pkg:rpm/centos/glibc"),
                "mutex": record(None, "unmapped", unmapped=True),
            }
        )
    )
    assert names == {
        "ripgrep": {"crates.io": ("ripgrep",), "cpe": ("ripgrep_project:ripgrep",)},
        "astral": {"pypi": ("astral",)},
        "py-widget": {"git": ("github.com/acme/widget",)},
        "r-thing": {"cran": ("thing",)},
    }
    assert aside == []


def test_what_nobody_confirmed_is_a_suggestion_where_the_names_are_equal() -> None:
    names, aside = read(
        document(
            {
                "airss": record("pkg:github/spglib/spglib", "auto-unverified"),
                "_openmp_mutex": record("pkg:github/madler/zlib", "auto-unverified"),
                "7zip": record("pkg:github/ip7z/7zip", "auto-unverified"),
                "_dvc": record("pkg:pypi/dvc", "auto-unverified"),
                "even": record("pkg:pypi/even", "auto-unverified"),
                "azure-server": record("pkg:npm/@azure/server", "auto-unverified"),
                "fd_find": record("pkg:cargo/fd-find", "auto-unverified"),
                "cfitsio": record(None, approved_by="cpe-pipeline", cpes=["cpe:2.3:a:nasa:cfitsio"]),
                "libtcl": record(None, approved_by="cpe-pipeline", cpes=["cpe:2.3:a:tcl:tcl"]),
                "perl-uri": record(None, approved_by="cpe-pipeline", cpes=["cpe:2.3:a:ruby-lang:uri"]),
                "bat": record(
                    "pkg:github/sharkdp/bat",
                    alternative_purls=["pkg:cargo/bat", {"purl": "pkg:npm/cat", "confidence": 0.9}],
                ),
            }
        )
    )
    assert names == {
        "7zip": {SUGGESTED + "git": ("github.com/ip7z/7zip",)},
        "fd_find": {SUGGESTED + "crates.io": ("fd-find",)},
        "cfitsio": {SUGGESTED + "cpe": ("nasa:cfitsio",)},
        "libtcl": {SUGGESTED + "cpe": ("tcl:tcl",)},
        "bat": {"git": ("github.com/sharkdp/bat",), SUGGESTED + "crates.io": ("bat",)},
    }
    assert aside == []


def identity(value: str, status: str, reviewer: str | None, role: str = "primary") -> Json:
    review = {"status": status, "reviewer": reviewer}
    kind = "cpe" if value.startswith("cpe") else "purl"
    return {"kind": kind, "role": role, "value": value, "provenance": {"source": "manual", "review": review}}


def test_newer_records_say_of_each_identity_who_reviewed_it() -> None:
    identities = [
        identity("pkg:github/acme/other", "auto-unverified", None),
        identity("pkg:cargo/tool", "verified", "somebody", "alternative"),
        identity("cpe:2.3:a:acme:tool", "verified", "somebody", "associated"),
        identity("cpe:2.3:a:acme:suite", "verified", "cpe-pipeline", "associated"),
    ]
    names, _ = read(document({"tool": record("pkg:github/acme/other", identities=identities)}, schema_version=4))
    assert names == {"tool": {SUGGESTED + "crates.io": ("tool",), "cpe": ("acme:tool",)}}


@pytest.mark.parametrize(("author", "ecosystem"), [("somebody", "cpe"), ("cpe-pipeline", SUGGESTED + "cpe")])
def test_a_contribution_is_as_good_as_its_author(author: str, ecosystem: str) -> None:
    names, _ = read({"schema_version": 1, "author": author, "packages": {"brpc": {"cpes": ["cpe:2.3:a:apache:brpc"]}}})
    assert names == {"brpc": {ecosystem: ("apache:brpc",)}}


def test_a_record_alone_and_json_lines_of_records_are_read() -> None:
    names, _ = read({"name": "ncurses", **record("pkg:github/a/ncurses", cpes=["cpe:2.3:a:gnu:ncurses"])})
    assert names == {"ncurses": {"git": ("github.com/a/ncurses",), "cpe": ("gnu:ncurses",)}}


def test_bad_records_are_set_aside_with_their_place_and_reason() -> None:
    names, aside = read(
        document(
            {
                "good": record("pkg:cargo/good"),
                "half": record("cargo/half", cpes=["cpe:2.3:a:acme:half", "cpe:2.3:h:acme:half", "cpe:/a:acme", 5]),
                "no name!": record("pkg:cargo/x"),
                "text": "pkg:cargo/text",
            }
        )
    )
    assert names == {"good": {"crates.io": ("good",)}, "half": {"cpe": ("acme:half",)}}
    told = {(entry.entry, entry.reason) for entry in aside}
    assert ("mappings.json: half", "'cargo/half' is not a package URL") in told
    assert ("mappings.json: half", "'cpe:2.3:h:acme:half' names no application's CPE product") in told
    assert ("mappings.json: no name!", "'no name!' is not a conda package name") in told
    assert ("mappings.json: text", "is not an object") in told


def test_a_document_without_one_association_is_no_map() -> None:
    with pytest.raises(InvalidInputError, match="is not a name map"):
        read({"schema_version": 1, "packages": {"a": {"version": "1"}}})


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30),
              st.sampled_from(["pkg:pypi/a", "pkg:/", "cpe:2.3:a:b:c", "cpe:", "verified", "primary"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["purl", "cpes", "alternative_purls", "identities", "provenance", "review", "status",
                                       "reviewer", "role", "value", "approved_by"]), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip


@given(st.text(max_size=20), values)
def test_whatever_a_record_holds_names_or_reasons_come_out(name: str, value: object) -> None:
    for row in associations.read_record("x", name, value):
        assert isinstance(row, NameEntry | SetAside)


# -- how a component is tied to them ------------------------------------------------------------------------------------


def maps(conda_name: str, **names: tuple[str, ...]) -> NameMaps:
    listed = {k.replace("suggested_", SUGGESTED).replace("crates_io", "crates.io"): v for k, v in names.items()}
    return NameMaps(conda={conda_name: {"conda-forge": listed}})


def names_of(conda_name: str, known: NameMaps) -> dict[str, Identity]:
    return {i.key: i for i in identify_conda(conda_name, (), "conda-forge", known, built_in()).names}


def test_confirmed_names_are_medium_and_suggested_ones_low() -> None:
    found = names_of("acme-grep", maps("acme-grep", crates_io=("acme-grep",), suggested_cpe=("acme:acme-grep",)))
    own, product = found["crates.io/acme-grep"], found["cpe/acme:acme-grep"]
    assert (own.confidence, own.is_fallback) == (Confidence.medium, False)
    assert (product.confidence, product.is_fallback) == (Confidence.low, True)
    assert own.reason == "associations of conda-forge: conda acme-grep is crates.io acme-grep"
    assert product.reason.endswith("is CPE product acme:acme-grep, which nobody confirmed")


def test_curated_names_go_before_associations() -> None:
    found = names_of("libcurl", maps("libcurl", cpe=("acme:curl",), npm=("curl",)))
    assert "cpe/haxx:curl" in found
    assert not {"cpe/acme:curl", "npm/curl"} & found.keys()


def test_a_python_packages_product_is_only_asked_where_pypi_says_nothing() -> None:
    found = names_of("acme", maps("acme", pypi=("acme",), cpe=("acme:acme",)))
    assert (found["pypi/acme"].confidence, found["cpe/acme:acme"].is_fallback) == (Confidence.high, True)


def test_a_row_that_says_what_a_package_is_not_holds_for_associations() -> None:
    wrong = {"acme-grep": {"crates.io/acme-grep": "another thing"}}
    knowledge = msgspec.structs.replace(built_in(), not_names=wrong)
    known = maps("acme-grep", crates_io=("acme-grep",))
    found = {i.key: i for i in identify_conda("acme-grep", (), "conda-forge", known, knowledge).names}
    assert found["crates.io/acme-grep"].ignored_by


def test_a_suggested_product_does_not_hide_the_one_of_equal_name() -> None:
    found = names_of("acme-lib", maps("acme-lib", suggested_cpe=("nasa:acme-lib",)))
    assert found["cpe/acme-lib:acme-lib"].is_guess
    assert not names_of("acme-lib", maps("acme-lib", cpe=("nasa:acme-lib",))).get("cpe/acme-lib:acme-lib")


def advisory(ecosystem: str, name: str) -> Advisory:
    ranges = (AffectedRange("semver", None, fixed="2.0.0"),)
    return Advisory("CVE-2026-0001", "osv", affected=(AffectedPackage(ecosystem, name, ranges),))


@pytest.mark.parametrize(
    ("known", "is_found", "is_assessed"),
    [
        (maps("acme-grep", crates_io=("acme-grep",)), True, True),
        (maps("acme-grep", pypi=(), crates_io=("acme-grep",)), True, True),
        (maps("acme-grep", pypi=("acme-grep",), crates_io=("acme-grep",)), True, True),
        (maps("acme-grep", suggested_crates_io=("acme-grep",)), True, False),
        (maps("acme-grep", pypi=(), suggested_crates_io=("acme-grep",)), True, False),
        (maps("acme-grep", pypi=("acme-grep",), suggested_crates_io=("acme-grep",)), True, True),  # by PyPI
        (maps("acme-grep", pypi=()), False, False),
    ],
)
def test_advisories_of_another_registry_are_found(known: NameMaps, is_found: bool, is_assessed: bool) -> None:
    other = msgspec.structs.replace(advisory("pypi", "other"), id="CVE-2026-0002")
    advisories = [advisory("crates.io", "acme-grep"), other]
    data = build_index(advisories, maps=known, knowledge=built_in())
    old, fixed = MatchIndex.load(data).assess(ComponentKey("conda", "acme-grep", v) for v in ("1.0", "2.0"))
    assert (bool(old.findings), fixed.findings) == (is_found, ())
    assert fixed.assessed is is_assessed
