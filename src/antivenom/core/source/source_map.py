"""The source map of one subdir: what the upstream lists, unfiltered, by name and by bucket; and the facts of its
records.

A map is one blob that names packs. These hold its frames: shards, pieces (JSON text by bucket and section) and facts.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple, Protocol

import msgspec
import zstandard
from msgspec import Raw

from antivenom.core.conda.records import RecordFacts, name_in_filename
from antivenom.core.errors import InvalidInputError
from antivenom.core.source.packs import IndexBlobs, Location, LocationTable, content_key, read, read_many

FORMAT = 1
READING = 2  # raise it when records are read by other rules: each is then read again at the next sync
# A name whose checksum is divisible by this opens a bucket: 6 names on average, about 250 records at 1 M.
BUCKET_NAMES = 6


class Component(NamedTuple):
    """What a finding is about: a version of a package in a channel. `purls` are those that its records state."""

    name: str
    version: str
    purls: tuple[str, ...]


def opens_bucket(name: str) -> bool:
    """Whether a bucket begins at this name. Depends on nothing else, so that buckets stay when other names change."""
    return zlib.crc32(name.encode()) % BUCKET_NAMES == 0


CHECKSUM_BYTES = 4


def name_checksum(name: str) -> bytes:
    """The checksum of a name in `Bucket.dependency_checksums`. Names that share one cost a read in vain, no more."""
    return zlib.crc32(name.encode()).to_bytes(CHECKSUM_BYTES, "little")


def dependency_name(text: str) -> str:
    """The package name at the head of a dependency, in lower case; cheaper than parsing the dependency."""
    head = text.split(None, 1)[0] if text.strip() else ""
    for stop in "=<>!~[;":
        head = head.split(stop, 1)[0]
    return head.rsplit("::", 1)[-1].rsplit(":", 1)[-1].lower()


def cut_buckets(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(first, end) positions of the buckets of sorted names."""
    first = 0
    for position, name in enumerate(names):
        if position and opens_bucket(name):
            yield first, position
            first = position
    if names:
        yield first, len(names)


class NameDepends(msgspec.Struct, array_like=True, gc=False):
    """The dependencies of all records of one name, in the order of its facts. They have a frame of their own.

    `depends_of` points into `depends`, whose lists hold positions in `dependencies` (distinct texts).
    """

    dependencies: list[str]
    depends: list[tuple[int, ...]]
    depends_of: list[int]

    def lists(self) -> list[tuple[str, ...]]:
        """The distinct dependency lists as texts."""
        texts = self.dependencies
        return [tuple([texts[i] for i in positions]) for positions in self.depends]

    def of_record(self, position: int) -> tuple[str, ...]:
        """The dependency list of one record."""
        return tuple([self.dependencies[i] for i in self.depends[self.depends_of[position]]])


