"""Since when a record counts as listed: by digest, and nothing that an upstream says makes it older than it is."""

from __future__ import annotations

from typing import Any

import pytest

from antivenom.core.source import ages
from antivenom.core.source.ages import Departed, KnownRecord
from antivenom.core.source.ingest import Ingested, ingest_monolith, ingest_shards
from antivenom.core.source.source_map import load_source, read_facts
from tests.core.index_samples import NOW_MS, FakePolicy, MemoryBlobs, document, publish_all, record, served
from tests.core.source.test_ingest import shard_upstream

DAY_MS = 86_400_000
BUILT_MS = 1_600_000_000_000  # of index_samples.record


class Mirror:
    """A mirror of one subdir, a day between its syncs."""

    def __init__(self, *, by_shards: bool = False) -> None:
        self.blobs, self.source, self.now_ms, self.by_shards = MemoryBlobs(), "", NOW_MS, by_shards

    def sync(self, *records: dict[str, Any], **more: Any) -> Ingested:
        self.now_ms += DAY_MS
        given = {"subdir": "noarch", "now_ms": self.now_ms, "previous": self.source or None} | more
        if self.by_shards:
            names: dict[str, list[dict[str, Any]]] = {}
            for one in records:
                names.setdefault(one["name"], []).append(one)
            ingested = ingest_shards(self.blobs, *shard_upstream(names), **given)
        else:
            ingested = ingest_monolith(self.blobs, document(*records), **given)
        self.source = ingested.source
        return ingested

    def ages(self) -> dict[str, int]:
        """indexed_timestamp by file name, as served and as the facts have it."""
        found = served(self.blobs, publish_all(self.blobs, {"noarch": self.source}, FakePolicy()))
        stamps = {fn: entry["indexed_timestamp"] for fn, entry in found.items()}
        assert stamps == {fn: ms for facts in self.facts() for fn, ms in zip(facts.fns, facts.indexed, strict=True)}
        return stamps

    def facts(self) -> list[Any]:
        buckets = load_source(self.blobs, self.source).buckets
        return [facts for bucket in buckets for facts in read_facts(self.blobs, bucket)]

    def replaced(self) -> dict[str, int]:
        return {facts.fns[at]: ms for facts in self.facts() for at, ms in facts.replaced.items()}


@pytest.fixture(params=[False, True], ids=["document", "shards"])
def mirror(request: pytest.FixtureRequest) -> Mirror:
    return Mirror(by_shards=request.param)


def other(entry: dict[str, Any]) -> dict[str, Any]:
    """The same record with the digests of other bytes."""
    return entry | {"sha256": "ab" * 32, "md5": "cd" * 16}


CLAIMS = {
    "an old listing": {"indexed_timestamp": 1_500_000_000_000},
    "an old build": {"timestamp": 1_500_000_000_000},
    "a build in seconds": {"timestamp": 1_500_000_000},
    "no build time": {"timestamp": ...},
    "the future": {"indexed_timestamp": NOW_MS * 2, "timestamp": NOW_MS * 2},
    "nothing readable": {"indexed_timestamp": "1970"},
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_what_was_not_there_at_the_last_sync_is_not_older_whatever_it_says(
    mirror: Mirror, claim: dict[str, Any]
) -> None:
    mirror.sync(record("a"))
    mirror.sync(record("a"), record("a", "2.0", **claim), record("new", **claim))
    stamps = mirror.ages()
    assert stamps == {
        "a-1.0-0.conda": BUILT_MS,
        "a-2.0-0.conda": mirror.now_ms,
        "new-1.0-0.conda": mirror.now_ms,
    }


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_file_replaced_under_its_name_is_new_and_reported(mirror: Mirror, claim: dict[str, Any]) -> None:
    mirror.sync(record("a"), record("b"))
    swapped = {key: value for key, value in (other(record("a")) | claim).items() if value is not ...}
    ingested = mirror.sync(swapped, record("b"))
    since = mirror.now_ms
    assert ingested.replaced == ["a-1.0-0.conda"]
    assert mirror.ages() == {"a-1.0-0.conda": since, "b-1.0-0.conda": BUILT_MS}
    assert mirror.replaced() == {"a-1.0-0.conda": since}
    again = mirror.sync(swapped | {"license": "MIT"}, record("b"))
    assert again.replaced == []
    assert mirror.ages()["a-1.0-0.conda"] == since
    assert mirror.replaced() == {"a-1.0-0.conda": since}


def test_a_file_that_was_taken_away_in_between_is_replaced_too(mirror: Mirror) -> None:
    mirror.sync(record("a"), record("b"))
    mirror.sync(record("b"))
    ingested = mirror.sync(other(record("a")), record("b"))
    assert ingested.replaced == ["a-1.0-0.conda"]
    assert mirror.ages()["a-1.0-0.conda"] == mirror.now_ms


def test_renewed_metadata_of_the_same_bytes_keeps_the_age(mirror: Mirror) -> None:
    mirror.sync(record("a"))
    ingested = mirror.sync(record("a", depends=["b"], indexed_timestamp=5, license="MIT", timestamp=1_500_000_000_000))
    assert ingested.replaced == []
    assert mirror.ages() == {"a-1.0-0.conda": BUILT_MS}


def test_the_same_bytes_under_another_file_name_keep_their_age(mirror: Mirror) -> None:
    one = record("a")
    mirror.sync(one)
    mirror.sync(one | {"build": "1"})
    assert mirror.ages() == {"a-1.0-1.conda": BUILT_MS}


def test_what_comes_back_keeps_its_first_age(mirror: Mirror) -> None:
    mirror.sync(record("a"))
    mirror.sync(record("a"), record("a", "2.0"), record("gone"))
    since = mirror.now_ms
    mirror.sync(record("a"))
    mirror.sync(record("b"))
    mirror.sync(record("a"), record("a", "2.0", timestamp=5), record("gone"))
    assert mirror.ages() == {"a-1.0-0.conda": BUILT_MS, "a-2.0-0.conda": since, "gone-1.0-0.conda": since}


def test_only_so_many_departed_records_are_remembered_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ages, "DEPARTED_MAX", 2)
    mirror = Mirror()
    mirror.sync(record("stays"), *(record(name) for name in "abc"))
    for left in ("bc", "c", ""):
        mirror.sync(record("stays"), *(record(name) for name in left))
    assert len(load_source(mirror.blobs, mirror.source).departed) == 2 * 48
    mirror.sync(record("stays"), *(record(name) for name in "abc"))
    stamps = mirror.ages()
    assert [stamps[f"{name}-1.0-0.conda"] for name in "abc"] == [mirror.now_ms, BUILT_MS, BUILT_MS]
    assert load_source(mirror.blobs, mirror.source).departed == b""


