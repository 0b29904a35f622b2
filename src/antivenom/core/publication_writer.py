"""Writes the publication map of one subdir: new bytes only for buckets whose records or decisions changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from antivenom.core.closure import BucketFalls
from antivenom.core.monolith import RESET_BLANKS, BlockRun, assemble, block_run, compressor
from antivenom.core.packs import NOWHERE, IndexBlobs, Location, LocationTable, PackWriter, read, read_many
from antivenom.core.policies import Action
from antivenom.core.publication_map import (
    FORMAT,
    NO_SHARD,
    Counts,
    Decision,
    PackageSummary,
    PublicationMap,
    PublishedBucket,
    decode_summaries,
    encode_decisions,
    encode_summaries,
)
from antivenom.core.rules.base import earliest
from antivenom.core.shards import encode_index, filter_shard
from antivenom.core.source_builder import read_piece
from antivenom.core.source_map import NO_PIECE, Bucket, Piece, SourceMap, read_facts, store
from antivenom.core.verdicts import BucketVerdicts, SubdirVerdicts, count, merge_closure, summarize


class Written(NamedTuple):
    """A written map. `changed`: names whose records or decisions differ from the previous publication."""

    key: str
    map: PublicationMap
    changed: set[str]
    unchanged: bool


class _Row(NamedTuple):
    """A bucket before its pack is stored: tickets stand for locations; -1 means `row` has it already."""

    row: PublishedBucket
    pieces: tuple[int, int]
    decisions: int


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

    def write(self, fallen: Mapping[int, BucketFalls], now_ms: int, *, monolith: bool, closure: bytes) -> Written:
        """Write the map, given what the closure withholds, by bucket, and under what terms it did."""
        rows: list[_Row] = []
        summaries: list[PackageSummary] = []
        for at, (bucket, verdicts) in enumerate(zip(self._source.buckets, self._verdicts.buckets, strict=True)):
            row, found = self._bucket(bucket, verdicts, fallen.get(at, {}), self._verdicts.row(at))
            rows.append(row)
            summaries.extend(found)
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
            closure=closure,
        )
        if previous and _is_same(made, previous) and (previous.monolith or not monolith):
            return Written("", previous, set(), unchanged=True)
        if monolith:
            made.monolith, made.monolith_bytes, made.monolith_text_bytes = write_monolith(self._blobs, made)
        return Written(store(self._blobs, made), made, self._changed, unchanged=False)

    def _index_ticket(self, now_ms: int) -> int:
        """The shard index; -1 when it lists what the previous one lists (so its ETag stays)."""
        previous = self._previous
        keys = {name: key for name, key in zip(self._source.names, self._keys, strict=True) if key != NO_SHARD}
        if previous and previous.names == self._source.names and previous.shard_keys == b"".join(self._keys):
            return -1
        created_at = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._pack.add(encode_index(self._source.subdir, keys, created_at))

    def _bucket(
        self, bucket: Bucket, verdicts: BucketVerdicts | None, fallen: BucketFalls, old: PublishedBucket | None
    ) -> tuple[_Row, Sequence[PackageSummary]]:
        if verdicts is None:
            assert old is not None  # noqa: S101 - what was not judged is as it was
            self._take_shards(bucket, old)
            row = msgspec.structs.replace(old, first=bucket.first, end=bucket.end)
            return _Row(row, (-1, -1), -1), self._old_summaries[old.first : old.end]
        decisions, summaries = verdicts.decisions, verdicts.summaries
        if fallen:
            facts = read_facts(self._blobs, bucket)
            decisions = merge_closure(decisions, fallen, facts, verdicts.severities)
            by_name = _by_name(decisions)
            summaries = [summarize(f, self._source.subdir, by_name.get(f.name, []), verdicts.severities) for f in facts]
        encoded = encode_decisions(decisions) if decisions else b""
        digest = _digest(encoded)
        counts = count(bucket.records, decisions, verdicts.severities)
        if old is not None and old.digest == digest:
            self._take_shards(bucket, old)
            row = msgspec.structs.replace(
                old, first=bucket.first, end=bucket.end, counts=counts,
                holds_until_ms=_holds_until(verdicts, decisions), judged=verdicts.digest,
            )  # fmt: skip
            return _Row(row, (-1, -1), -1), summaries
        return self._fresh(bucket, verdicts, decisions, encoded, digest, counts, old), summaries

    def _fresh(
        self,
        bucket: Bucket,
        verdicts: BucketVerdicts,
        decisions: Sequence[Decision],
        encoded: bytes,
        digest: bytes,
        counts: Counts,
        old: PublishedBucket | None,
    ) -> _Row:
        stops: dict[str, set[str]] = {}
        for decision in decisions:
            if decision.action == Action.stop:
                stops.setdefault(decision.name, set()).add(decision.fn)
        for name, withheld in stops.items():
            self._filter_shard(self._positions[name], withheld)
        self._note_changes(bucket, decisions, old)
        pieces, tickets = self._filter_pieces(bucket, {fn for fns in stops.values() for fn in fns})
        row = PublishedBucket(
            bucket.first, bucket.end, pieces, bucket.facts, bucket.depends, NOWHERE, digest,
            _holds_until(verdicts, decisions), counts, verdicts.digest,
        )  # fmt: skip
        return _Row(row, tickets, self._pack.add(self._compressor.compress(encoded)) if decisions else -1)

    def _note_changes(self, bucket: Bucket, decisions: Sequence[Decision], old: PublishedBucket | None) -> None:
        names = self._source.names[bucket.first : bucket.end]
        if self._previous is None or old is None:
            before = self._old_keys()
            self._changed.update(n for n in names if before.get(n) != self._keys[self._positions[n]])
            self._changed.update(decision.name for decision in decisions)
            return
        before_by_name = self._verdicts.previous.told_of(old)
        now_by_name = _by_name(decisions)
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

    def _filter_shard(self, position: int, withheld: set[str]) -> None:
        filtered = filter_shard(read(self._blobs, self._source_shards[position]), withheld, self._compressor)
        if filtered:
            self._keys[position] = hashlib.sha256(filtered).digest()
            self._tickets[position] = self._pack.add(filtered)
        else:
            self._keys[position] = NO_SHARD
            self._shards[position] = NOWHERE

    def _filter_pieces(self, bucket: Bucket, withheld: set[str]) -> tuple[tuple[Piece, Piece], tuple[int, int]]:
        pieces: list[Piece] = []
        tickets: list[int] = []
        for piece in bucket.pieces:
            raws = read_piece(self._blobs, piece) if withheld else {}
            kept = [b'"%b":%b' % (fn.encode(), raw) for fn, raw in raws.items() if fn not in withheld]
            if len(kept) == len(raws):
                pieces.append(piece)
                tickets.append(-1)
            elif not kept:
                pieces.append(NO_PIECE)
                tickets.append(-1)
            else:
                text = b",".join(kept)
                run = block_run(self._compressor.compress(text), len(text))
                pieces.append(Piece(NOWHERE, len(text), len(kept)))
                tickets.append(self._pack.add(run.blocks))
        return (pieces[0], pieces[1]), (tickets[0], tickets[1])


def _digest(encoded: bytes) -> bytes:
    return hashlib.blake2b(encoded, digest_size=16).digest() if encoded else b""


def _holds_until(verdicts: BucketVerdicts, decisions: Sequence[Decision]) -> int:
    """When time alone may change something: a verdict, or what an allowlist item spares from the closure."""
    return earliest(verdicts.holds_until_ms, *(decision.holds_until_ms for decision in decisions))


def _by_name(decisions: Sequence[Decision]) -> dict[str, list[Decision]]:
    found: dict[str, list[Decision]] = {}
    for decision in decisions:
        found.setdefault(decision.name, []).append(decision)
    return found


def _placed(row: _Row, locations: Sequence[Location]) -> PublishedBucket:
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
        and made.closure == previous.closure
    )


def write_monolith(blobs: IndexBlobs, published: PublicationMap) -> tuple[str, int, int]:
    """Store `repodata.json.zst`; its key, its bytes, and the bytes of its text.

    The key is a digest of what it is put together from (pieces are immutable), so nothing large is hashed.
    """
    info = msgspec.json.decode(published.document.info, type=dict[str, object])
    info["subdir"] = published.subdir
    name = hashlib.blake2b(digest_size=32)
    parts: list[bytes | BlockRun] = [b'{"info":%b,"packages":{' % msgspec.json.encode(info)]
    for section in range(2):
        pieces = [bucket.pieces[section] for bucket in published.buckets if bucket.pieces[section].records]
        for i, (piece, blocks) in enumerate(
            zip(pieces, read_many(blobs, [piece.location for piece in pieces]), strict=True)
        ):
            if i:
                parts.append(b",")
            parts.append(BlockRun(blocks, piece.content_size + RESET_BLANKS))
            name.update(repr(tuple(piece.location)).encode())
        parts.append(b'},"packages.conda":{' if section == 0 else b"}")
        name.update(b"/")
    removed = msgspec.json.encode(published.document.removed)
    parts.append(b',"removed":%b,"repodata_version":1}' % removed)
    for part in parts:
        if isinstance(part, bytes) and len(part) > 1:
            name.update(part)
    whole = assemble(parts)
    key = f"monolith/{name.hexdigest()}.json.zst"
    blobs.put(key, whole.data)
    return key, len(whole.data), whole.content_size
