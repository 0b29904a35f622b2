"""Ingest: what an upstream says becomes a source map; hostile records are set aside, hostile documents refused."""

from __future__ import annotations

import bz2
import hashlib
from typing import Any

import msgspec
import pytest
import zstandard

from antivenom.core.errors import DigestMismatchError, UpstreamError
from antivenom.core.source.ingest import UpstreamLimits, empty_source, ingest_monolith, ingest_shards, plan_shards
from antivenom.core.source.source_map import iterate_components, load_source, read_facts
from tests.core.index_samples import (
    NOW_MS,
    FakePolicy,
    MemoryBlobs,
    document,
    fn_of,
    ingest,
    publish_all,
    record,
    served,
    shards_of,
)


def read(text: bytes, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Records served without any policy, and what was set aside, after ingesting `text`."""
    blobs = MemoryBlobs()
    ingested = ingest_monolith(blobs, text, **({"subdir": "noarch", "now_ms": NOW_MS} | more))
    published = publish_all(blobs, {"noarch": ingested.source}, FakePolicy())
    found = served(blobs, published)
    assert found == shards_of(blobs, published)
    return found, dict(ingested.set_aside)


def shard_upstream(names: dict[str, list[dict[str, Any]]]) -> tuple[bytes, dict[str, bytes]]:
    shards, keys = {}, {}
    for name, records in names.items():
        packed = {fn_of(r): r | {"md5": bytes.fromhex(r["md5"]), "sha256": bytes.fromhex(r["sha256"])} for r in records}
        data = zstandard.ZstdCompressor().compress(
            msgspec.msgpack.encode({"packages": {}, "packages.conda": packed, "removed": []})
        )
        keys[name] = hashlib.sha256(data).digest()
        shards[keys[name].hex()] = data
    info = {"subdir": "noarch", "base_url": "", "shards_base_url": "./shards/"}
    index = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode({"version": 1, "info": info, "shards": keys}))
    return index, shards


@pytest.mark.parametrize(
    "pack",
    [bytes, zstandard.ZstdCompressor().compress, bz2.compress, lambda text: _two_frames(text)],
    ids=["plain", "zstd", "bzip2", "two frames"],
)
def test_plain_zstd_bzip2_and_several_frames_read_the_same(pack: Any) -> None:
    found, aside = read(pack(document(record("a"), record("b"), legacy=[record("a", "0.9")])))
    assert sorted(found) == ["a-0.9-0.tar.bz2", "a-1.0-0.conda", "b-1.0-0.conda"]
    assert aside == {}


def _two_frames(text: bytes) -> bytes:
    compress = zstandard.ZstdCompressor().compress
    return compress(text[:50]) + compress(text[50:])


def test_unknown_fields_pass_through_untouched() -> None:
    odd = record("a", flags=["cuda"], extra={"deep": [1, 2.5, None, "ü"]}, constrains=["b <2"])
    found, _ = read(document(odd))
    assert found["a-1.0-0.conda"] == odd | {"indexed_timestamp": 1_600_000_000_000}


def test_first_sync_seeds_indexed_timestamp_from_build_times_that_are_not_in_the_future() -> None:
    records = {
        "seconds": record("seconds", timestamp=1_600_000_000),
        "future": record("future", timestamp=NOW_MS + 1),
        "ancient": record("ancient", timestamp=5),
        "absent": record("absent", timestamp=...),
        "negative": record("negative", timestamp=-4_576_596_860),
        "own": record("own", indexed_timestamp=1_700_000_000_000),
    }
    found, _ = read(document(*records.values()))
    stamps = {entry["name"]: entry["indexed_timestamp"] for entry in found.values()}
    assert stamps == {
        "seconds": 1_600_000_000_000,
        "future": NOW_MS,
        "ancient": 1_262_304_000_000,
        "absent": 1_483_228_800_000,
        "negative": 1_483_228_800_000,
        "own": 1_700_000_000_000,
    }


def test_later_records_are_stamped_by_our_clock_and_known_ones_keep_their_stamp() -> None:
    blobs = MemoryBlobs()
    first = ingest(blobs, document(record("a")))
    later = document(record("a", license="MIT"), record("a", "2.0"), record("b"))
    second = ingest(blobs, later, previous=first, now_ms=NOW_MS + 5)
    found = served(blobs, publish_all(blobs, {"noarch": second}, FakePolicy()))
    assert {fn: r["indexed_timestamp"] for fn, r in found.items()} == {
        "a-1.0-0.conda": 1_600_000_000_000,
        "a-2.0-0.conda": NOW_MS + 5,
        "b-1.0-0.conda": NOW_MS + 5,
    }
    forged = document(record("a", indexed_timestamp=1), record("a", "2.0"), record("b"))
    third = ingest(blobs, forged, previous=second, now_ms=NOW_MS + 9)
    found = served(blobs, publish_all(blobs, {"noarch": third}, FakePolicy()))
    assert found["a-1.0-0.conda"]["indexed_timestamp"] == 1_600_000_000_000


HOSTILE: dict[str, Any] = {
    "../evil-1.0-0.conda": record("evil"),
    "..-1.0-0.conda": record(".."),
    "a/b-1.0-0.conda": record("b"),
    'quo"te-1.0-0.conda': record('quo"te'),
    "https://x-1-0.conda": record("x"),
    "other-1.0-0.conda": record("li/ar"),
    "two-1.0.conda": record("two"),
    "nodigest-1.0-0.conda": record("nodigest", md5=..., sha256=...),
    "nosuffix-1.0-0.exe": record("nosuffix"),
    "two-1.0-0.conda\nlines-1.0-0.conda": record("two-1.0-0.conda\nlines"),
    "list-1.0-0.conda": ["not", "a", "record"],
    "text-1.0-0.conda": "text",
    "null-1.0-0.conda": None,
    "noversion-1.0-0.conda": record("noversion", version=...),
    "emptyversion--0.conda": record("emptyversion", ""),
    "emptybuild-1.0-.conda": record("emptybuild", build=""),
    "badsha-1.0-0.conda": record("badsha", sha256="zz" * 32),
    "shortsha-1.0-0.conda": record("shortsha", sha256="ab"),
    "negative-1.0-0.conda": record("negative", size=-1),
    "huge-1.0-0.conda": record("huge", size=2**80),
    "instant-1.0-0.conda": record("instant", timestamp=10**17),
    "licences-1.0-0.conda": record("licences", license=["MIT"]),
    "depends-1.0-0.conda": record("depends", depends=[1]),
    "number-1.0-0.conda": record("number", build_number="x"),
}


def test_hostile_records_are_set_aside_with_a_reason_and_good_ones_served() -> None:
    text = msgspec.json.encode({"packages": {}, "packages.conda": HOSTILE | {"good-1.0-0.conda": record("good")}})
    found, aside = read(text)
    assert list(found) == ["good-1.0-0.conda"]
    assert aside.keys() == HOSTILE.keys()
    assert all(aside.values())


def test_odd_but_usable_records_are_kept() -> None:
    odd = [
        record("nulls", license=None, size=None),
        record("none", license="None"),
        record("sparse", depends=..., sha256=...),
        record("truth", noarch=True),
    ]
    found, aside = read(document(*odd))
    assert len(found) == len(odd)
    assert aside == {}


def test_upper_case_names_are_grouped_under_their_lower_case_name() -> None:
    blobs = MemoryBlobs()
    source = load_source(blobs, ingest(blobs, document(record("PyYAML"), record("pyyaml", "2.0"))))
    assert source.names == ["pyyaml"]
    assert source.records == 2


def test_absolute_addresses_are_dropped_from_records_and_info() -> None:
    text = document(
        record(
            "a", url="https://elsewhere.example/a.conda", base_url="//elsewhere.example", channel="https://c.example"
        ),
        info={"subdir": "noarch", "base_url": "https://elsewhere.example/"},
    )
    blobs = MemoryBlobs()
    published = publish_all(blobs, {"noarch": ingest(blobs, text)}, FakePolicy())
    whole = zstandard.ZstdDecompressor().decompress(blobs.get(published.subdirs["noarch"].monolith))
    assert b"elsewhere" not in whole
    assert b"c.example" not in whole


def test_a_file_name_in_both_sections_counts_once() -> None:
    entry = record("a")
    text = msgspec.json.encode(
        {"packages": {"a-1.0-0.conda": record("a", size=1)}, "packages.conda": {"a-1.0-0.conda": entry}}
    )
    found, aside = read(text)
    assert found["a-1.0-0.conda"]["size"] == 10
    assert "both sections" in aside["a-1.0-0.conda"]


def test_what_a_document_sets_aside_is_listed_once_however_often_it_is_read() -> None:
    blobs = MemoryBlobs()
    sections = {"packages": {"a-1.0-0.conda": record("a", size=1)}, "packages.conda": {"a-1.0-0.conda": record("a")}}
    previous = None
    for day in range(4):
        text = msgspec.json.encode({**sections, "info": {"day": day}})
        ingested = ingest_monolith(blobs, text, subdir="noarch", now_ms=NOW_MS + day, previous=previous)
        previous = ingested.source
        assert ingested.set_aside_count == 1


def test_the_last_of_a_key_twice_in_one_object_counts() -> None:
    one, two = (msgspec.json.encode(record("a", size=size)) for size in (1, 2))
    text = b'{"packages":{},"packages.conda":{"a-1.0-0.conda":%b,"a-1.0-0.conda":%b}}' % (one, two)
    found, _ = read(text)
    assert found["a-1.0-0.conda"]["size"] == 2


def test_bytes_that_are_not_utf8_set_only_their_record_aside() -> None:
    text = document(record("good"), record("bad", license="XX")).replace(b"XX", b"\xff\xfe")
    found, aside = read(text)
    assert "good-1.0-0.conda" in found
    assert set(found) | set(aside) == {"good-1.0-0.conda", "bad-1.0-0.conda"}


def test_sections_whose_records_cannot_be_judged_are_not_served() -> None:
    text = document(record("a"), v3={"whl": {"six": {"url": "https://elsewhere.example/six.whl"}}})
    found, aside = read(text)
    assert list(found) == ["a-1.0-0.conda"]
    assert "judged" in aside["v3"]


WRONG_DOCUMENTS = {
    "empty": b"",
    "text": b"not json",
    "list": b"[]",
    "no member of an index": b'{"message": "sign in"}',
    "section is a list": b'{"packages": []}',
    "cut zstd": zstandard.ZstdCompressor().compress(document(record("a")))[:-20],
    "cut stream": zstandard.ZstdCompressor(write_content_size=False).compress(document(record("a")) * 9)[:-20],
    "cut bzip2": bz2.compress(document(record("a")))[:-20],
    "cut json": document(record("a"))[:-20],
    "deep": b'{"packages":' + b"[" * 100_000,
}


@pytest.mark.parametrize("text", WRONG_DOCUMENTS.values(), ids=WRONG_DOCUMENTS)
def test_wrong_documents_are_refused_with_an_upstream_error(text: bytes) -> None:
    with pytest.raises(UpstreamError):
        ingest_monolith(MemoryBlobs(), text, subdir="noarch", now_ms=NOW_MS)


@pytest.mark.parametrize("pack", [zstandard.ZstdCompressor().compress, bz2.compress], ids=["zstd", "bzip2"])
def test_a_decompression_bomb_is_refused(pack: Any) -> None:
    bomb = pack(b" " * 50_000_000)
    with pytest.raises(UpstreamError, match="larger than"):
        ingest_monolith(
            MemoryBlobs(), bomb, subdir="noarch", now_ms=NOW_MS, limits=UpstreamLimits(document_bytes=1 << 20)
        )


def test_the_same_document_again_changes_nothing() -> None:
    blobs = MemoryBlobs()
    text = document(record("a"), record("b"))
    first = ingest(blobs, text)
    again = ingest_monolith(blobs, text, subdir="noarch", now_ms=NOW_MS + 1, previous=first)
    assert again.unchanged
    assert again.source == first


def test_only_changed_names_are_read_again() -> None:
    blobs = MemoryBlobs()
    names = [record(f"name{i}") for i in range(100)]
    first = ingest(blobs, document(*names))
    before = dict(blobs.data)
    names[7] = record("name7", license="MIT")
    again = ingest_monolith(blobs, document(*names[:99], record("new")), subdir="noarch", now_ms=NOW_MS, previous=first)
    assert (again.changed, again.gone) == (["name7", "new"], ["name99"])
    assert sum(len(data) for key, data in blobs.data.items() if key not in before and key.startswith("pack/")) < 20_000
    old, new = load_source(blobs, first), load_source(blobs, again.source)
    assert (
        len({bucket.facts for bucket in old.buckets} & {bucket.facts for bucket in new.buckets}) >= len(old.buckets) - 4
    )


def test_specs_admit_only_what_they_match() -> None:
    text = document(record("a"), record("a", "2.0"), record("b"), record("c", "3.0"))
    found, _ = read(text, specs=["a >=2", "b"])
    assert sorted(found) == ["a-2.0-0.conda", "b-1.0-0.conda"]


def test_shards_and_document_give_the_same_records() -> None:
    names = {"a": [record("a"), record("a", "2.0", depends=["b"])], "b": [record("b", license="MIT")]}
    index, shards = shard_upstream(names)
    blobs = MemoryBlobs()
    by_shards = ingest_shards(blobs, index, shards, subdir="noarch", now_ms=NOW_MS)
    by_document = ingest(blobs, document(*(r for records in names.values() for r in records)))
    one = served(blobs, publish_all(blobs, {"noarch": by_shards.source}, FakePolicy()))
    assert one == served(blobs, publish_all(blobs, {"noarch": by_document}, FakePolicy()))


def test_shards_and_document_give_the_same_shards_byte_for_byte() -> None:
    records = [
        record("a", depends=["b >=1"], constrains=["c <2"], license=None, indexed_timestamp=1_700_000_000_000),
        record("a", "2.0", depends=["b >=1"], noarch="python", track_features="x y"),
        record("a", "3.0", flags=["cuda"], timestamp=1_600_000_000),
    ]
    blobs = MemoryBlobs()
    index, shards = shard_upstream({"a": records})
    by_shards = ingest_shards(blobs, index, shards, subdir="noarch", now_ms=NOW_MS)
    by_document = ingest_monolith(blobs, document(*records), subdir="noarch", now_ms=NOW_MS)
    one, other = (load_source(blobs, ingested.source) for ingested in (by_shards, by_document))
    assert one.shard_keys == other.shard_keys


def test_a_hostile_record_of_an_upstream_shard_is_set_aside_alone() -> None:
    odd = {
        "good-1.0-0.conda": record("good"),
        "good-2.0-0.conda": record("good", "2.0", sha256="ab"),
        "good-3.0-0.conda": record("good", "3.0", depends=[1]),
        "good-4.0-0.conda": "no record",
        "good-5.0-0.conda": msgspec.msgpack.Ext(7, b"?"),
        "../good-6.0-0.conda": record("good", "6.0"),
        "good-7.0-0.conda": record("liar", "7.0"),
        "good-8.0-0.conda": record("good", "8.0", url="https://elsewhere/x.conda"),
    }
    data = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode({"packages": {}, "packages.conda": odd}))
    info = {"subdir": "noarch", "base_url": "", "shards_base_url": "./shards/"}
    key = hashlib.sha256(data).digest()
    plain = msgspec.msgpack.encode({"version": 1, "info": info, "shards": {"good": key}})
    index = zstandard.ZstdCompressor().compress(plain)
    blobs = MemoryBlobs()
    ingested = ingest_shards(blobs, index, {key.hex(): data}, subdir="noarch", now_ms=NOW_MS)
    found = served(blobs, publish_all(blobs, {"noarch": ingested.source}, FakePolicy()))
    assert sorted(found) == ["good-1.0-0.conda", "good-8.0-0.conda"]
    assert "url" not in found["good-8.0-0.conda"]
    assert dict(ingested.set_aside).keys() == odd.keys() - found.keys()


def test_a_record_of_a_shard_keeps_the_stamp_it_was_given() -> None:
    blobs = MemoryBlobs()
    first = ingest(blobs, document(record("a")))
    index, shards = shard_upstream({"a": [record("a", license="MIT"), record("a", "2.0", indexed_timestamp=5)]})
    again = ingest_shards(blobs, index, shards, subdir="noarch", now_ms=NOW_MS + 5, previous=first)
    found = served(blobs, publish_all(blobs, {"noarch": again.source}, FakePolicy()))
    assert {r["version"]: r["indexed_timestamp"] for r in found.values()} == {
        "1.0": 1_600_000_000_000,
        "2.0": NOW_MS + 5,
    }


def test_planning_after_applying_is_empty() -> None:
    blobs = MemoryBlobs()
    names = {"a": [record("a")], "b": [record("b")]}
    index, shards = shard_upstream(names)
    first = ingest_shards(blobs, index, shards, subdir="noarch", now_ms=NOW_MS)
    plan = plan_shards(blobs, index, subdir="noarch", previous=first.source)
    assert (plan.changed, plan.gone) == ({}, [])
    names = {"a": [record("a"), record("a", "2.0")]}
    index, shards = shard_upstream(names)
    plan = plan_shards(blobs, index, subdir="noarch", previous=first.source)
    assert (list(plan.changed), plan.gone) == (["a"], ["b"])
    second = ingest_shards(blobs, index, shards, subdir="noarch", now_ms=NOW_MS + 1, previous=first.source)
    found = served(blobs, publish_all(blobs, {"noarch": second.source}, FakePolicy()))
    assert sorted(found) == ["a-1.0-0.conda", "a-2.0-0.conda"]
    assert plan_shards(blobs, index, subdir="noarch", previous=second.source).changed == {}


def test_a_document_bound_to_an_index_lets_the_next_sync_go_by_shards() -> None:
    blobs = MemoryBlobs()
    names = {"a": [record("a")], "b": [record("b")]}
    index, _ = shard_upstream(names)
    keys = plan_shards(blobs, index, subdir="noarch").keys
    first = ingest(blobs, document(record("a"), record("b")), upstream_keys=keys)
    assert plan_shards(blobs, index, subdir="noarch", previous=first).changed == {}


def test_a_shard_with_other_bytes_is_refused() -> None:
    index, shards = shard_upstream({"a": [record("a")]})
    wrong = {key: data + b"x" for key, data in shards.items()}
    with pytest.raises(DigestMismatchError):
        ingest_shards(MemoryBlobs(), index, wrong, subdir="noarch", now_ms=NOW_MS)
    with pytest.raises(UpstreamError, match="not fetched"):
        ingest_shards(MemoryBlobs(), index, {}, subdir="noarch", now_ms=NOW_MS)


@pytest.mark.parametrize("index", [b"", b"junk", zstandard.ZstdCompressor().compress(b"\x90")])
def test_a_wrong_shard_index_is_refused(index: bytes) -> None:
    with pytest.raises(UpstreamError):
        plan_shards(MemoryBlobs(), index, subdir="noarch")


def test_an_empty_subdir_publishes_empty_documents() -> None:
    blobs = MemoryBlobs()
    published = publish_all(blobs, {"noarch": empty_source(blobs, subdir="noarch").source}, FakePolicy())
    assert served(blobs, published) == {} == shards_of(blobs, published)


def test_components_are_distinct() -> None:
    blobs = MemoryBlobs()
    purl = ("pkg:pypi/a@1.0",)
    key = ingest(blobs, document(record("a"), record("a", build="1"), record("a", build="2", purls=list(purl))))
    assert sorted(iterate_components(blobs, key)) == [("a", "1.0", ()), ("a", "1.0", purl)]


@pytest.mark.parametrize("by_shards", [False, True], ids=["document", "shards"])
def test_a_time_in_seconds_is_milliseconds_for_rules(by_shards: bool) -> None:
    """And the record is served as it came: clients read both."""
    blobs = MemoryBlobs()
    records = [record("a", timestamp=1_600_000_000), record("a", "2.0", timestamp=1_600_000_000_000)]
    if by_shards:
        ingested = ingest_shards(blobs, *shard_upstream({"a": records}), subdir="noarch", now_ms=NOW_MS)
    else:
        ingested = ingest_monolith(blobs, document(*records), subdir="noarch", now_ms=NOW_MS)
    (facts,) = read_facts(blobs, load_source(blobs, ingested.source).buckets[0])
    assert facts.timestamps == [1_600_000_000_000] * 2
    found = served(blobs, publish_all(blobs, {"noarch": ingested.source}, FakePolicy()))
    stamps = {entry["version"]: entry["timestamp"] for entry in found.values()}
    assert stamps == {"1.0": 1_600_000_000, "2.0": 1_600_000_000_000}
