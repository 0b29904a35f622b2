"""Grouping and merging by the examples of real feeds that decided their rules."""

from __future__ import annotations

import pytest

from antivenom.core.matching.advisories import Advisory, Severity
from antivenom.core.matching.grouping import group_aliases, index_groups, sort_ids
from antivenom.core.matching.merging import MergedEntries, merge_entries

CVSS_9_8 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
CVSS_4_0_6_9 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N"


def groups_of(**entries: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [group.ids for group in group_aliases((i.replace("_", "-"), aliases) for i, aliases in entries.items())]


def test_aliases_of_aliases_are_one_vulnerability_named_by_its_cve() -> None:
    assert groups_of(PYSEC_1=("GHSA-a",), GHSA_a=("CVE-1",), BIT_1=("CVE-1",)) == [
        ("CVE-1", "BIT-1", "GHSA-a", "PYSEC-1")
    ]


def test_vulnerability_without_a_cve_has_its_smallest_id() -> None:
    assert groups_of(PYSEC_1=("MAL-1",)) == [("MAL-1", "PYSEC-1")]


def test_advisory_of_several_cves_is_one_of_each() -> None:
    assert groups_of(GO_1=("CVE-1", "CVE-2"), CVE_2=()) == [("CVE-1", "GO-1"), ("CVE-2", "GO-1")]


def test_what_else_it_names_is_told_apart_by_those_who_know() -> None:
    """RUSTSEC-2021-0110 names three CVE and three GHSA ids; PyPI's entries say which GHSA id is of which CVE."""
    assert groups_of(RUSTSEC_1=("CVE-1", "CVE-2", "GHSA-a", "GHSA-b"), PYSEC_1=("CVE-1", "GHSA-a")) == [
        ("CVE-1", "GHSA-a", "GHSA-b", "PYSEC-1", "RUSTSEC-1"),
        ("CVE-2", "GHSA-b", "RUSTSEC-1"),  # nothing says of which GHSA-b is
    ]


def test_one_mistaken_alias_does_not_weld_two_cves() -> None:
    """PSF-2023-6 and PSF-2023-7 cite the same GHSA id, each for a CVE id of its own."""
    assert groups_of(PSF_6=("CVE-1", "GHSA-a"), PSF_7=("CVE-2", "GHSA-a"), BIT_1=("CVE-1",)) == [
        ("CVE-1", "BIT-1", "GHSA-a", "PSF-6"),
        ("CVE-2", "GHSA-a", "PSF-7"),
    ]


def test_cve_that_names_another_is_another() -> None:
    assert groups_of(CVE_1=("CVE-2",), CVE_2=()) == [("CVE-1",), ("CVE-2",)]
    assert groups_of(CVE_1=("CVE-2",)) == [("CVE-1",)]  # nothing is said of CVE-2


def test_groups_that_aliases_connect_share_a_cluster() -> None:
    groups = group_aliases([("GO-1", ["CVE-2", "CVE-1"]), ("GHSA-a", ["CVE-2"]), ("GHSA-b", [])])
    assert [(group.primary_id, group.cluster) for group in groups] == [
        ("CVE-1", "CVE-1"),
        ("CVE-2", "CVE-1"),
        ("GHSA-b", "GHSA-b"),
    ]
    assert index_groups(groups) == {"CVE-1": (0,), "CVE-2": (1,), "GO-1": (0, 1), "GHSA-a": (1,), "GHSA-b": (2,)}


def test_ids_are_sorted_cve_first() -> None:
    assert sort_ids(["PYSEC-1", "CVE-2", "BIT-1", "CVE-1", "CVE-2"]) == ("CVE-1", "CVE-2", "BIT-1", "PYSEC-1")


def merge(*entries: Advisory, shared: tuple[Advisory, ...] = ()) -> MergedEntries:
    return merge_entries(["CVE-1", *(e.id for e in (*entries, *shared))], entries, shared)


def test_newest_cvss_version_decides_even_where_an_older_one_is_higher() -> None:
    merged = merge(
        Advisory("CVE-1", "nvd", cvss_vectors=(CVSS_9_8,), cvss=9.8, severity=Severity.critical),
        Advisory("GHSA-a", "osv", cvss_vectors=(CVSS_4_0_6_9,), cvss=6.9, severity=Severity.medium),
    )
    assert (merged.severity, merged.cvss, merged.vectors) == (Severity.medium, 6.9, (CVSS_4_0_6_9, CVSS_9_8))


def test_words_count_where_nobody_gives_a_score() -> None:
    merged = merge(Advisory("PYSEC-1", "osv", severity=Severity.low), Advisory("GHSA-a", "osv", severity=Severity.high))
    assert (merged.severity, merged.cvss) == (Severity.high, None)


def test_advisory_of_several_vulnerabilities_fills_gaps_only() -> None:
    wider = Advisory(
        "RUSTSEC-1",
        "osv",
        ("CVE-1", "CVE-2"),
        summary="Three bugs",
        details="All of them, at length.",
        published="2020-01-01T00:00:00Z",
        cvss_vectors=(CVSS_9_8,),
        cvss=9.8,
        severity=Severity.critical,
        references=("https://wide.example/",),
    )
    own = Advisory("CVE-1", "nvd", summary="A bug", severity=Severity.low, references=("https://own.example/",))
    merged = merge(own, shared=(wider,))
    assert (merged.summary, merged.severity, merged.cvss) == ("A bug", Severity.low, None)
    assert (merged.details, merged.published) == ("All of them, at length.", "2020-01-01T00:00:00Z")
    assert merged.related == ("CVE-2",)
    assert merged.references == ("https://own.example/", "https://wide.example/")
    assert merge(shared=(wider,)).cvss == 9.8


@pytest.mark.parametrize("mistake", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "soon", "2024"])
def test_dates_that_are_mistakes_are_passed_over(mistake: str) -> None:
    merged = merge(
        Advisory("GO-1", "osv", published=mistake, modified=mistake),
        Advisory("CVE-1", "nvd", published="2024-02-03T04:05:06Z", modified="2024-03-03T04:05:06Z"),
    )
    assert (merged.published, merged.modified) == ("2024-02-03T04:05:06Z", "2024-03-03T04:05:06Z")
    assert merge(Advisory("GO-1", "osv", published=mistake)).published == ""


def test_summary_is_of_the_software_itself_and_not_of_a_copy() -> None:
    merged = merge(
        Advisory("PYSEC-1", "osv", summary="OpenSSL in wheels"),
        Advisory("CVE-1", "nvd", summary="A timing side channel in RSA decryption"),
    )
    assert merged.summary == "A timing side channel in RSA decryption"
