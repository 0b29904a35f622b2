"""Index documents as real channels had them: what clients read is taken in, and no record harms another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import rattler
import zstandard

from antivenom.core.source.ingest import ingest_monolith
from tests.core.index_samples import NOW_MS, FakePolicy, MemoryBlobs, document, publish_all, record, served, shards_of


def take_in(text: bytes) -> tuple[dict[str, dict[str, Any]], dict[str, str], bytes]:
    """The records that are served after taking in `text`, what was set aside, and our own document."""
    blobs = MemoryBlobs()
    ingested = ingest_monolith(blobs, text, subdir="noarch", now_ms=NOW_MS)
    published = publish_all(blobs, {"noarch": ingested.source}, FakePolicy())
    found = served(blobs, published)
    assert found == shards_of(blobs, published)
    whole = zstandard.ZstdDecompressor().decompress(blobs.get(published.subdirs["noarch"].monolith))
    return found, dict(ingested.set_aside), whole


def listed_by_rattler(text: bytes, name: str, folder: Path) -> set[str]:
    """The file names of a package that py-rattler reads in a document."""
    file = folder / "repodata.json"
    file.write_bytes(text)
    channel = rattler.Channel("https://channel.example/main")
    records = rattler.SparseRepoData(channel, "noarch", file).load_records(rattler.PackageName(name))
    return {found.file_name for found in records}


A = "a-1.0-0.conda"
ACCEPTED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "rattler#1179: an info without a subdir": (document(record("a"), info={}), {A: {}}),
    "conda#7008: the subdir of a temporary folder": (document(record("a"), info={"subdir": "tmpBhIdpS"}), {A: {}}),
    "rattler#2784: an info field in a shape of tomorrow": (
        document(record("a"), info={"subdir": "noarch", "repodata_revisions": {"v0": {"n_packages": 1}}}),
        {A: {}},
    ),
    "conda#7422: a version of tomorrow": (document(record("a"), repodata_version=9), {A: {}}),
    "rattler#441: no packages.conda": (
        msgspec.json.encode({"packages": {"a-1.0-0.tar.bz2": record("a")}}),
        {"a-1.0-0.tar.bz2": {}},
    ),
    "rattler#758: a local version": (document(record("a", "1.0+218_omp")), {"a-1.0+218_omp-0.conda": {}}),
    "prefix-dev#49: an epoch": (document(record("a", "1!1.0")), {"a-1!1.0-0.conda": {}}),
    "conda#293: no depends": (document(record("a", depends=...)), {A: {"depends": []}}),
    "conda-lock#292: no size": (document(record("a", size=...)), {A: {"size": ...}}),
    "conda-lock#887: no md5": (document(record("a", md5=...)), {A: {"md5": ...}}),
    "pixi-to-conda-lock#5: no sha256": (document(record("a", sha256=...)), {A: {"sha256": ...}}),
    "rattler#99: a NUL": (document(record("a", license="MI\0T")), {A: {"license": "MI\0T"}}),
    "rattler#160: specs that cannot be read": (
        document(record("a", depends=["b ==1.0,|", "e[", "c >=1.*", ""])),
        {A: {"depends": ["b ==1.0,|", "e[", "c >=1.*", ""]}},
    ),
    "rattler-build#1957: a time in seconds": (
        document(record("a", timestamp=1_761_000_063)),
        {A: {"indexed_timestamp": 1_761_000_063_000}},
    ),
    "rattler#110: no subdir": (document(record("a", subdir=...)), {A: {}}),
    "conda-build#2303: removed files with paths": (document(record("a"), removed=["../x", "b-1.0-0.conda"]), {A: {}}),
}


@pytest.mark.parametrize(("text", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_clients_read_is_served_and_they_read_it_from_us(
    text: bytes, expected: dict[str, Any], tmp_path: Path
) -> None:
    found, aside, whole = take_in(text)
    assert (set(found), aside) == (set(expected), {})
    for fn, fields in expected.items():
        assert {name: found[fn].get(name, ...) for name in fields} == fields
    assert listed_by_rattler(whole, "a", tmp_path) == set(expected)
    assert whole.startswith(b'{"info":{"subdir":"noarch"}')


UNREADABLE: dict[str, dict[str, Any]] = {
    "conda#6096: a time with a fraction": record("a", timestamp=1505856869.685),
    "track_features that are null": record("a", track_features=None),
    "an unknown noarch": record("a", noarch="julia"),
    "an old digest that is none": record("a", legacy_bz2_md5="zz"),
    "no digest": record("a", md5=..., sha256=...),
    "no build number": record("a", build_number=...),
    "the year 1 in ms": record("a", timestamp=-62135596800000),
    "one package URL without a list": record("a", purls="pkg:pypi/a"),
    "a subdir that is a number": record("a", subdir=7),
    "a list of dependencies that is null": record("a") | {"depends": None},
    "a list of constraints that is null": record("a") | {"constrains": None},
    "a size with a fraction": record("a", size=10.5),
    "an empty digest": record("a", md5=""),
    "a list of licences": record("a", license=["MIT"]),
    "a build number that is text": record("a", build_number="0"),
}


@pytest.mark.parametrize("unreadable", UNREADABLE.values(), ids=UNREADABLE)
def test_a_record_that_a_client_cannot_read_takes_no_other_build_away(
    unreadable: dict[str, Any], tmp_path: Path
) -> None:
    found, aside, whole = take_in(document(unreadable, record("a", "2.0")))
    assert (set(found), set(aside)) == ({"a-2.0-0.conda"}, {A})
    assert listed_by_rattler(whole, "a", tmp_path) == {"a-2.0-0.conda"}


@pytest.mark.parametrize(
    "odd",
    [b'"\\ud800"', b'"\\uDFFF x"', b'["\\\\\\ud800"]', b"NaN", b"[-Infinity, Infinity]", b'{"\\ud800": 1}', b"1e999"],
)
@pytest.mark.parametrize("fill", [b" ", b'"Infinity \\\\ud800 \\ud83d\\ude00 NaN"'], ids=["plain", "with lookalikes"])
def test_what_is_not_json_in_a_record_takes_no_other_record_away(odd: bytes, fill: bytes, tmp_path: Path) -> None:
    """conda-build#3121 and its kind: one record was enough to refuse the whole document."""
    text = document(record("a", summary="1"), record("b", zz=1, extra=2)).replace(b'"zz":1', b'"zz":' + odd)
    if fill.strip():
        text = text.replace(b'"summary":"1"', b'"summary":' + fill)
    found, aside, whole = take_in(text)
    assert (set(found), set(aside)) == ({A}, {"b-1.0-0.conda"})
    assert found[A]["summary"] == (msgspec.json.decode(fill) if fill.strip() else "1")
    assert listed_by_rattler(whole, "a", tmp_path) == {A}


def test_a_key_that_is_not_json_takes_no_other_record_away() -> None:
    text = document(record("a"), record("b")).replace(b'"b-1.0-0.conda"', b'"b-\\ud800-0.conda"')
    found, aside, _ = take_in(text)
    assert (set(found), len(aside)) == ({A}, 1)
