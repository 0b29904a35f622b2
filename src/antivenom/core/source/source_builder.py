"""Builds a source map bucket by bucket. Reads only what changed, with core/source/name_reader.py."""

from __future__ import annotations

import hashlib
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from antivenom.core.conda import repodata_zst as monolith
from antivenom.core.conda import shards
from antivenom.core.conda.repodata_zst import block_run, read_block_run
from antivenom.core.conda.specs import RecordSpecs, parse_record_spec
from antivenom.core.errors import AntivenomError
from antivenom.core.source.ages import Departed, KnownRecord, NameAges, read_known
from antivenom.core.source.name_reader import NO_RECORDS, NameReader, RawRecords
from antivenom.core.source.packs import NOWHERE, IndexBlobs, Location, LocationTable, PackWriter, read, read_many
from antivenom.core.source.source_map import (
    FORMAT,
    NO_PIECE,
    READING,
    Bucket,
    NameDepends,
    NameFacts,
    Piece,
    SourceDocument,
    SourceMap,
    cut_buckets,
    dependency_name,
    encode_frame,
    name_checksum,
    read_depends,
    read_facts,
    store,
)

SET_ASIDE_MAX = 1000


class Selection:
    """Which records a mirror takes: what `specs` match, all if there are none; `asked` are those of its settings.

    Raises:
        InvalidInputError: One is not a match spec.
    """

    def __init__(self, specs: Sequence[str] = (), asked: Sequence[str] | None = None) -> None:
        self.specs = list(specs)
        self.asked = list(specs if asked is None else asked)
        self.parsed = RecordSpecs(map(parse_record_spec, specs))

    def admits(self, name: str) -> bool:
        """Whether it takes any record of a name."""
        return not self.specs or bool(self.parsed.of_name(name))

    def has_rules_of(self, source: SourceMap) -> bool:
        """Whether the records of a source map were selected and read by the same rules."""
        return source.specs == self.specs and source.reading == READING

    def is_of(self, source: SourceMap) -> bool:
        """Whether a source map was made for it."""
        return self.has_rules_of(source) and source.asked == self.asked


_NO_CONTENT = bytes(16)
_decode_raws = msgspec.json.Decoder(dict[str, Raw]).decode


class NameInput(NamedTuple):
    """What the upstream lists under one name now. `packages` and `conda` are None when its key did not change.

    `is_packed`: the records are msgpack, from an upstream's shard. `renamed`: file names that have another name.
    """

    name: str
    packages: RawRecords | None
    conda: RawRecords | None
    removed: tuple[str, ...]
    upstream_key: bytes
    is_packed: bool = False
    renamed: frozenset[str] = frozenset()


class _NameOutput(NamedTuple):
    """One name, ready to be written; `shard` is None when the previous one stays."""

    facts: NameFacts
    depends: NameDepends
    members: tuple[bytes, bytes]  # of the monolith, by section
    shard: bytes | None


def content_digest(packages: RawRecords, conda: RawRecords, removed: Sequence[str]) -> bytes:
    """16 bytes that differ when a name's raw records changed.

    Two checksums and the length, which do not resist forgery: an upstream that forges them only hides its own change.
    """
    text = b"\n".join((*packages.raws, b"", *conda.raws))
    fns = "\n".join((*packages.fns, "", *conda.fns, "", *removed)).encode()
    return struct.pack("<IIQ", zlib.crc32(text, zlib.crc32(fns)), zlib.adler32(text), len(text) + 1)