class NameFacts(msgspec.Struct, array_like=True, gc=False):
    """The facts of all records of one name, column by column. The first `legacy` records are of section `packages`.

    `component_of` and `license_of` point into `components` (version, purls) and `licenses` (text, family). Times are ms
    since 1970. `latest` is the highest version in conda's order. `replaced`: by position, when another file stood under
    the record's file name last.
    """

    name: str
    fns: list[str]
    legacy: int
    components: list[tuple[str, tuple[str, ...]]]
    component_of: list[int]
    builds: list[str]
    build_numbers: list[int]
    licenses: list[tuple[str, str]]
    license_of: list[int]
    sizes: list[int]
    timestamps: list[int]
    indexed: list[int]
    noarchs: list[str]
    signed: list[int] = []
    removed: list[str] = []
    run_exports: bool = False
    latest: str = ""
    replaced: dict[int, int] = {}

    def record_facts(self, subdir: str, depends: NameDepends) -> list[RecordFacts]:
        """The facts as a policy asks for them, in order."""
        components, licenses = self.components, self.licenses
        versions = [version for version, _ in components]
        purls = [purls for _, purls in components]
        texts, families = [text for text, _ in licenses], [family for _, family in licenses]
        signed = set(self.signed)
        # In columns, so that the loop over records runs in C.
        return list(
            map(
                RecordFacts,
                self.fns,
                repeat(subdir),
                repeat(self.name),
                map(versions.__getitem__, self.component_of),
                self.builds,
                self.build_numbers,
                map(texts.__getitem__, self.license_of),
                map(families.__getitem__, self.license_of),
                self.sizes,
                self.timestamps,
                self.indexed,
                self.noarchs,
                map(purls.__getitem__, self.component_of),
                map(depends.lists().__getitem__, depends.depends_of),
                [i in signed for i in range(len(self.fns))] if signed else repeat(False),
                [self.replaced.get(i, 0) for i in range(len(self.fns))] if self.replaced else repeat(0),
            )
        )

    def record_at(self, position: int, subdir: str, depends: NameDepends | None) -> RecordFacts:
        """The facts of one record, without its dependencies when `depends` is None."""
        version, purls = self.components[self.component_of[position]]
        text, family = self.licenses[self.license_of[position]]
        return RecordFacts(
            self.fns[position],
            subdir,
            self.name,
            version,
            self.builds[position],
            self.build_numbers[position],
            text,
            family,
            self.sizes[position],
            self.timestamps[position],
            self.indexed[position],
            self.noarchs[position],
            purls,
            depends.of_record(position) if depends else (),
            position in self.signed,
            self.replaced.get(position, 0),
        )


class NameBuilds(msgspec.Struct, array_like=True, gc=False):
    """The first columns of `NameFacts`, most of them raw: takes a fifth of the time to decode, and of the memory."""

    name: str
    fns: Raw
    legacy: int
    components: list[tuple[str, Raw]]
    component_of: list[int]
    builds: Raw
    build_numbers: list[int]


class Piece(msgspec.Struct, array_like=True, gc=False):
    """One section of one bucket: its block run and the size of its text without the leading blanks (0: no records)."""

    location: Location
    content_size: int
    records: int


NO_PIECE = Piece(Location("", 0, 0), 0, 0)


class Bucket(msgspec.Struct, array_like=True, gc=False):
    """A run of names [first, end) with their pieces (one per section) and the frames of their facts and dependencies.

    `dependency_checksums` are those of the names that its records depend on: who depends on a name is found without
    reading.
    """

    first: int
    end: int
    records: int
    pieces: tuple[Piece, Piece]
    facts: Location
    depends: Location
    dependency_checksums: bytes = b""


class BucketFrames(Protocol):
    """The locations of a bucket's frames; buckets of source maps and of publication maps have them."""

    facts: Location
    depends: Location


def document_digest(document: bytes) -> bytes:
    """The digest by which a document is recognized as the one fetched before; BLAKE2b, as for packs."""
    return hashlib.blake2b(document, digest_size=32).digest()


class SourceDocument(msgspec.Struct, array_like=True):
    """What the upstream index holds besides records. `info` is JSON text."""

    info: bytes = b"{}"
    removed: list[str] = []


class SourceMap(msgspec.Struct, array_like=True):
    """See the module. Columns are in the order of `names` (sorted); keys are joined digests, zeros where unknown.

    `reading` is the READING by which records were read. `asked` are the mirror's specs, of `specs` those that are no
    dependencies. `renamed`: the names of records whose file names have another one. `notes`: what was put in order,
    by file name. `departed`: see core/source/ages.py.
    """

    format: int
    subdir: str
    document: SourceDocument
    document_digest: bytes  # of the fetched document, or of the shard index
    specs: list[str]
    records: int
    names: list[str]
    upstream_keys: bytes  # 32 each: the upstream's shard
    content_keys: bytes  # 16 each: digest of the raw records
    shard_keys: bytes  # 32 each: our shard
    shards: LocationTable
    buckets: list[Bucket]
    set_aside: list[tuple[str, str]]
    set_aside_count: int = 0
    reading: int = 0
    asked: list[str] = []
    renamed: dict[str, str] = {}
    notes: list[tuple[str, str]] = []
    notes_count: int = 0
    departed: bytes = b""

    def upstream_key(self, position: int) -> bytes:
        """The upstream shard's sha256 of a name; zeros when unknown."""
        return self.upstream_keys[32 * position : 32 * position + 32]

    def content_key(self, position: int) -> bytes:
        """The digest of a name's raw records; zeros when unknown."""
        return self.content_keys[16 * position : 16 * position + 16]

    def shard_key(self, position: int) -> bytes:
        """Our shard's sha256."""
        return self.shard_keys[32 * position : 32 * position + 32]

    def name_of(self, fn: str) -> str:
        """The name under which a file is listed: its record's, in lower case."""
        return self.renamed.get(fn) or name_in_filename(fn)


