"""What descriptions say of versions, and Julia's builds turned into releases of the projects that were built."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.feeds.entry import Reading
from antivenom.core.feeds.julia import built_from, upstream_versions
from antivenom.core.feeds.osv import parse_entry
from antivenom.core.feeds.wording import stated_ranges
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.compile_index import build_index, range_text
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in
from antivenom_client.version_keys import version_key


@pytest.mark.parametrize(
    ("description", "ranges"),
    [
        ("In libexpat before 2.7.4, the parser does not copy user data.", ["<2.7.4"]),
        ("Due to a dangling pointer, libcurl 7.29.0 through 7.71.1 can reuse a connection.", [">=7.29.0,<=7.71.1"]),
        ("curl 7.1.1 to and including 7.75.0 is vulnerable to an exposure.", [">=7.1.1,<=7.75.0"]),
        ("When curl >= 7.20.0 and <= 7.78.0 connects to an IMAP server …", [">=7.20.0,<=7.78.0"]),
        ("Poppler prior to and including 22.08.0 contains an overflow.", ["<=22.08.0"]),
        ("HDF5 through 1.14.3 has a crash in H5T.c.", ["<=1.14.3"]),
        ("A flaw in libarchive up to 3.7.7. It is critical.", ["<=3.7.7"]),
        ("wolfSSL 5.8.4 and earlier read out of bounds.", ["<=5.8.4"]),
        ("libxml2 before 2.12.10 and 2.13.x before 2.13.6 has a use-after-free.", ["<2.12.10", ">=2.13,<2.13.6"]),
        ("Prior to versions 7.1.2-15 and 6.9.13-40, a crafted file crashes it.", ["<6.9.13-40", ">=7,<7.1.2-15"]),
        ("ImageMagick before 7.1.2-26 and 6.9.13-x before 6.9.13-51", [">=6.9.13,<6.9.13-51", ">=7,<7.1.2-26"]),
        ("FFmpeg 4.0 before 4.0.4 and 4.1 before 4.1.2 allows …", [">=4.0,<4.0.4", ">=4.1,<4.1.2"]),
        ("From 3.2.0 to before 3.2.7, 3.3.9, and 3.4.9, a write", [">=3.2.0,<3.2.7", ">=3.3,<3.3.9", ">=3.4,<3.4.9"]),
        ("From 3.2.0 to before 3.4.9 and 3.2.7, a write", [">=3.2.0,<3.2.7", ">=3.4,<3.4.9"]),
        ("FFmpeg versions from 4.4 up to, but not including, 9.0 contain …", [">=4.4,<9.0"]),
        ("Versions prior to 1.2 are fine. Really.", ["<1.2"]),
        ("Fixed in OpenSSL 1.0.2zc-dev (Affected 1.0.2-1.0.2zb).", [">=1.0.2,<1.0.2zc"]),  # as its development goes on
        ("Fixed in OpenSSL 1.0.2ze (Affected since 1.0.2).", [">=1.0.2,<1.0.2ze"]),
        ("Fixed in OpenSSL 1.0.1t (Affected 1.0.1s,1.0.1r,1.0.1).", [">=1.0.1,<1.0.1t"]),  # the lowest is the start
        ("Fixed in libfoo 1.2.3 (Affected 1.0.0-1.2.2).", [">=1.0.0,<1.2.3"]),
        ("libfoo up to (and including) 1.2.3 crashes.", ["<=1.2.3"]),
        ("libfoo up to, and including, version 1.2.3 crashes.", ["<=1.2.3"]),
        ("libfoo 1.0 up to (including) 1.2.3 crashes.", [">=1.0,<=1.2.3"]),
        ("libfoo up to (but excluding) 1.2.3 crashes.", ["<1.2.3"]),
        ("libfoo versions 1.2.3 or lower crash.", ["<=1.2.3"]),
        ("libfoo 1.2.3 and all previous versions crash.", ["<=1.2.3"]),
        ("libfoo older than 1.2.3 crashes.", ["<1.2.3"]),
        ("libfoo prior to Ver.3.1.12 crashes.", ["<3.1.12"]),
        (
            "Fixed in OpenSSL 3.0.2 (Affected 3.0.0,3.0.1). Fixed in OpenSSL 1.1.1n (Affected 1.1.1-1.1.1m).",
            [">=3.0.0,<3.0.2", ">=1.1.1,<1.1.1n"],
        ),
    ],
)
def test_a_description_that_leaves_no_doubt_gives_its_ranges(description: str, ranges: list[str]) -> None:
    assert [range_text(r) for r in stated_ranges(description)] == ranges


@pytest.mark.parametrize(
    "description",
    [
        "libcurl <= 7.73.0 and 7.78.0 could keep a pointer.",
        "LibTIFF 4.3.0 has an out-of-bounds read.",
        "A flaw was found in the way OpenSSL handles names.",
        "gdal up to 3.13.0dev-4 is affected.",
        "curl 8.1 through 7.0 is a mistake.",
        "libfoo through 1.2.3-rc1 crashes.",
        "libfoo 1.0 through 1.2.3-dev crashes.",
        "Fixed in OpenSSL 1.0.2 (Affected 1.0.3).",
        "",
    ],
)
def test_doubtful_wordings_give_nothing(description: str) -> None:
    assert stated_ranges(description) == ()


@pytest.mark.parametrize("part", ["1.", "1", "1.1 ", "before 1.1 and ", "1.1-", "<", "1.1.1.x before ", "0.0", "1_"])
def test_a_text_that_was_made_to_be_slow_is_not(part: str) -> None:
    """It takes milliseconds; a pattern that tries every way to divide its digits would not come to an end."""
    for range_ in stated_ranges(part * 5_000):
        assert range_.fixed or range_.last_affected


@given(st.text(st.sampled_from("0123456789.x-_, <>=vbeforthugandlsip()\n"), max_size=200))
def test_any_text_gives_sound_ranges_or_none(text: str) -> None:
    for found in stated_ranges(text):
        end = version_key("generic", found.fixed or found.last_affected or "")
        assert end is not None
        assert (version_key("generic", found.introduced or "0") or b"") <= end


@pytest.mark.parametrize(
    ("library", "build", "version"),
    [
        ("OpenSSL_jll", "1.1.14+0", "1.1.1n"),
        ("OpenSSL_jll", "3.0.13+0", "3.0.13"),
        ("ImageMagick_jll", "7.1.2023+0", "7.1.2-23"),
        ("GDAL_jll", "305.1300.100+0", "3.13.1"),
        ("libde265_jll", "1.0.18000+0", "1.0.18"),
        ("MbedTLS_jll", "2.28.1010+0", "2.28.10"),
        ("HarfBuzz_jll", "100.14002.1+0", "14.2.1"),
        ("Glib_jll", "2.86.3+1", "2.86.3"),
    ],
)
def test_a_build_is_of_a_version(library: str, build: str, version: str) -> None:
    assert built_from(library, build) == version


def rebase(text: str, *ranges: AffectedRange, library: str = "Expat_jll") -> list[str] | None:
    found = upstream_versions(AffectedPackage("julia", library, ranges), text)
    return None if found is None else [range_text(r) for r in found.ranges]


def test_the_release_that_a_description_names_goes_before_the_first_free_build() -> None:
    assert rebase("In libexpat before 2.7.4, …", AffectedRange("semver", fixed="2.7.5+0")) == ["<2.7.4"]


def test_a_description_names_maintained_lines_that_were_never_built() -> None:
    text = "Mbed TLS before 2.28.7 and 3.x before 3.5.2 has a timing side channel."
    built = AffectedRange("semver", fixed="2.28.1007+0")
    assert rebase(text, built, library="MbedTLS_jll") == ["<2.28.7", ">=3,<3.5.2"]


def test_where_only_the_last_affected_release_is_named_the_first_free_build_is_the_fix() -> None:
    built = AffectedPackage("julia", "Expat_jll", (AffectedRange("semver", fixed="2.7.5+0"),))
    found = upstream_versions(built, "In libexpat through 2.7.3, a file crashes it.")
    assert found is not None
    assert [range_text(r) for r in found.ranges] == ["<=2.7.3"]
    assert found.fixed_versions == ("2.7.5",)


def test_a_first_affected_build_stands_in_for_a_start_that_is_not_named() -> None:
    built = AffectedRange("semver", "2.6.0+0", fixed="2.7.5+0")
    assert rebase("In libexpat before 2.7.4, …", built) == [">=2.6.0,<2.7.4"]


def test_a_description_of_something_else_changes_nothing() -> None:
    built = AffectedRange("semver", fixed="2.7.3+0")
    assert rebase("Chrome before 118.0.1 crashes.", built) == ["<2.7.3"]
    assert rebase("Expat before 2.9.0 crashes.", built) == ["<2.7.3"]  # its build is free already: not this project


def test_what_was_never_rebuilt_counts_only_when_the_description_names_an_end() -> None:
    endless = AffectedRange("semver")
    assert rebase("GNU Wget through 1.25.0 writes too far.", endless, library="wget_jll") == ["<=1.25.0"]
    assert rebase("GNU Wget writes too far.", endless, library="wget_jll") is None


@pytest.mark.parametrize(
    ("upstream", "aliases"),
    [
        (["CVE-2023-0286", "GHSA-x4qr-2fvf-3mr5"], ("CVE-2023-0286",)),
        (["CVE-2023-0286", "CVE-2023-0215"], ()),
        (["GHSA-x4qr-2fvf-3mr5"], ()),
    ],
)
def test_julias_entry_is_the_one_cve_that_it_re_bases(upstream: list[str], aliases: tuple[str, ...]) -> None:
    entry = {
        "id": "JLSEC-2026-234",
        "upstream": upstream,
        "summary": "Vulnerable OpenSSL included in cryptography wheels",
        "details": "There is a type confusion vulnerability.\nIt is bad.",
        "affected": [],
    }
    advisory = parse_entry(entry, Reading(now=datetime(2026, 11, 21, tzinfo=UTC)))
    assert advisory.aliases == aliases
    assert advisory.summary == "There is a type confusion vulnerability."


def test_of_fixes_of_several_products_those_of_the_project_are_read() -> None:
    text = "Overflow in vp8 in libvpx in Google Chrome prior to 117.0.5938.132 and libvpx 1.13.1 allowed …"
    assert [range_text(r) for r in stated_ranges(text, "vpx")] == ["<1.13.1"]
    assert [range_text(r) for r in stated_ranges(text, "webp")] == ["<117.0.5938.132"]


@pytest.mark.parametrize(
    ("details", "ranges", "fixed"),
    [
        ("libssh2 through 1.11.1, fixed in commit 7acf3df, writes out of bounds.", ["<=1.11.1"], ()),
        ("A write out of bounds.", ["<=1.11.1"], ()),  # the build 1.11.102 is 1.11.1 with patches
        ("libssh2 before 1.11.1 writes out of bounds.", ["<1.11.1"], ("1.11.1",)),
    ],
)
def test_a_builders_counter_is_never_a_release_of_the_project(
    details: str, ranges: list[str], fixed: tuple[str, ...]
) -> None:
    built = AffectedPackage("julia", "LibSSH2_jll", (AffectedRange("semver", fixed="1.11.102+0"),))
    found = upstream_versions(built, details)
    assert found is not None
    assert ([range_text(r) for r in found.ranges], found.fixed_versions) == (ranges, fixed)
    index = MatchIndex.load(build_index([Advisory("JLSEC-1", "osv", affected=(found,))], knowledge=built_in()))
    [assessment] = index.assess([ComponentKey("conda", "libssh2", "1.11.0")])
    assert [f.fixed_versions for f in assessment.findings] == [fixed]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2.0.12+0", ["<2.0.14"]),  # the first build of all: nobody knows since when
        ("2.0.13+0", [">=2.0.13,<2.0.14"]),
    ],
)
def test_the_first_build_of_all_is_no_start(start: str, expected: list[str]) -> None:
    built = AffectedRange("semver", start, fixed="2.24.2+0")
    assert rebase("SDL before 2.0.14 writes too far.", built, library="SDL2_jll") == expected


@pytest.mark.parametrize(("free", "fixed"), [("1.35.0+0", ()), ("1.36.0+0", ("1.36.0",))])
def test_a_free_build_that_the_text_calls_affected_is_no_fix(free: str, fixed: tuple[str, ...]) -> None:
    built = AffectedPackage("julia", "Tar_jll", (AffectedRange("semver", fixed=free),))
    found = upstream_versions(built, "GNU Tar through 1.35 allows file overwrite.")
    assert found is not None
    assert found.fixed_versions == fixed