class _PreviousReader:
    """The previous source map, read bucket by bucket when asked."""

    def __init__(self, blobs: IndexBlobs, source: SourceMap) -> None:
        self.source = source
        self.positions = {name: i for i, name in enumerate(source.names)}
        self.shards = source.shards.to_list()
        self._blobs = blobs
        self._firsts = [bucket.first for bucket in source.buckets]
        self._facts: tuple[int, dict[str, NameFacts]] = (-1, {})
        self._depends: dict[str, NameDepends] = {}
        self._texts: tuple[int, tuple[dict[str, Raw], dict[str, Raw]]] = (-1, ({}, {}))
        self.by_names = {(source.names[b.first], source.names[b.end - 1], b.end - b.first): b for b in source.buckets}

    def facts(self, name: str) -> NameFacts | None:
        position = self.positions.get(name)
        if position is None:
            return None
        at = bisect_right(self._firsts, position) - 1
        if self._facts[0] != at:
            self._facts = (at, {facts.name: facts for facts in read_facts(self._blobs, self.source.buckets[at])})
        return self._facts[1][name]

    def known(self, name: str) -> dict[str, KnownRecord]:
        """The records of a name as far as ages are concerned, by file name."""
        position = self.positions.get(name)
        return {} if position is None else read_known(read(self._blobs, self.shards[position]))

    def known_of(self, names: Sequence[str]) -> Iterator[tuple[str, dict[str, KnownRecord]]]:
        """The same of many names; what lies together is read together."""
        shards = read_many(self._blobs, [self.shards[self.positions[name]] for name in names])
        return ((name, read_known(shard)) for name, shard in zip(names, shards, strict=True))

    def replaced(self, name: str) -> dict[str, int]:
        """When other files stood under the file names of a name's records last."""
        facts = self.facts(name)
        return {facts.fns[at]: ms for at, ms in facts.replaced.items()} if facts else {}

    def entry(self, name: str) -> _NameOutput:
        """A name as the previous map has it."""
        facts = self.facts(name)
        assert facts is not None  # noqa: S101 - callers ask for known names only
        at = bisect_right(self._firsts, self.positions[name]) - 1
        if self._texts[0] != at:
            first, second = (read_piece(self._blobs, piece) for piece in self.source.buckets[at].pieces)
            self._texts = (at, (first, second))
            depends = read_depends(self._blobs, self.source.buckets[at])
            self._depends = dict(zip(self._facts[1], depends, strict=True))
        texts = self._texts[1]
        legacy, conda = facts.fns[: facts.legacy], facts.fns[facts.legacy :]
        return _NameOutput(
            facts,
            self._depends[name],
            (_members(texts[0], legacy), _members(texts[1], conda)),
            None,
        )  # fmt: skip


def _members(raws: Mapping[str, Raw], fns: Sequence[str]) -> bytes:
    return b",".join([b'"%b":%b' % (fn.encode(), raws[fn]) for fn in fns])


def read_piece(blobs: IndexBlobs, piece: Piece) -> dict[str, Raw]:
    """The records of a piece as raw JSON, by file name."""
    return piece_records(read(blobs, piece.location), piece) if piece.records else {}


def piece_records(blocks: bytes, piece: Piece) -> dict[str, Raw]:
    """The records of a piece, given its blocks."""
    return _decode_raws(b"{%b}" % read_block_run(blocks, piece.content_size))


class BuiltSource(NamedTuple):
    """A written map, and how it differs from the one before.

    `vanished`: how many of the records before are there no more, as bytes, unless other specs leave them out.
    `replaced`: files that have other bytes under their old names.
    """

    key: str
    source: SourceMap
    changed: list[str]
    gone: list[str]
    vanished: int
    replaced: list[str]


