"""Writes the publication map of one subdir. Writes new bytes only for buckets whose records or decisions changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from antivenom.core.closure.propagate import BucketClosure
from antivenom.core.conda.repodata_zst import RESET_BLANKS, BlockRun, Monolith, assemble, block_run, compressor
from antivenom.core.conda.shards import encode_index, filter_shard
from antivenom.core.policy.compile import Action
from antivenom.core.policy.rules.base import earliest
from antivenom.core.publication.publication_map import (
    FORMAT,
    NO_SHARD,
    Counts,
    NameDecisions,
    PackageSummary,
    PublicationMap,
    PublishedBucket,
    decode_summaries,
    encode_decisions,
    encode_summaries,
)
from antivenom.core.publishing.decisions import bucket_decisions, count_records, summarize
from antivenom.core.publishing.verdicts import BucketVerdicts, SubdirVerdicts
from antivenom.core.source.packs import (
    NOWHERE,
    IndexBlobs,
    Location,
    LocationTable,
    PackWriter,
    content_key,
    read,
    read_many,
)
from antivenom.core.source.source_builder import piece_records
from antivenom.core.source.source_map import NO_PIECE, Bucket, NameFacts, Piece, SourceMap, iterate_facts, store

_BUCKETS_AT_ONCE = 64  # what so many buckets need is read together


class WrittenMap(NamedTuple):
    """A written map. `changed`: names whose records or decisions differ from the previous publication."""

    key: str
    map: PublicationMap
    changed: set[str]
    unchanged: bool


class _UnplacedBucket(NamedTuple):
    """A bucket before its pack is stored: tickets stand for locations; -1 when `row` has the location already."""

    row: PublishedBucket
    pieces: tuple[int, int]
    decisions: int


class _ChangedBucket(NamedTuple):
    """A bucket to write anew. `withheld`: file names by name; `gone`: names of which every record is withheld."""

    bucket: Bucket
    row: PublishedBucket
    encoded: bytes
    decided: Sequence[NameDecisions]
    withheld: dict[str, set[str]]
    gone: set[str]
    old: PublishedBucket | None

    def reads(self, section: int) -> bool:
        """Whether records of a section have to be looked at."""
        return bool(self.withheld and self.row.counts.kept and self.bucket.pieces[section].records)


class SubdirWriter:
    """Writes one subdir; see `write`."""

    def __init__(
        self,
        blobs: IndexBlobs,
        source: SourceMap,
        source_key: str,
        previous: PublicationMap | None,
        verdicts: SubdirVerdicts,
    ) -> None:
        self._blobs, self._source, self._source_key = blobs, source, source_key
        self._previous, self._verdicts = previous, verdicts
        self._compressor = compressor()
        self._pack = PackWriter(blobs)
        self._shards = source.shards.to_list()
        self._source_shards = list(self._shards)
        self._keys = [source.shard_key(i) for i in range(len(source.names))]
        self._tickets: dict[int, int] = {}  # name position → ticket of its filtered shard
        self._positions = {name: i for i, name in enumerate(source.names)}
        self._changed: set[str] = set()
        self._old_shards = previous.shards.to_list() if previous else []
        self._old_summaries = decode_summaries(read(blobs, previous.summaries)) if previous else []

    def write(
        self, closures: Mapping[int, BucketClosure], now_ms: int, *, monolith: bool, closure_terms: bytes
    ) -> WrittenMap:
        """Write the map, given the closure's decisions by bucket and their terms."""
        rows: list[_UnplacedBucket] = []
        summaries: list[PackageSummary] = []
        found = list(zip(self._source.buckets, self._verdicts.buckets, strict=True))
        for start in range(0, len(found), _BUCKETS_AT_ONCE):
            run = list(enumerate(found[start : start + _BUCKETS_AT_ONCE], start))
            names = iterate_facts(self._blobs, [bucket for at, (bucket, _) in run if closures.get(at)])
            decided = [
                self._decide(bucket, verdicts, closure, next(names) if closure else (), self._verdicts.row(at))
                for at, (bucket, verdicts) in run
                for closure in (closures.get(at, {}),)
            ]
            fresh = self._filter([row for row, _ in decided if isinstance(row, _ChangedBucket)])
            for row, of_bucket in decided:
                rows.append(next(fresh) if isinstance(row, _ChangedBucket) else row)
                summaries.extend(of_bucket)
        previous = self._previous
        if previous:
            self._changed.update(set(previous.names).difference(self._source.names))
        summaries_ticket = self._pack.add(encode_summaries(summaries)) if summaries != self._old_summaries else -1
        index_ticket = self._index_ticket(now_ms)
        locations = self._pack.locations()
        buckets = [_placed(row, locations) for row in rows]
        shards = [
            locations[self._tickets[i]] if i in self._tickets else location for i, location in enumerate(self._shards)
        ]
        holds = [bucket.holds_until_ms for bucket in buckets if bucket.holds_until_ms]
        made = PublicationMap(
            format=FORMAT,
            subdir=self._source.subdir,
            created_ms=now_ms,
            source=self._source_key,
            document=self._source.document,
            counts=Counts.sum(bucket.counts for bucket in buckets),
            holds_until_ms=min(holds, default=0),
            names=self._source.names,
            shard_keys=b"".join(self._keys),
            shards=LocationTable.of(shards),
            source_shards=self._source.shards,
            buckets=buckets,
            shards_index=locations[index_ticket] if index_ticket >= 0 or not previous else previous.shards_index,
            summaries=locations[summaries_ticket]
            if summaries_ticket >= 0
            else previous.summaries
            if previous
            else NOWHERE,
            closure_terms=closure_terms,
            renamed=self._source.renamed,
            fixes=self._verdicts.fixes,
        )
        if previous and _is_same(made, previous) and (previous.monolith or not monolith):
            return WrittenMap("", previous, set(), unchanged=True)
        if monolith:
            made.monolith, made.monolith_bytes, made.monolith_text_bytes = write_monolith(self._blobs, made)
        return WrittenMap(store(self._blobs, made), made, self._changed, unchanged=False)

    def _index_ticket(self, now_ms: int) -> int:
        """The ticket of the shard index; -1 when the previous one lists the same, so that its ETag stays."""
        previous = self._previous
        keys = {name: key for name, key in zip(self._source.names, self._keys, strict=True) if key != NO_SHARD}
        if previous and previous.names == self._source.names and previous.shard_keys == b"".join(self._keys):
            return -1
        created_at = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._pack.add(encode_index(self._source.subdir, keys, created_at))

    def _decide(
        self,
        bucket: Bucket,
        verdicts: BucketVerdicts | None,
        closure: BucketClosure,
        names: Sequence[NameFacts],
        old: PublishedBucket | None,
    ) -> tuple[_UnplacedBucket | _ChangedBucket, Sequence[PackageSummary]]:
        """A bucket to keep or to write anew, and its summaries. `names`: its facts, where the closure decides."""
        if verdicts is None:
            assert old is not None  # noqa: S101 - what was not judged is as it was
            self._take_shards(bucket, old)
            row = msgspec.structs.replace(old, first=bucket.first, end=bucket.end)
            return _UnplacedBucket(row, (-1, -1), -1), self._old_summaries[old.first : old.end]
        decided = bucket_decisions(verdicts.decisions, closure, names, verdicts.severities)
        actions = {name.name: name.actions() for name in decided}
        summaries = list(verdicts.summaries)
        for place in closure:
            facts = names[place]
            summaries[place] = summarize(facts, self._source.subdir, actions.get(facts.name, {}), verdicts.severities)
        encoded = encode_decisions(decided) if decided else b""
        digest = _digest(encoded)
        counts = count_records(bucket.records, decided, verdicts.severities)
        holds_until_ms = earliest(
            verdicts.holds_until_ms, *(shared.holds_until_ms for name in decided for shared in name.shared)
        )
        if old is not None and old.decisions_digest == digest:
            self._take_shards(bucket, old)
            row = msgspec.structs.replace(
                old, first=bucket.first, end=bucket.end, counts=counts, holds_until_ms=holds_until_ms,
                verdicts_digest=verdicts.digest,
            )  # fmt: skip
            return _UnplacedBucket(row, (-1, -1), -1), summaries
        row = PublishedBucket(
            bucket.first, bucket.end, bucket.pieces, bucket.facts, bucket.depends, NOWHERE, digest, holds_until_ms,
            counts, verdicts.digest,
        )  # fmt: skip
        stop = Action.stop
        withheld = {name: {fn for fn, action in of.items() if action == stop} for name, of in actions.items()}
        withheld = {name: fns for name, fns in withheld.items() if fns}
        gone = {summary.name for summary in summaries if summary.withheld == summary.records}
        return _ChangedBucket(bucket, row, encoded, decided, withheld, gone, old), summaries

    def _filter(self, fresh: Sequence[_ChangedBucket]) -> Iterator[_UnplacedBucket]:
        """Write buckets anew, in order. Reads what lies together at once, and skips names of which nothing is left."""
        left = [self._positions[name] for one in fresh for name in one.withheld if name not in one.gone]
        shards = read_many(self._blobs, [self._source_shards[position] for position in left])
        pieces = [
            read_many(self._blobs, [one.bucket.pieces[section].location for one in fresh if one.reads(section)])
            for section in range(2)
        ]
        for one in fresh:
            for name, withheld in one.withheld.items():
                position = self._positions[name]
                if name in one.gone:
                    self._keys[position], self._shards[position] = NO_SHARD, NOWHERE
                else:
                    filtered = filter_shard(next(shards), withheld, self._compressor)
                    self._keys[position] = hashlib.sha256(filtered).digest()
                    self._tickets[position] = self._pack.add(filtered)
            self._note_changes(one.bucket, one.decided, one.old)
            withheld = set().union(*one.withheld.values())
            kept = [self._filter_piece(one, section, pieces[section], withheld) for section in range(2)]
            row = msgspec.structs.replace(one.row, pieces=(kept[0][0], kept[1][0]))
            decisions = self._pack.add(self._compressor.compress(one.encoded)) if one.encoded else -1
            yield _UnplacedBucket(row, (kept[0][1], kept[1][1]), decisions)

    def _filter_piece(
        self, one: _ChangedBucket, section: int, blocks: Iterator[bytes], withheld: set[str]
    ) -> tuple[Piece, int]:
        """A section's piece without withheld records, and the ticket of its blocks (-1: the piece has its location)."""
        piece = one.bucket.pieces[section]
        if not one.reads(section):
            return (piece if one.row.counts.kept else NO_PIECE), -1
        raws = piece_records(next(blocks), piece)
        kept = [b'"%b":%b' % (fn.encode(), raw) for fn, raw in raws.items() if fn not in withheld]
        if len(kept) == len(raws):
            return piece, -1
        if not kept:
            return NO_PIECE, -1
        text = b",".join(kept)
        run = block_run(self._compressor.compress(text), len(text))
        return Piece(NOWHERE, len(text), len(kept)), self._pack.add(run.blocks)

    def _note_changes(self, bucket: Bucket, decided: Sequence[NameDecisions], old: PublishedBucket | None) -> None:
        names = self._source.names[bucket.first : bucket.end]
        if self._previous is None or old is None:
            before = self._old_keys()
            self._changed.update(n for n in names if before.get(n) != self._keys[self._positions[n]])
            self._changed.update(name.name for name in decided)
            return
        before_by_name = self._verdicts.previous.decisions_of(old)
        now_by_name = {name.name: list(name.decisions()) for name in decided}
        self._changed.update(n for n in names if before_by_name.get(n) != now_by_name.get(n))

    def _old_keys(self) -> dict[str, bytes]:
        previous = self._previous
        if previous is None:
            return {}
        if not hasattr(self, "_old_keys_by_name"):
            self._old_keys_by_name = {name: previous.shard_key(i) for i, name in enumerate(previous.names)}
        return self._old_keys_by_name

    def _take_shards(self, bucket: Bucket, old: PublishedBucket) -> None:
        previous = self._previous
        if previous is None or not old.counts.withheld:
            return
        for position, old_position in zip(range(bucket.first, bucket.end), range(old.first, old.end), strict=True):
            self._keys[position] = previous.shard_key(old_position)
            self._shards[position] = self._old_shards[old_position]


