"""A record that some client cannot read is not published; what all of them read is. The clients are asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rattler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antivenom.core.source.ingest import ingest_monolith
from tests.core.index_samples import NOW_MS, FakePolicy, MemoryBlobs, publish_all, served, shards_of

TABLE = json.loads(Path(__file__).with_name("odd_records.json").read_text(encoding="utf-8"))
GOOD: dict[str, Any] = TABLE["record"]
ODD, BESIDE = "a-1.0-0.conda", "a-2.0-0.conda"
ABSENT = "(absent)"
ROWS = [pytest.param(*row, id=f"{row[0]}={json.dumps(row[1])[:40]}") for row in TABLE["answers"]]

STRICTER = {"name", "build", "build_number", "size", "legacy_bz2_size"}  # another name, none, and beyond 63 bits
CORRECTED = {  # what is put in order before it is served, so that the clients' answers are about something else
    "subdir", "url", "urls", "fn", "filename", "channel", "schannel", "package_tarball_full_path", "indexed_timestamp",
    "md5", "sha256", "legacy_bz2_md5", "size", "legacy_bz2_size",
}  # fmt: skip


def odd_record(field: str, value: Any) -> dict[str, Any]:
    return {key: given for key, given in (GOOD | {field: value}).items() if given != ABSENT}


def ingest(record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str], bytes]:
    """What is served of the record and a good one beside it, what is set aside, and the document that is served."""
    blobs = MemoryBlobs()
    text = msgspec.json.encode({"packages": {}, "packages.conda": {ODD: record, BESIDE: GOOD | {"version": "2.0"}}})
    ingested = ingest_monolith(blobs, text, subdir="noarch", now_ms=NOW_MS)
    published = publish_all(blobs, {"noarch": ingested.source}, FakePolicy())
    found = served(blobs, published)
    assert found.keys() == shards_of(blobs, published).keys()
    document = msgspec.json.encode({"info": {"subdir": "noarch"}, "packages": {}, "packages.conda": found})
    return found, dict(ingested.set_aside), document


def rattler_lists(document: bytes, folder: Path) -> list[str]:
    file = folder / "repodata.json"
    file.write_bytes(document)
    channel = rattler.Channel("http://127.0.0.1/c")
    names = rattler.SparseRepoData(channel, "noarch", file)
    return sorted(record.file_name for record in names.load_records(rattler.PackageName("a")))


def rattler_reads(document: bytes, folder: Path) -> bool:
    try:
        return rattler_lists(document, folder) == [ODD, BESIDE]
    except Exception:
        return False


@pytest.mark.parametrize(("field", "value", "conda"), ROWS)
def test_what_is_served_is_read_by_all_clients(field: str, value: Any, conda: str, tmp_path: Path) -> None:
    found, set_aside, document = ingest(odd_record(field, value))
    assert found.keys() | set_aside.keys() == {ODD, BESIDE}
    assert BESIDE in found
    if ODD not in found:
        assert set_aside[ODD]
        return
    assert rattler_reads(document, tmp_path) or field == "name"
    if field not in CORRECTED and field != "name":
        assert conda == "ok"
        assert found[ODD].get(field, ABSENT) == value or value in (None, ABSENT)


@pytest.mark.parametrize(("field", "value", "conda"), ROWS)
def test_what_all_clients_read_is_served(field: str, value: Any, conda: str, tmp_path: Path) -> None:
    text = msgspec.json.encode(
        {"packages": {}, "packages.conda": {ODD: odd_record(field, value), BESIDE: GOOD | {"version": "2.0"}}}
    )
    is_read = conda == "ok" and rattler_reads(text, tmp_path)
    found, set_aside, _ = ingest(odd_record(field, value))
    if is_read and field not in STRICTER:
        assert ODD in found, set_aside[ODD]


def test_a_record_without_any_digest_is_set_aside() -> None:
    found, set_aside, _ = ingest({key: value for key, value in GOOD.items() if key not in ("md5", "sha256")})
    assert list(found) == [BESIDE]
    assert "no digest" in set_aside[ODD]


@pytest.mark.parametrize("number", [2**64, 2**70, -(2**63) - 1, 10**60])
def test_an_integer_beyond_64_bits_passes_through(number: int) -> None:
    blobs = MemoryBlobs()
    record = GOOD | {"zz": number, "deep": {"list": [1, number]}, "near": [2**64 - 1, -(2**63)]}
    text = msgspec.json.encode({"packages": {}, "packages.conda": {ODD: record}})
    ingested = ingest_monolith(blobs, text, subdir="noarch", now_ms=NOW_MS)
    published = publish_all(blobs, {"noarch": ingested.source}, FakePolicy())
    stamp = {"indexed_timestamp": GOOD["timestamp"]}
    assert served(blobs, published)[ODD] == record | stamp
    exact = {"zz": str(number), "deep": {"list": [1, str(number)]}}  # msgpack has no such integers
    assert shards_of(blobs, published)[ODD] == record | stamp | exact


def test_a_record_without_depends_gets_an_empty_list() -> None:
    found, _, _ = ingest({key: value for key, value in GOOD.items() if key != "depends"})
    assert found[ODD]["depends"] == []  # conda adds to the list of python's, and ends when there is none


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6) | st.sampled_from(["python", "1.0", "pkg:pypi/a", "ab" * 16, "ab" * 32, "weak"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["weak", "strong", "x", ""]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
TYPED = sorted({row[0] for row in TABLE["answers"]} - {"name"})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(TYPED), json_values, min_size=1, max_size=3))
def test_no_value_of_any_field_takes_other_records_away(tmp_path: Path, fields: dict[str, Any]) -> None:
    found, set_aside, document = ingest(GOOD | fields)
    assert found.keys() | set_aside.keys() == {ODD, BESIDE}
    assert rattler_lists(document, tmp_path) == sorted(found)
    assert BESIDE in found
