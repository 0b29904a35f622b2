"""What real feeds write wrongly, and what is made of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from antivenom.core.feeds import cpe, cve5, name_map, nvd, osv
from antivenom.core.feeds.cve5 import parse_versions
from antivenom.core.feeds.entry import NameEntry, Reading
from antivenom.core.feeds.nvd import parse_configurations
from antivenom.core.feeds.standing import is_disputed
from antivenom.core.matching.compile_index import range_text
from antivenom.feeds import files
from antivenom.knowledge import built_in

READING = Reading(now=datetime(2026, 11, 21, tzinfo=UTC), python_names=built_in().python_names)


def read_map(path: Path, text: str) -> set[tuple[str, tuple[str, ...]]]:
    path.write_text(text)
    return {
        (row.conda_name, row.names)
        for member in files.members(path)
        for row in name_map.read(member, READING)
        if isinstance(row, NameEntry)
    }


@pytest.mark.parametrize("header", ["pypi_name\tconda_name", "conda_name\tpypi_name"])
def test_a_map_whose_columns_are_named_wrongly_is_read_by_what_stands_in_it(tmp_path: Path, header: str) -> None:
    rows = [("pytorch", "torch"), ("pytables", "tables"), ("my-name", "your-name"), ("numpy", "numpy")]
    found = read_map(tmp_path / "map.tsv", header + "\n" + "".join(f"{a}\t{b}\n" for a, b in rows))
    assert found == {(conda, (python,)) for conda, python in rows}


def test_a_map_without_well_known_names_is_read_as_its_columns_say(tmp_path: Path) -> None:
    assert read_map(tmp_path / "map.tsv", "pypi_name\tconda_name\none\tother\n") == {("other", ("one",))}


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("1.54", "154.3", ">=1.54,<1.54.3"),
        ("1.54.0", "154.2", ">=1.54.0,<1.54.2"),
        ("1.1", "11.5", ">=1.1,<11.5"),
        ("0", "154.3", "<154.3"),
    ],
)
def test_a_dot_that_a_record_lost_is_put_back(start: str, end: str, text: str) -> None:
    entry = {"version": start, "lessThan": end, "status": "affected", "versionType": "custom"}
    ranges, _, _ = parse_versions("cpe", {"versions": [entry]})
    assert [range_text(r) for r in ranges] == [text]


@pytest.mark.parametrize(("vendor", "text"), [("Oracle Corporation", ">=8.0,<=8.0.22"), ("Somebody", "<=8.0.22")])
def test_oracles_releases_and_prior_are_of_one_line(vendor: str, text: str) -> None:
    entry = {"version": "8.0.22 and prior", "status": "affected"}
    ranges, _, _ = parse_versions("cpe", {"vendor": vendor, "versions": [entry]})
    assert [range_text(r) for r in ranges] == [text]


def test_a_commit_is_no_bound() -> None:
    match = {
        "criteria": "cpe:2.3:a:ffmpeg:ffmpeg:*:*:*:*:*:*:*:*",
        "vulnerable": True,
        "versionStartIncluding": "a218cafe4d3be005ab0c61130f90db4d21afb5db",
        "versionEndExcluding": "8.0",
    }
    [package], _ = parse_configurations([{"nodes": [{"cpeMatch": [match]}]}])
    assert [range_text(r) for r in package.ranges] == ["<8.0"]


@pytest.mark.parametrize(
    ("description", "disputed"),
    [
        ("** DISPUTED ** A flaw in 1.0.", True),
        ("DISPUTED: The project has clarified it.", True),
        ("It crashes. NOTE: this is disputed by multiple parties because it is documented.", True),
        ("It crashes. NOTE: the vendor disputes this issue.", True),
        ("It crashes. NOTE: third parties dispute this.", True),
        ("It crashes. NOTE: the severity of this issue has been disputed by third parties.", False),
        ("It crashes. NOTE: the vendor disputes the severity of this.", False),
        ("It crashes. NOTE: the vendor disputes the severity and claimed vulnerability.", True),
        ("It crashes. NOTE: the vendor disputes the significance of this.", True),  # the CVE program marks such records
        ("It crashes. This has been disputed by third parties.", True),
        ("It crashes. NOTE: the service was removed. Additionally, the vendor disputes this issue.", True),
        ("DISPUTE NOTE: this issue does not pose a risk.", True),
        ("It crashes. NOTE: the vendor's position is that this is a hardening opportunity.", True),
        ("It crashes. NOTE: although it could crash, the supplier's perspective is that nobody would.", True),
        ("It crashes. NOTE: The vendor states that this is not a vulnerability.", True),
        ("It crashes. NOTE: the vendor reportedly has stated that they intentionally omit it.", True),
        ("It crashes. NOTE: multiple third parties have reported that no privilege escalation can occur.", True),
        ("It crashes. NOTE: the Supplier indicates that the report is invalid.", True),
        ("It crashes. Note: The project owner believes this is intended behavior.", True),
        ("It crashes. NOTE: a third party reports that this cannot be reproduced.", True),
        ("It crashes. NOTE: the vendor states that 1.2 is affected, too.", False),
        ("It crashes. NOTE: The vendor was contacted early about this disclosure but did not respond.", False),
        ("It crashes. NOTE: this vulnerability exists because of an incomplete fix.", False),
        ("It crashes. NOTE: The source advisory contains additional versions that could not be mapped.", False),
        ("A dispute resolution module crashes.", False),
    ],
)
def test_who_disputes_a_vulnerability_is_read_from_its_note(description: str, disputed: bool) -> None:
    assert is_disputed(description) is disputed


def test_a_cve_record_names_who_says_what_and_only_what_was_understood_whole() -> None:
    def versions(*ends: str) -> list[dict[str, str]]:
        return [{"version": "7.0", "lessThan": end, "status": "affected"} for end in ends]

    cna = {
        "affected": [
            {"vendor": "curl", "product": "curl", "versions": versions("7.5", "8.5")},
            {
                "vendor": "curl",
                "product": "odd",
                "versions": [*versions("9"), {"version": "sometimes", "status": "affected"}],
            },
        ]
    }
    adp = {"affected": [{"vendor": "curl", "product": "curl", "versions": versions("9.9")}]}
    record = {
        "cveMetadata": {"cveId": "CVE-2024-1234", "state": "PUBLISHED", "assignerShortName": "curl"},
        "containers": {"cna": cna, "adp": [adp]},
    }
    said = [(a.name, a.said_by, [range_text(r) for r in a.ranges]) for a in cve5.parse_entry(record, READING).affected]
    assert said == [
        ("curl:curl", "curl", [">=7.0,<7.5", ">=7.0,<8.5"]),
        ("curl:odd", "", [">=7.0,<9"]),
        ("curl:curl", "", [">=7.0,<9.9"]),
    ]
    flattened = {"cve": "CVE-2024-1234", "state": "PUBLISHED", "cna": "curl", "affected": [
        {**cna["affected"][0], "by": "cna"}, {**cna["affected"][0], "by": "cna", "product": "cut", "truncated": True},
        {**adp["affected"][0], "by": "adp:CISA-ADP"},
    ]}  # fmt: skip
    authors = [(a.name, a.said_by) for a in cve5.parse_entry(flattened, READING).affected]
    assert authors == [("curl:curl", "curl"), ("curl:cut", ""), ("curl:curl", "")]


@pytest.mark.parametrize(
    ("details", "is_withdrawn"),
    [
        ("Rejected reason: a duplicate", True),
        ("Rejected reason This is no vulnerability", True),
        ("** REJECT ** DO NOT USE THIS CANDIDATE NUMBER", True),
        ("** REJECT **DO NOT USE THIS CANDIDATE NUMBER", True),
        ("**REJECTED** by its CNA", True),
        ("DO NOT USE THIS CVE RECORD. ConsultIDs: none.", True),
        ("This CVE ID has been rejected or withdrawn by its CVE Numbering Authority.", True),
        ("A request is rejected for no reason", False),
        ("Rejected requests are kept for ever", False),
        ("This CVE was found by us", False),
    ],
)
def test_an_entry_whose_text_begins_with_its_rejection_is_withdrawn(details: str, is_withdrawn: bool) -> None:
    read = osv.parse_entry({"id": "JLSEC-1", "modified": "2024-01-01T00:00:00Z", "details": details}, READING)
    assert bool(read.withdrawn) is is_withdrawn
    assert ("rejected" in read.flags) is is_withdrawn


@pytest.mark.parametrize(
    ("more", "disputed"),
    [
        ({"tags": ["disputed"]}, True),
        ({"tags": ["x_Disputed"]}, True),
        ({"tags": ["unsupported-when-assigned"]}, False),
        ({"x_legacyV4Record": {"description": {"description_data": [{"value": "** DISPUTED ** It crashes."}]}}}, True),
        ({"x_legacyV4Record": {"description": {"description_data": [{"value": "It crashes."}, 7]}}}, False),
        ({"x_legacyV4Record": ["odd"]}, False),
    ],
)
def test_tags_and_older_forms_of_a_cve_record_tell_of_a_dispute(more: dict[str, Any], disputed: bool) -> None:
    cna = {"descriptions": [{"lang": "en", "value": "It crashes."}], **more}
    record = {"cveMetadata": {"cveId": "CVE-2024-1234", "state": "PUBLISHED"}, "containers": {"cna": cna}}
    assert cve5.parse_entry(record, READING).disputed is disputed
    tags = [{"sourceIdentifier": "x", "tags": more.get("tags", [])}]
    entry = {"cve": {"id": "CVE-2024-1234", "descriptions": [{"lang": "en", "value": "It crashes."}], "cveTags": tags}}
    assert nvd.parse_entry(entry, READING).disputed is (disputed and "tags" in more)


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("12.0.1-12.0.3", ">=12.0.1,<=12.0.3"),
        ("1.2 through 1.4", ">=1.2,<=1.4"),
        ("v1.2 - v1.4", ">=1.2,<=1.4"),
        ("1.4-1.2", ""),
        ("1.2.3-4.5", ""),  # a packager's
        ("2020-10", ""),
    ],
)
def test_a_span_in_a_version_is_a_range(version: str, text: str) -> None:
    ranges, versions, _ = parse_versions("cpe", {"versions": [{"version": version, "status": "affected"}]})
    assert [range_text(r) for r in ranges] == ([text] if text else [])
    assert bool(versions) is not bool(text)


@pytest.mark.parametrize(
    ("version", "update", "text"),
    [
        ("17.0.3", "1", "17.0.3-1"),
        ("3.8.0", "alpha1", "3.8.0alpha1"),
        ("4.2.8", "patch10", "4.2.8p10"),
        ("1", "-", "1"),
    ],
)
def test_an_update_of_digits_is_a_packagers(version: str, update: str, text: str) -> None:
    named = cpe.parse_name(f"cpe:2.3:a:acme:tool:{version}:{update}:*:*:*:*:*:*")
    assert named is not None
    assert named.version == text


@pytest.mark.parametrize(
    ("version", "ranges", "versions", "is_whole"),
    [
        ("Fixed in OpenSSL 1.0.2zc-dev (Affected 1.0.2-1.0.2zb)", [">=1.0.2,<1.0.2zc"], (), True),
        ("before version 2.13.0", ["<2.13.0"], (), True),
        ("All versions prior to and including 0.2.1", ["<=0.2.1"], (), True),
        ("1.x < 1.22.4, 1.x < 1.20.7", ["<1.20.7", ">=1.22,<1.22.4"], (), True),
        ("9.5 - 9.5.24, 10.0 - 10.0.11", [">=9.5,<=9.5.24", ">=10.0,<=10.0.11"], (), True),
        ("11.3, 11.4 and 11.5", [], ("11.3", "11.4", "11.5"), True),
        ("version 1.4.0", [], ("1.4.0",), True),
        ("6.0.0 through 6.0.14, 7.0.0", [">=6.0.0,<=6.0.14"], (), False),  # something is left
        ("R16A, 1.0", [], (), False),
        ("see references", [], (), False),
    ],
)
def test_the_words_of_a_cve_records_version_are_read(
    version: str, ranges: list[str], versions: tuple[str, ...], is_whole: bool
) -> None:
    found, listed, flags = parse_versions("cpe", {"versions": [{"version": version, "status": "affected"}]})
    assert ([range_text(r) for r in found], listed) == (ranges, versions)
    assert all(r.scheme == "cpe" for r in found)
    assert ("version-not-understood" not in flags) is is_whole