def test_a_missing_sha256_is_not_made_up_for_by_an_md5() -> None:
    mirror = Mirror()
    mirror.sync(record("a"))
    ingested = mirror.sync(record("a", sha256=...))  # whoever can make two files with one md5 gains nothing
    assert ingested.replaced == ["a-1.0-0.conda"]
    assert mirror.ages() == {"a-1.0-0.conda": mirror.now_ms}


def test_a_sha256_that_is_added_renews_metadata_only() -> None:
    mirror = Mirror()
    mirror.sync(record("a", sha256=...), record("gone", sha256=...))
    mirror.sync(record("a"))
    assert mirror.sync(record("a"), record("gone")).replaced == []
    assert mirror.ages() == {"a-1.0-0.conda": BUILT_MS, "gone-1.0-0.conda": BUILT_MS}


def test_a_departed_record_is_found_by_its_own_digest_alone() -> None:
    departed = Departed()
    departed.add("a-1-0.conda", KnownRecord(b"s" * 32, b"m" * 16, 7))
    again = Departed(departed.packed())
    assert again.find(ages.Digests(b"s" * 32, b"")) == 7
    assert again.find(ages.Digests(b"", b"m" * 16)) == 0
    assert again.find(ages.Digests(b"x" * 32, b"m" * 16)) == 0


def test_names_that_a_wider_selection_admits_are_seeded_and_no_others() -> None:
    mirror = Mirror()
    mirror.sync(record("a"), record("b"), record("c"), specs=["a", "c"])
    records = [record("a"), record("a", "2.0"), record("b"), record("c"), record("d")]
    mirror.sync(*records[:3], records[4], specs=["a", "b"])
    assert mirror.ages() == {
        "a-1.0-0.conda": BUILT_MS,
        "a-2.0-0.conda": mirror.now_ms,
        "b-1.0-0.conda": BUILT_MS,
    }


def test_what_dependencies_admit_by_themselves_is_not_seeded() -> None:
    """An upstream can add a dependency to an old record, and with it a package that says it is old."""
    mirror = Mirror()
    mirror.sync(record("a"), specs=["a"], asked=["a"])
    mirror.sync(record("a", depends=["evil"]), record("evil"), specs=["a", "evil"], asked=["a"])
    assert mirror.ages() == {"a-1.0-0.conda": BUILT_MS, "evil-1.0-0.conda": mirror.now_ms}


def test_vanished_counts_records_whose_bytes_are_gone(mirror: Mirror) -> None:
    names = [record(f"n{i}") for i in range(10)]
    mirror.sync(*names)
    assert mirror.sync(*names[:7]).vanished == 3
    assert mirror.sync(*map(other, names[:7])).vanished == 7  # as many as before, and none of them is left
    assert mirror.sync(*map(other, names[:7]), record("more")).vanished == 0


def test_a_record_that_is_set_aside_now_has_vanished_once(mirror: Mirror) -> None:
    names = [record(f"n{i}") for i in range(10)]
    mirror.sync(*names)
    unreadable = [entry | {"build_number": "x"} for entry in names[:4]]
    assert mirror.sync(*unreadable, *names[4:]).vanished == 4


def test_what_a_narrower_selection_leaves_out_has_not_vanished() -> None:
    mirror = Mirror()
    records = [record("a"), record("a", "2.0"), record("b"), record("c")]
    mirror.sync(*records)
    assert mirror.sync(*records, specs=["a >=2", "c"]).vanished == 0
    assert mirror.sync(*records[:3], specs=["a >=2", "b"]).vanished == 0
    assert mirror.sync(*records[2:3], specs=["b", "a"]).vanished == 1
