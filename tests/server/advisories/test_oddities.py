"""What real feeds write wrongly, and what is made of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from antivenom.core.feeds import cve5, name_map, osv
from antivenom.core.feeds.cve5 import parse_versions
from antivenom.core.feeds.entry import NameEntry, Reading
from antivenom.core.feeds.nvd import parse_configurations
from antivenom.core.feeds.osv import is_disputed
from antivenom.core.matching.compile_index import range_text
from antivenom.knowledge import built_in
from antivenom.server.advisories import feed_files

READING = Reading(now=datetime(2026, 11, 21, tzinfo=UTC), python_names=built_in().python_names)


def read_map(path: Path, text: str) -> set[tuple[str, tuple[str, ...]]]:
    path.write_text(text)
    return {
        (row.conda_name, row.names)
        for member in feed_files.members(path)
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
        ("It crashes. NOTE: the vendor disputes the significance of this.", False),
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
        ("A request is rejected for no reason", False),
    ],
)
def test_an_entry_whose_text_begins_with_its_rejection_is_withdrawn(details: str, is_withdrawn: bool) -> None:
    read = osv.parse_entry({"id": "JLSEC-1", "modified": "2024-01-01T00:00:00Z", "details": details}, READING)
    assert bool(read.withdrawn) is is_withdrawn
