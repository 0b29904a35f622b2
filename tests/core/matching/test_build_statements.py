"""What a build says of its own vulnerabilities: what is read of it, and what it can know."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.core.matching.build_statements import (
    BUILD_STATEMENT,
    DOCUMENT_MAX_BYTES,
    ENTRIES_MAX,
    NOTE_MAX_CHARACTERS,
    BuildWord,
    apply_statements,
    built_before_ms,
    is_knowable,
    list_set_aside,
    parse_security,
)

BUILT_MS = round(datetime(2024, 6, 1, tzinfo=UTC).timestamp() * 1000)


def finding(*ids: str, published: str = "") -> Finding:
    return Finding(ids, "critical", 9.8, False, None, 90.0, (), "reported", "exact", (), published)


def read(document: Any) -> dict[str, str]:
    return {id_: str(said.status) for id_, said in parse_security(msgspec.json.encode(document)).items()}


def word(document: Any, author: str = "https://up.example/c") -> BuildWord:
    return BuildWord(parse_security(msgspec.json.encode(document)), author, BUILT_MS)


def statuses(document: Any, *findings: Finding) -> list[str]:
    return [f.status for f in apply_statements(Assessment(True, "", findings), word(document)).findings]


# -- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_none_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidInputError):
        parse_security(document)


def test_odd_shapes_count_as_absent() -> None:
    odd = {"vulns_cleared": [None, 3, {"id": 7}, "x", {"id": "CVE-1-1"}], "vulns_active": {"CVE-1-1": None, "": 1}}
    assert read(odd) == {"CVE-1-1": "active"}


def test_a_file_that_says_more_than_an_honest_build_can_is_not_read_at_all() -> None:
    ids = [f"CVE-2024-{number:05}" for number in range(ENTRIES_MAX + 1)]
    assert len(read({"vulns_cleared": ids[:ENTRIES_MAX]})) == ENTRIES_MAX
    with pytest.raises(InvalidInputError, match="more than"):
        read({"vulns_cleared": ids})
    with pytest.raises(InvalidInputError, match="more than"):
        parse_security(b'{"vulns_cleared": []}' + b" " * DOCUMENT_MAX_BYTES)
    note = parse_security(msgspec.json.encode({"vulns_mitigated": {"CVE-2024-1": "x" * 10_000}}))["CVE-2024-1"].note
    assert len(note) == NOTE_MAX_CHARACTERS


def test_no_pattern_stands_for_many_ids() -> None:
    patterns = ["*", "CVE-*", "CVE-2024-*", "CVE-2024-????", ".*", "CVE-2024-.*", "CVE-2024-", "CVE", "CVE-2024-000"]
    assert statuses({"vulns_cleared": patterns}, finding("CVE-2024-0001")) == ["reported"]


# -- what it covers ----------------------------------------------------------------------------------------------------


def test_a_statement_gives_its_status_and_cites_its_author() -> None:
    said = {"vulns_mitigated": {"cve-2024-0001": {"patch": "0001-fix.patch"}}, "vulns_cleared": ["GHSA-aaaa-bbbb-cccc"]}
    assessment = Assessment(True, "", (finding("CVE-2024-0001"), finding("CVE-2024-0002", "GHSA-aaaa-bbbb-cccc")))
    mitigated, cleared = apply_statements(assessment, word(said)).findings
    assert (mitigated.status, cleared.status) == ("mitigated", "cleared")
    evidence = mitigated.evidence[-1]
    assert (evidence.source, evidence.range) == (BUILD_STATEMENT, "0001-fix.patch")
    assert "https://up.example/c" in evidence.via
    assert [f.status for f in assessment.findings] == ["reported", "reported"]
    aside = list_set_aside(assessment, word(said), "a-1.0-0.conda")
    assert [(f.ids[0], f.status, f.ignored_by.rule) for f in aside] == [
        ("CVE-2024-0001", "ignored", BUILD_STATEMENT),
        ("CVE-2024-0002", "ignored", BUILD_STATEMENT),
    ]
    assert aside[0].ignored_by.reason == "https://up.example/c says mitigated in a-1.0-0.conda: 0001-fix.patch"


def test_what_a_build_calls_active_or_disputed_is_not_set_aside() -> None:
    said = {"vulns_active": ["CVE-2024-0001"], "vulns_disputed": ["CVE-2024-0002"]}
    findings = finding("CVE-2024-0001"), finding("CVE-2024-0002"), finding("CVE-2024-0003")
    assert statuses(said, *findings) == ["active", "disputed", "reported"]
    assert list_set_aside(Assessment(True, "", findings), word(said), "a-1.0-0.conda") == ()


@pytest.mark.parametrize(
    ("ids", "published", "knowable"),
    [
        (("CVE-2024-0001",), "", True),
        (("CVE-2023-0001",), "2023-02-01T00:00:00Z", True),
        (("CVE-2024-0001",), "2024-08-01T00:00:00Z", True),  # it was under embargo
        (("CVE-2024-0001",), "2024-09-15T00:00:00Z", False),
        (("CVE-2025-0001",), "", False),
        (("CVE-2025-0001",), "2024-01-01T00:00:00Z", False),
        (("CVE-2024-0001", "GHSA-x"), "2026-01-01T00:00:00+00:00", False),
        (("GHSA-x",), "2024-05-01", True),
        (("GHSA-x",), "no date", True),
        (("PYSEC-2026-1",), "2026-01-01T00:00:00Z", False),
    ],
)
def test_nobody_clears_what_came_after_the_build(ids: tuple[str, ...], published: str, knowable: bool) -> None:
    found = finding(*ids, published=published)
    assert is_knowable(found, BUILT_MS) is knowable
    assert statuses({"vulns_cleared": [ids[0]]}, found) == ["cleared" if knowable else "reported"]


@pytest.mark.parametrize(
    ("timestamp", "indexed", "built"), [(5, 9, 5), (9, 5, 5), (0, 9, 9), (5, 0, 5), (0, 0, 0), (-1, 7, 7)]
)
def test_a_builders_clock_counts_only_before_ours(timestamp: int, indexed: int, built: int) -> None:
    assert built_before_ms(timestamp, indexed) == built
