"""Node.js' own list: what is vulnerable and not patched, and how it is heard beside other sources."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest

from antivenom.core.feeds import nodejs, unpack
from antivenom.core.feeds.entry import EntryError, Reading, SetAside
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange, Severity
from antivenom.core.matching.compile_index import build_index, range_text
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in

READING = Reading(now=datetime(2026, 11, 21, tzinfo=UTC))


def read(document: object, name: str = "index.json") -> list[Advisory | SetAside]:
    stream = io.BufferedReader(io.BytesIO(json.dumps(document).encode()))  # type: ignore[arg-type]
    return list(nodejs.read(unpack.Member(name, stream), READING))


def listed(vulnerable: str, patched: str, **more: object) -> dict[str, object]:
    return {"cve": ["CVE-2026-0001"], "vulnerable": vulnerable, "patched": patched, **more}


@pytest.mark.parametrize(
    ("vulnerable", "patched", "affected"),
    [
        ("20.x", "^20.3.1", [">=20.0.0,<20.3.1"]),
        ("16.x || 18.x || 20.x", "^16.20.1 || ^18.16.1 || ^20.3.1",
         [">=16.0.0,<16.20.1", ">=18.0.0,<18.16.1", ">=20.0.0,<20.3.1"]),
        # a line without a patch goes on to the next release that has one
        ("18.x || 19.x || 20.x", "^18.16.1 || ^20.3.1", [">=18.0.0,<18.16.1", ">=19.0.0,<20.3.1"]),
        ("18.x || 19.x", "^18.16.1", [">=18.0.0,<18.16.1", ">=19.0.0,<20.0.0"]),
        (" 12.x||14.x ", " ^12.22.2 ", [">=12.0.0,<12.22.2", ">=14.0.0,<15.0.0"]),
        (">=6.0.0 <6.2.0 || 5.x || 4.x", "^6.2.1 || ^4.5.0", [">=4.0.0,<4.5.0", ">=5.0.0,<6.2.0"]),
        ("^4.8.2 || ^6.10.2  || 8.x", "^4.8.5 || ^6.11.5 || ^8.8.0",
         [">=4.8.2,<4.8.5", ">=6.10.2,<6.11.5", ">=8.0.0,<8.8.0"]),
        ("<= 10", ">= 10.9.0", ["<10.9.0"]),
        ("0.10.x || 0.12.x", "^0.10.48 || ^0.12.17", [">=0.10.0,<0.10.48", ">=0.12.0,<0.12.17"]),
        ("8.5.0", "^8.6.0", [">=8.5.0,<8.5.1"]),
        ("9.7.x || 10.x", "~9.7.3 || 10.4.1 - 11", [">=9.7.0,<9.7.3", ">=10.0.0,<10.4.1"]),
        ("*", ">=2", ["<2.0.0"]),
        ("> 4.2 <5", "6.x", [">=4.3.0,<5.0.0"]),
    ],
)  # fmt: skip
def test_what_is_vulnerable_and_not_patched_is_affected(vulnerable: str, patched: str, affected: list[str]) -> None:
    assert [range_text(r) for r in nodejs.affected_ranges(vulnerable, patched)] == affected


@pytest.mark.parametrize(
    "written", ["", None, 20, "all", "20.x.y", "20..1", ">=", "1.2.3.4", "^" * 2_000, "20.x or 18.x"]
)
def test_what_is_no_range_is_refused_with_its_text(written: object) -> None:
    with pytest.raises(EntryError, match=r"vulnerable .* is not a range such as"):
        nodejs.affected_ranges(written, "^20.3.1")
    with pytest.raises(EntryError, match=r"patched .* is not a range such as"):
        nodejs.affected_ranges("20.x", written)


def test_the_list_is_read_entry_by_entry() -> None:
    text = {
        "description": "A flaw\nhere",
        "overview": "Long",
        "severity": "high",
        "ref": "https://example.org/1",
        "affectedEnvironments": ["win32"],
        "publish_date": "2018-08-16",
        "cvss": "3.0/AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:L/A:N",
    }
    one, none, several, bad, odd = read({
        "1": listed("20.x", "^20.3.1", **text),
        "2": {**listed("20.x", "^20.3.1", severity="medium"), "cve": []},
        "3": {**listed("20.x", "^20.3.1"), "cve": ["CVE-2026-0002", "cve-2026-0003"]},
        "4": listed("20.x", "as soon as possible"),
        "5": "soon",
    })  # fmt: skip
    assert isinstance(one, Advisory)
    assert (one.id, one.aliases) == ("NODEJS-CORE-1", ("CVE-2026-0001",))
    assert (one.severity, one.cvss) == (Severity.medium, 4.8)
    assert one.published == "2018-08-16T00:00:00Z"
    assert one.references == ("https://example.org/1",)
    assert [(a.ecosystem, a.name, a.platforms, a.fixed_versions) for a in one.affected] == [
        ("cpe", "nodejs:node.js", ("windows",), ("20.3.1",))
    ]
    assert isinstance(none, Advisory)
    assert (none.id, none.severity, none.affected[0].platforms) == ("NODEJS-CORE-2", Severity.medium, ())
    assert isinstance(several, Advisory)
    assert (several.id, several.aliases) == ("NODEJS-CORE-3", ("CVE-2026-0002", "CVE-2026-0003"))
    assert isinstance(bad, SetAside)
    assert (bad.entry, bad.id) == ("index.json: 4", "NODEJS-CORE-4")
    assert "patched 'as soon as possible' is not a range" in bad.reason
    assert isinstance(odd, SetAside)
    assert "is not an entry of Node.js' list" in odd.reason


def test_a_cve_id_of_two_entries_has_the_releases_of_both() -> None:
    entries = read({"1": listed("14.x", "^14.17.4"), "2": listed("14.x", "^14.17.5")})
    assert [a.id for a in entries if isinstance(a, Advisory)] == ["NODEJS-CORE-1", "NODEJS-CORE-2"]
    assert ids_of("14.17.4", *(a for a in entries if isinstance(a, Advisory))) == {"CVE-2026-0001"}


def test_a_file_of_one_entry_is_numbered_by_its_name() -> None:
    nameless = {**listed("20.x", "^20.3.1"), "cve": []}
    assert [a.id for a in read(nameless, "security-wg-main/vuln/core/170.json")] == ["NODEJS-CORE-170"]
    assert [a.id for a in read(listed("20.x", "^20.3.1"), "entry.json")] == ["CVE-2026-0001"]
    [refused] = read(nameless, "entry.json")
    assert isinstance(refused, SetAside)
    assert "no number" in refused.reason


def ids_of(version: str, *advisories: Advisory) -> set[str]:
    index = MatchIndex.load(build_index(advisories, knowledge=built_in()), built_in())
    return {f.ids[0] for f in index.assess([ComponentKey("conda", "nodejs", version)])[0].findings}


def said(source: str, fixed: str, name: str = "nodejs:node.js", by: str = "") -> Advisory:
    package = AffectedPackage("cpe", name, (AffectedRange("cpe", None, fixed=fixed),), (), (fixed,), by)
    return Advisory("CVE-2026-0001", source, affected=(package,))


def test_its_lines_count_beside_other_databases_and_silence_none() -> None:
    [own] = read({"1": listed("20.x || 22.x", "^20.20.2 || ^22.22.2")})
    assert isinstance(own, Advisory)
    nvd = said("nvd", "20.20.0")
    for version, found in {"14.1.0": True, "20.20.1": True, "20.20.2": False, "22.1.0": True, "24.0.0": False}.items():
        assert bool(ids_of(version, own, nvd)) is found, version
    assert ids_of("20.20.1", own) == {"CVE-2026-0001"}
    assert not ids_of("14.1.0", own)
    # The project's own record in the CVE list is more precise than either.
    assert not ids_of(
        "20.20.1",
        own,
        nvd,
        said("cve5", "20.19.0", by="openjs"),
    )
