"""Reads one publication map: finds shards, explains files, lists decisions. Buckets are read when asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from antivenom.core.conda.records import ARTIFACT_SUFFIXES, RecordFacts
from antivenom.core.conda.shards import shard_records
from antivenom.core.conda.specs import RecordSpec, latest_version, parse_record_spec
from antivenom.core.errors import AntivenomError, InvalidInputError
from antivenom.core.policy.compile import Action
from antivenom.core.publication.publication_map import (
    NO_SHARD,
    READABLE_FORMATS,
    Counts,
    Decision,
    PackageSummary,
    PublicationMap,
    PublishedBucket,
    decode_decisions,
    decode_summaries,
    load_publication,
)
from antivenom.core.source.packs import IndexBlobs, Location, read, read_many
from antivenom.core.source.source_map import (
    Bucket,
    NameDepends,
    NameFacts,
    SourceMap,
    load_source,
    read_depends,
    read_facts,
)

_BUCKETS_CACHED = 32


class PublicationIndex:
    """One opened publication map. Safe to share between threads: it holds only caches and what never changes."""

    def __init__(self, blobs: IndexBlobs, key: str, published: PublicationMap) -> None:
        self.key, self.map = key, published
        self._blobs = blobs
        self._firsts = [bucket.first for bucket in published.buckets]
        self._facts = lru_cache(maxsize=_BUCKETS_CACHED)(self._read_facts)
        self._decisions = lru_cache(maxsize=_BUCKETS_CACHED)(self._read_decisions)

    @classmethod
    def open(cls, blobs: IndexBlobs, key: str) -> PublicationIndex:
        """Open the map under `key` (milliseconds at 1 M records)."""
        return cls(blobs, key, load_publication(blobs, key, formats=READABLE_FORMATS))

    @property
    def subdir(self) -> str:
        """The subdir."""
        return self.map.subdir

    @property
    def counts(self) -> Counts:
        """Records by what became of them."""
        return self.map.counts

    @property
    def shards_index(self) -> Location:
        """`repodata_shards.msgpack.zst`, ready to send."""
        return self.map.shards_index

    @property
    def monolith(self) -> str:
        """The key of `repodata.json.zst`; "" when none was made."""
        return self.map.monolith

    @cached_property
    def _shards(self) -> dict[bytes, Location]:
        keys = (self.map.shard_key(i) for i in range(len(self.map.names)))
        return {k: loc for k, loc in zip(keys, self.map.shards.to_list(), strict=True) if k != NO_SHARD}

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.map.names)}

    @cached_property
    def _source_shards(self) -> list[Location]:
        return self.map.source_shards.to_list()

    def shard_location(self, sha256: bytes | str) -> Location | None:
        """The location of the shard with this digest (bytes or hex); None when the publication has no such shard."""
        try:
            return self._shards.get(bytes.fromhex(sha256) if isinstance(sha256, str) else sha256)
        except ValueError:
            return None

    def decision(self, fn: str) -> Decision | None:
        """The decision for a file name, with digests; None when the channel does not list it."""
        name = self.map.name_of(fn)
        record = self._record(name, fn)
        if record is None:
            return None
        decision = next((d for d in self._decisions_of_name(name) if d.fn == fn), None)
        if decision is None:
            decision = Decision(
                fn,
                name,
                str(record.get("version", "")),
                str(record.get("build", "")),
                record.get("size") or 0,
                Action.go,
            )
        facts = self.facts_of(fn)
        return msgspec.structs.replace(
            decision,
            subdir=self.subdir,
            sha256=_hex(record.get("sha256")),
            md5=_hex(record.get("md5")),
            indexed_ms=facts.indexed_ms if facts else 0,
            replaced_ms=facts.replaced_ms if facts else 0,
        )

    def records(self, name: str) -> list[Decision]:
        """The decisions for every record of a name, kept and withheld, in the order of the index, with digests."""
        name = name.lower()
        records = self._records(name)
        decisions = {d.fn: d for d in self._decisions_of_name(name)}
        return [
            msgspec.structs.replace(
                decisions.get(facts.fn)
                or Decision(facts.fn, name, facts.version, facts.build, facts.size_bytes, Action.go),
                subdir=self.subdir,
                sha256=_hex(records.get(facts.fn, {}).get("sha256")),
                md5=_hex(records.get(facts.fn, {}).get("md5")),
                indexed_ms=facts.indexed_ms,
                replaced_ms=facts.replaced_ms,
            )
            for facts in self.facts(name)
        ]

    def listed_records(self, name: str) -> dict[str, dict[str, Any]]:
        """The records of a name as the upstream's shard has them (digests are bytes), by file name."""
        return self._records(name.lower()) if name.lower() in self._positions else {}

    def facts(self, name: str) -> list[RecordFacts]:
        """The facts of every record of a name, kept and withheld."""
        position = self._positions.get(name.lower())
        if position is None:
            return []
        at = bisect_right(self._firsts, position) - 1
        facts, depends = self._facts(at)
        inside = position - self._firsts[at]
        return facts[inside].record_facts(self.subdir, depends[inside])

    def facts_of(self, fn: str) -> RecordFacts | None:
        """The facts of the record with a file name; None when the publication does not list it."""
        return next((facts for facts in self.facts(self.map.name_of(fn)) if facts.fn == fn), None)

    def packages(self) -> list[PackageSummary]:
        """Summaries of all names, sorted by name."""
        return decode_summaries(read(self._blobs, self.map.summaries))

    def decisions_by_bucket(self) -> Iterator[tuple[int, list[Decision]]]:
        """(bucket, what `decisions_in` gives for it) of every bucket with decisions, by name."""
        at = [i for i, row in enumerate(self.map.buckets) if row.decisions_digest]
        frames = read_many(self._blobs, [self.map.buckets[i].decisions for i in at])
        return ((i, decode_decisions(frame, self.map.format)) for i, frame in zip(at, frames, strict=True))

    def stops(self) -> dict[str, Decision]:
        """The withheld records, by file name, without their subdir."""
        decisions = (decision for _, found in self.decisions_by_bucket() for decision in found)
        return {decision.fn: decision for decision in decisions if decision.action == Action.stop}

    def decisions_in(self, bucket: int) -> list[Decision]:
        """The decisions of one bucket: withheld, warned and excepted records, without their subdir."""
        return self._decisions(bucket)

    def explain(self, what: str) -> list[Decision]:
        """The decisions for a file, or for every record that a match spec matches.

        Raises:
            InvalidInputError: Neither a file name nor a match spec.
        """
        if what.endswith(ARTIFACT_SUFFIXES):
            found = self.decision(what)
            return [found] if found else []
        spec = parse_record_spec(what)
        names = [spec.exact_name] if spec.exact_name else [n for n in self.map.names if spec.matches_name(n)]
        found_all: list[Decision] = []
        for name in names:
            matching = {facts.fn for facts in self.facts(name) if _matches(spec, facts)}
            found_all += [decision for decision in self.records(name) if decision.fn in matching]
        return found_all

    def allowed_version(self, name: str) -> str | None:
        """The highest version of a name of which something is served; None when there is none."""
        stopped = {d.fn for d in self._decisions_of_name(name.lower()) if d.action == Action.stop}
        return latest_version(dict.fromkeys(f.version for f in self.facts(name) if f.fn not in stopped)) or None

    def _decisions_of_name(self, name: str) -> list[Decision]:
        position = self._positions.get(name)
        if position is None:
            return []
        return [d for d in self._decisions(bisect_right(self._firsts, position) - 1) if d.name == name]

    def _records(self, name: str) -> dict[str, dict[str, Any]]:
        position = self._positions.get(name)
        return {} if position is None else shard_records(read(self._blobs, self._source_shards[position]))

    def _record(self, name: str, fn: str) -> dict[str, Any] | None:
        return self._records(name).get(fn)

    def _read_facts(self, at: int) -> tuple[list[NameFacts], list[NameDepends]]:
        row = self.map.buckets[at]
        bucket = Bucket(row.first, row.end, row.counts.records, row.pieces, row.facts, row.depends)
        return read_facts(self._blobs, bucket), read_depends(self._blobs, bucket)

    def _read_decisions(self, at: int) -> list[Decision]:
        row = self.map.buckets[at]
        return decode_decisions(read(self._blobs, row.decisions), self.map.format) if row.decisions_digest else []


def _matches(spec: RecordSpec, facts: RecordFacts) -> bool:
    try:
        return spec.matches(facts)
    except AntivenomError:  # a version that conda cannot order matches no version range
        return False


def _hex(digest: object) -> str:
    return digest.hex() if isinstance(digest, bytes) else ""


def referenced_keys(blobs: IndexBlobs, key: str) -> set[str]:
    """The keys of every pack that a source map or a publication map names (without the monolith).

    Raises:
        InvalidInputError: Neither kind of map.
    """
    try:
        maps: SourceMap | PublicationMap = load_source(blobs, key)
    except InvalidInputError:
        maps = load_publication(blobs, key, formats=READABLE_FORMATS)
    packs = set(maps.shards.packs)
    for bucket in maps.buckets:
        packs |= {bucket.facts.pack, bucket.depends.pack, *(piece.location.pack for piece in bucket.pieces)}
        if isinstance(bucket, PublishedBucket):
            packs.add(bucket.decisions.pack)
    if isinstance(maps, PublicationMap):
        packs |= {*maps.source_shards.packs, maps.shards_index.pack, maps.summaries.pack}
    return packs - {""}
