"""Whatever an entry holds, parsers answer an advisory or set it aside; nothing else ever comes out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.feeds import cve5, nodejs, nvd, osv
from antivenom.core.feeds.entry import EntryError, Reading
from antivenom.core.matching.advisories import Advisory
from antivenom.server.advisories.copy_rows import advisory_line

READING = Reading(datetime(2026, 6, 1, tzinfo=UTC))
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["CVE-2026-1", "0", "*", "-", "0001-01-01T00:00:00+14:00", "cpe:2.3:a:b:c:1\\:2:*:*:*:*:*:*:*", "\0", "\ud800"]
    ),
)
words = st.sampled_from(
    [
        "id",
        "cve",
        "affected",
        "package",
        "name",
        "ecosystem",
        "ranges",
        "type",
        "events",
        "introduced",
        "fixed",
        "last_affected",
        "versions",
        "version",
        "severity",
        "score",
        "database_specific",
        "published",
        "modified",
        "withdrawn",
        "aliases",
        "references",
        "url",
        "configurations",
        "nodes",
        "cpeMatch",
        "criteria",
        "vulnerable",
        "versionEndExcluding",
        "versionStartIncluding",
        "operator",
        "negate",
        "children",
        "descriptions",
        "lang",
        "value",
        "metrics",
        "cvssMetricV31",
        "cvssData",
        "vectorString",
        "weaknesses",
        "cveMetadata",
        "cveId",
        "state",
        "containers",
        "cna",
        "lessThan",
        "status",
        "changes",
        "at",
        "product",
        "vendor",
        "cpes",
        "defaultStatus",
        "x_affectedList",
        "vulnerable",
        "patched",
        "overview",
        "affectedEnvironments",
    ]
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=6), max_leaves=40
)
entries = st.dictionaries(words, values, max_size=12)


def check(parse: Any, entry: dict[str, Any]) -> None:
    try:
        advisory = parse(entry, READING)
    except EntryError:
        return  # set aside
    assert isinstance(advisory, Advisory)
    assert advisory_line(advisory).count(b"\n") == 1


@given(entries)
def test_osv_takes_anything(entry: dict[str, Any]) -> None:
    check(osv.parse_entry, {"id": "PYSEC-2026-1", **entry})


@given(entries, entries)
def test_nvd_takes_anything(entry: dict[str, Any], inner: dict[str, Any]) -> None:
    check(nvd.parse_entry, {**entry, "cve": {"id": "CVE-2026-0001", **inner}})


@given(entries, entries)
def test_cve5_takes_anything(entry: dict[str, Any], cna: dict[str, Any]) -> None:
    metadata = {"cveId": "CVE-2026-0001", "state": "PUBLISHED"}
    check(cve5.parse_entry, {**entry, "cveMetadata": metadata, "containers": {"cna": cna}})


@given(entries, st.text(max_size=12), st.text(alphabet="0123456789.xX*<>=^~|v- ", max_size=30))
def test_nodejs_takes_anything(entry: dict[str, Any], number: str, written: str) -> None:
    keys = {"cve": ["CVE-2026-0001"], "vulnerable": written, "patched": written[::-1]}
    check(lambda e, reading: nodejs.parse_entry(number, e, reading), {**keys, **entry})