def _digest(encoded: bytes) -> bytes:
    return hashlib.blake2b(encoded, digest_size=16).digest() if encoded else b""


def _placed(row: _UnplacedBucket, locations: Sequence[Location]) -> PublishedBucket:
    bucket = row.row
    if row.pieces == (-1, -1) and row.decisions < 0:
        return bucket
    pieces = [
        Piece(locations[ticket], piece.content_size, piece.records) if ticket >= 0 else piece
        for piece, ticket in zip(bucket.pieces, row.pieces, strict=True)
    ]
    decisions = locations[row.decisions] if row.decisions >= 0 else bucket.decisions
    return msgspec.structs.replace(bucket, pieces=(pieces[0], pieces[1]), decisions=decisions)


def _is_same(made: PublicationMap, previous: PublicationMap) -> bool:
    return (
        made.source == previous.source
        and made.buckets == previous.buckets
        and made.shard_keys == previous.shard_keys
        and made.summaries == previous.summaries
        and made.closure_terms == previous.closure_terms
        and made.fixes == previous.fixes
    )


def write_monolith(blobs: IndexBlobs, published: PublicationMap) -> tuple[str, int, int]:
    """Store `repodata.json.zst`; returns its key, its size, and the size of its text.

    The key is a digest of its bytes, so that damage is noticed before they are served.
    """
    whole = assemble_monolith(blobs, published)
    key = content_key("repodata", whole.data)
    blobs.put(key, whole.data)
    return key, len(whole.data), whole.content_size


def assemble_monolith(blobs: IndexBlobs, published: PublicationMap) -> Monolith:
    """The frame of `repodata.json.zst`, put together from the pieces of a map."""
    info = msgspec.json.decode(published.document.info, type=dict[str, object])
    info["subdir"] = published.subdir
    parts: list[bytes | BlockRun] = [b'{"info":%b,"packages":{' % msgspec.json.encode(info)]
    for section in range(2):
        pieces = [bucket.pieces[section] for bucket in published.buckets if bucket.pieces[section].records]
        for i, (piece, blocks) in enumerate(
            zip(pieces, read_many(blobs, [piece.location for piece in pieces]), strict=True)
        ):
            if i:
                parts.append(b",")
            parts.append(BlockRun(blocks, piece.content_size + RESET_BLANKS))
        parts.append(b'},"packages.conda":{' if section == 0 else b"}")
    removed = msgspec.json.encode(published.document.removed)
    parts.append(b',"removed":%b,"repodata_version":1}' % removed)
    return assemble(parts)