_map_decoder = msgspec.msgpack.Decoder(SourceMap)
_facts_decoder = msgspec.msgpack.Decoder(list[NameFacts])
_depends_decoder = msgspec.msgpack.Decoder(list[NameDepends])
_builds_decoder = msgspec.msgpack.Decoder(list[NameBuilds])
_encoder = msgspec.msgpack.Encoder()


def store(blobs: IndexBlobs, value: msgspec.Struct) -> str:
    """Store a map as a blob; returns its key."""
    data = zstandard.ZstdCompressor(level=3).compress(_encoder.encode(value))
    key = content_key("index", data)
    blobs.put(key, data)
    return key


def load_source(blobs: IndexBlobs, key: str) -> SourceMap:
    """The source map under `key`.

    Raises:
        InvalidInputError: The blob is of another format.
    """
    try:
        source = _map_decoder.decode(zstandard.ZstdDecompressor().decompress(blobs.get(key)))
    except (msgspec.DecodeError, zstandard.ZstdError) as error:
        raise InvalidInputError(f"{key} is not a source map: {error}") from None
    if source.format != FORMAT:
        raise InvalidInputError(f"{key} is of format {source.format}, not {FORMAT}", hint="sync the mirror again")
    return source


def encode_frame(columns: Sequence[NameFacts] | Sequence[NameDepends], compress: zstandard.ZstdCompressor) -> bytes:
    """The frame of one bucket's facts or dependencies."""
    return compress.compress(_encoder.encode(columns))


def read_facts(blobs: IndexBlobs, bucket: Bucket) -> list[NameFacts]:
    """The facts of one bucket, by name in order."""
    return _facts_decoder.decode(zstandard.ZstdDecompressor().decompress(read(blobs, bucket.facts)))


def read_depends(blobs: IndexBlobs, bucket: Bucket) -> list[NameDepends]:
    """The dependencies of one bucket, by name in order."""
    return _depends_decoder.decode(zstandard.ZstdDecompressor().decompress(read(blobs, bucket.depends)))


def iterate_facts(blobs: IndexBlobs, buckets: Iterable[BucketFrames]) -> Iterator[list[NameFacts]]:
    """The facts of many buckets, in order; neighbours are read together."""
    decompress = zstandard.ZstdDecompressor().decompress
    for frame in read_many(blobs, (bucket.facts for bucket in buckets)):
        yield _facts_decoder.decode(decompress(frame))


def iterate_builds(blobs: IndexBlobs, buckets: Iterable[BucketFrames]) -> Iterator[list[NameBuilds]]:
    """The first columns of the facts of many buckets, in order; see `iterate_facts`."""
    decompress = zstandard.ZstdDecompressor().decompress
    for frame in read_many(blobs, (bucket.facts for bucket in buckets)):
        yield _builds_decoder.decode(decompress(frame))


def iterate_depends(blobs: IndexBlobs, buckets: Iterable[BucketFrames]) -> Iterator[list[NameDepends]]:
    """The dependencies of many buckets, in order; neighbours are read together."""
    decompress = zstandard.ZstdDecompressor().decompress
    for frame in read_many(blobs, (bucket.depends for bucket in buckets)):
        yield _depends_decoder.decode(decompress(frame))


def iterate_components(blobs: IndexBlobs, key: str) -> Iterator[Component]:
    """The distinct (name, version, purls) of a source map, by name."""
    for bucket in iterate_facts(blobs, load_source(blobs, key).buckets):
        for facts in bucket:
            for version, purls in facts.components:
                yield Component(facts.name, version, purls)