class SourceBuilder:
    """Writes one source map; see `build`."""

    def __init__(
        self,
        blobs: IndexBlobs,
        subdir: str,
        now_ms: int,
        old: SourceMap | None,
        selection: Selection,
        signed: frozenset[str],
    ) -> None:
        self.blobs, self.subdir, self.now_ms = blobs, subdir, now_ms
        self.selection, self.parsed_specs, self.signed = selection, selection.parsed, signed
        self.previous = _PreviousReader(blobs, old) if old else None
        self.has_same_rules = old is not None and selection.has_rules_of(old)
        self.departed = Departed(old.departed if old else b"")
        self.vanished = 0
        self.replaced: list[str] = []
        self.renamed: dict[str, str] = {}
        self._notes: list[tuple[str, str]] = []
        self._admitted_before = RecordSpecs(map(parse_record_spec, old.specs)) if old and old.specs else None
        self._compress_piece, self._compressor = monolith.compressor().compress, shards.compressor()
        self._shards, self._facts, self._depends = PackWriter(blobs), PackWriter(blobs), PackWriter(blobs)
        self._pieces = (PackWriter(blobs), PackWriter(blobs))
        self._checksums: dict[str, bytes] = {}  # by dependency text
        self._set_aside: list[tuple[str, str]] = []

    def build(
        self,
        names: Sequence[str],
        inputs: Callable[[str], NameInput],
        removed: Mapping[str, Sequence[str]],
        document: SourceDocument,
        digest: bytes,
        set_aside: list[tuple[str, str]],
    ) -> BuiltSource:
        """Write the map of `names`, which are sorted."""
        rows: list[_NameRow] = []
        buckets: list[_BucketRow] = []
        changed: list[str] = []
        for first, end in cut_buckets(names):
            bucket_inputs = [self._with_digest(inputs(name), removed.get(name, ())) for name in names[first:end]]
            self._bucket(bucket_inputs, rows, buckets, changed)
        kept = {row.name for row in rows}
        old_names = self.previous.source.names if self.previous else []
        gone = [name for name in old_names if name not in kept]
        read = set(names)
        self._let_go([name for name in gone if name not in read])  # those that were read are settled already
        self._keep_old(kept.difference(changed), {fn for fn, _ in (*set_aside, *self._set_aside)})
        set_aside += self._set_aside
        source = self._finish(rows, buckets, document, digest, set_aside)
        return BuiltSource(store(self.blobs, source), source, changed, gone, self.vanished, self.replaced)

    def _with_digest(self, given: NameInput, removed: Sequence[str]) -> tuple[NameInput, bytes, bool]:
        """The input, its content digest, and whether the previous map has the same content."""
        previous = self.previous
        position = previous.positions.get(given.name) if previous and self.has_same_rules else None
        if given.packages is None or given.conda is None:
            old_content = previous.source.content_key(position) if previous and position is not None else _NO_CONTENT
            return given, old_content, True
        if given.removed == () and removed:
            given = given._replace(removed=tuple(removed))
        packages, conda = given.packages or NO_RECORDS, given.conda or NO_RECORDS
        if given.is_packed:
            return given, _NO_CONTENT, False
        digest = content_digest(packages, conda, given.removed)
        same = previous is not None and position is not None and previous.source.content_key(position) == digest
        return given, digest, same

    def _bucket(
        self,
        given: Sequence[tuple[NameInput, bytes, bool]],
        rows: list[_NameRow],
        buckets: list[_BucketRow],
        changed: list[str],
    ) -> None:
        first = len(rows)
        names = [item.name for item, _, _ in given]
        old = self.previous.by_names.get((names[0], names[-1], len(names))) if self.previous else None
        if old and self.previous and all(same for _, _, same in given):
            for item, digest, _ in given:
                rows.append(self._old_row(item, digest))
            buckets.append(_BucketRow(first, len(rows), old, None))
            return
        entries: list[_NameOutput] = []
        for item, digest, same in given:
            if same and self.previous:
                entry = self.previous.entry(item.name)
                row = self._old_row(item, digest)
            else:
                entry = self._read(item)
                if not entry.facts.fns:
                    continue
                shard = entry.shard or b""
                row = _NameRow(
                    item.name,
                    item.upstream_key,
                    digest,
                    hashlib.sha256(shard).digest(),
                    self._shards.add(shard),
                    NOWHERE,
                )
                changed.append(item.name)
            rows.append(row)
            entries.append(entry)
        if entries:
            buckets.append(_BucketRow(first, len(rows), None, self._write_bucket(entries)))

    def _old_row(self, item: NameInput, digest: bytes) -> _NameRow:
        previous = self.previous
        assert previous is not None  # noqa: S101 - only called when there is one
        position = previous.positions[item.name]
        key = item.upstream_key if any(item.upstream_key) else previous.source.upstream_key(position)
        return _NameRow(item.name, key, digest, previous.source.shard_key(position), -1, previous.shards[position])

    def _read(self, given: NameInput) -> _NameOutput:
        known = self.previous.known(given.name) if self.previous else {}
        packages, conda = given.packages or NO_RECORDS, given.conda or NO_RECORDS
        entry, reader = self._read_rows(given, known, packages, conda)
        if self.parsed_specs:
            kept = {f.fn for f in entry.facts.record_facts(self.subdir, entry.depends) if self._is_wanted(f)}
            if len(kept) < len(entry.facts.fns):
                wanted = kept.__contains__
                entry, reader = self._read_rows(given, known, packages.split(wanted)[0], conda.split(wanted)[0])
        self._note(reader, given)
        return entry

    def _note(self, reader: NameReader, given: NameInput) -> None:
        """Take over what a reader found besides records."""
        self._set_aside += reader.set_aside
        self._notes += reader.notes
        self.renamed.update(dict.fromkeys(sorted({*reader.renamed, *given.renamed}), given.name))
        self.replaced += reader.ages.changed
        self.vanished += self._count_missed(given.name, reader.ages.settle())

    def _count_missed(self, name: str, fns: Sequence[str]) -> int:
        """How many of some records of the previous map are missed: all, but what the mirror's new specs leave out.

        Dependencies that are no longer selected are missed: an upstream that loses what needs them loses them too.
        """
        if not fns or self.previous is None or self.selection.asked == self.previous.source.asked:
            return len(fns)
        facts = self.previous.facts(name)
        at = {fn: position for position, fn in enumerate(facts.fns)} if facts else {}
        records = [facts.record_at(at[fn], self.subdir, None) for fn in fns] if facts else []
        return sum(map(self._is_wanted, records))

    def _let_go(self, gone: Sequence[str]) -> None:
        """Remember the records of names that are gone."""
        for name, known in self.previous.known_of(gone) if self.previous else ():
            for fn, record in known.items():
                self.departed.add(fn, record)
            self.vanished += self._count_missed(name, list(known))

    def _seeds(self, name: str) -> bool:
        """Whether the ages of a name's records are the upstream's word: they were not looked for before."""
        if self.previous is None:
            return True
        is_new = name not in self.previous.positions and self.selection.asked != self.previous.source.asked
        return is_new and self._admitted_before is not None and not self._admitted_before.of_name(name)

    def _is_wanted(self, facts: Any) -> bool:
        for spec in self.parsed_specs.of_name(facts.name):
            try:
                if spec.matches(facts):
                    return True
            except AntivenomError:  # a version that conda cannot order matches no version range
                continue
        return False

    def _read_rows(
        self, given: NameInput, known: Mapping[str, KnownRecord], packages: RawRecords, conda: RawRecords
    ) -> tuple[_NameOutput, NameReader]:
        replaced = self.previous.replaced(given.name) if self.previous else {}
        ages = NameAges(known, replaced, self.departed, self.now_ms, seeds=self._seeds(given.name))
        reader = NameReader(given.name, self.subdir, ages, is_packed=given.is_packed)
        for fn in sorted(given.renamed.intersection((*packages.fns, *conda.fns))):
            reader.note_name(fn)
        first = reader.read(packages)
        legacy = len(reader.fns)
        second = reader.read(conda)
        shard = self._compressor.compress(shards.encode_shard(first.packed, second.packed, given.removed))
        facts = reader.facts(legacy, given.removed, self.signed)
        return _NameOutput(facts, reader.depends(), (first.members, second.members), shard), reader

    def _write_bucket(self, entries: Sequence[_NameOutput]) -> _BucketTickets:
        records = sum(len(entry.facts.fns) for entry in entries)
        legacy = sum(entry.facts.legacy for entry in entries)
        pieces = []
        for section, count in enumerate((legacy, records - legacy)):
            if not count:
                pieces.append((-1, 0, 0))
                continue
            text = b",".join([entry.members[section] for entry in entries if entry.members[section]])
            run = block_run(self._compress_piece(text), len(text))
            pieces.append((self._pieces[section].add(run.blocks), len(text), count))
        facts = self._facts.add(encode_frame([entry.facts for entry in entries], self._compressor))
        depends = self._depends.add(encode_frame([entry.depends for entry in entries], self._compressor))
        checksums = self._dependency_checksums({text for entry in entries for text in entry.depends.dependencies})
        return _BucketTickets((pieces[0], pieces[1]), facts, depends, records, checksums)

    def _dependency_checksums(self, dependencies: set[str]) -> bytes:
        """The checksums of the names that some dependencies ask for."""
        known = self._checksums
        for text in dependencies.difference(known):
            known[text] = name_checksum(dependency_name(text))
        return b"".join(sorted({known[text] for text in dependencies}))

    def _keep_old(self, unchanged: Collection[str], listed: Collection[str]) -> None:
        """Take over what the previous map says of names that are as they were; not of files that are `listed` anew."""
        if not self.previous or not self.has_same_rules:
            return
        old = self.previous.source
        self.renamed |= {fn: name for fn, name in old.renamed.items() if name in unchanged}
        for before, now in ((old.set_aside, self._set_aside), (old.notes, self._notes)):
            for fn, why in before:
                name = old.name_of(fn)
                if name in unchanged and fn not in listed:
                    now.append((fn, why))

    def _finish(
        self,
        rows: Sequence[_NameRow],
        bucket_rows: Sequence[_BucketRow],
        document: SourceDocument,
        digest: bytes,
        set_aside: list[tuple[str, str]],
    ) -> SourceMap:
        shards, facts, depends = self._shards.locations(), self._facts.locations(), self._depends.locations()
        pieces = [writer.locations() for writer in self._pieces]
        buckets = []
        for first, end, old, tickets in bucket_rows:
            if tickets is None:
                assert old is not None  # noqa: S101 - a bucket is old or new
                buckets.append(
                    Bucket(first, end, old.records, old.pieces, old.facts, old.depends, old.dependency_checksums)
                )
                continue
            made = [
                Piece(pieces[section][ticket], size, records) if records else NO_PIECE
                for section, (ticket, size, records) in enumerate(tickets.pieces)
            ]
            buckets.append(
                Bucket(
                    first, end, tickets.records, (made[0], made[1]), facts[tickets.facts], depends[tickets.depends],
                    tickets.dependency_checksums,
                )
            )  # fmt: skip
        return SourceMap(
            format=FORMAT,
            subdir=self.subdir,
            document=document,
            document_digest=digest,
            specs=self.selection.specs,
            records=sum(bucket.records for bucket in buckets),
            names=[row.name for row in rows],
            upstream_keys=b"".join(row.upstream_key for row in rows),
            content_keys=b"".join(row.content_key for row in rows),
            shard_keys=b"".join(row.shard_key for row in rows),
            shards=LocationTable.of(shards[row.ticket] if row.ticket >= 0 else row.location for row in rows),
            buckets=buckets,
            set_aside=set_aside[:SET_ASIDE_MAX],
            set_aside_count=len(set_aside),
            reading=READING,
            asked=self.selection.asked,
            renamed=self.renamed,
            notes=self._notes[:SET_ASIDE_MAX],
            notes_count=len(self._notes),
            departed=self.departed.packed(),
        )


class _NameRow(NamedTuple):
    name: str
    upstream_key: bytes
    content_key: bytes
    shard_key: bytes
    ticket: int  # -1: `location` is known already
    location: Location


class _BucketTickets(NamedTuple):
    pieces: tuple[tuple[int, int, int], tuple[int, int, int]]  # ticket, content size, records
    facts: int
    depends: int
    records: int
    dependency_checksums: bytes


class _BucketRow(NamedTuple):
    first: int
    end: int
    old: Bucket | None
    tickets: _BucketTickets | None
