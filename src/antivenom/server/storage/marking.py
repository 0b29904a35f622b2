"""Divides the stored blobs into those that something names and the rest. Runs in a child process; no database.

The database names maps; maps name packs; the records that a source map lists name artifacts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from antivenom.core.conda.shards import shard_records
from antivenom.core.errors import AntivenomError, DamagedBlobError, LostBlobError, NotFoundError
from antivenom.core.publication.client_documents import POINTER_BYTES_MAX, read_pointer
from antivenom.core.publication.publication_index import referenced_keys
from antivenom.core.source.ingest import without_gc
from antivenom.core.source.packs import IndexBlobs, read_many
from antivenom.core.source.source_map import SourceMap, load_source
from antivenom.server.adapters.blob_digests import artifact_key
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.storage.reports import ByKind, count_by_kind

KINDS = ("index", "pack", "monolith", "derived", "artifact", "knowledge", "upstream", "repodata", "document")
"""The first words of all keys. Nothing else in the store is ever listed or deleted."""
MAPS = ("source", "index")


class Roots(msgspec.Struct, frozen=True):
    """What the database names: plain keys, and which of them are source maps and publication maps."""

    keys: frozenset[str]
    sources: frozenset[str]
    indexes: frozenset[str]

    def without_maps_of(self, other: Roots) -> Roots:
        """Without the maps that were looked into already: they never change."""
        return Roots(self.keys, self.sources - other.sources, self.indexes - other.indexes)


class Marked(msgspec.Struct, frozen=True):
    """What was found. `unnamed`: (key, size in bytes, time stored) of what nothing names.

    `missing` are named and not stored. `hidden`: maps and packs that cannot be read. What they name is not known, so
    then `unnamed` has no pack and no artifact.
    """

    stored: ByKind
    unnamed: list[tuple[str, int, float]]
    missing: list[str]
    hidden: list[str]


@without_gc()
def mark(store_url: str, roots: Roots, candidates: Sequence[tuple[str, int, float]] | None) -> Marked:
    """Find what nothing names among all blobs, or among the `candidates` of an earlier look."""
    store = BlobStore.open(store_url)
    left: dict[str, tuple[int, float]] = {}
    if candidates is None:
        for kind in KINDS:
            left.update((key, (size, at)) for key, size, at in store.list_sync(f"{kind}/"))
    else:
        left.update((key, (size, at)) for key, size, at in candidates)
    stored = count_by_kind((key, size) for key, (size, _) in left.items())
    blobs, is_complete = StoreBlobs(store), candidates is None
    named, lost, unreadable = _expand(blobs, roots)
    missing = sorted(key for key in named if key not in left and not key.startswith("derived/")) if is_complete else []
    pointers = [key for key in named & left.keys() if key.startswith("derived/") and left[key][0] <= POINTER_BYTES_MAX]
    named.update(_find_documents(blobs, pointers))
    for key in named:
        left.pop(key, None)
    hidden = lost | unreadable
    artifacts = {key for key in left if key.startswith("artifact/")}
    if artifacts and not hidden:
        try:
            for key in _listed_artifacts(blobs, roots.sources, artifacts):
                left.pop(key, None)
        except LostBlobError as error:
            hidden.add(error.key)
    if hidden:
        left = {key: found for key, found in left.items() if not key.startswith(("pack/", "artifact/"))}
    unnamed = [(key, size, at) for key, (size, at) in left.items()]
    return Marked(stored, unnamed, missing, sorted(hidden))


def _expand(blobs: IndexBlobs, roots: Roots) -> tuple[set[str], set[str], set[str]]:
    """All keys that are named; the maps that are lost, and those that cannot be read."""
    named, lost, unreadable = set(roots.keys), set(), set()
    for key in sorted(roots.sources | roots.indexes):
        try:
            named |= referenced_keys(blobs, key)
        except LostBlobError:
            lost.add(key)
        except AntivenomError:
            unreadable.add(key)
    return named, lost, unreadable


def _find_documents(blobs: IndexBlobs, pointers: Iterable[str]) -> Iterator[str]:
    """The documents that small derived blobs name; earlier releases kept a whole document there."""
    for key in sorted(pointers):
        try:
            document = read_pointer(blobs.get(key))
        except LostBlobError:
            continue
        if document is not None:
            yield document


def _listed_artifacts(blobs: IndexBlobs, sources: Iterable[str], wanted: set[str]) -> set[str]:
    """Which of the wanted artifacts some source map lists."""
    finder = _ArtifactFinder(blobs, wanted)
    listed: set[str] = set()
    for key in sorted(sources):
        listed.update(artifact for artifact, _ in finder.listed_by(load_source(blobs, key)))
        if len(listed) == len(wanted):
            break
    return listed


class _ArtifactFinder:
    """Finds which of the wanted artifacts source maps list. A shard that several of them have is read once."""

    def __init__(self, blobs: IndexBlobs, wanted: set[str]) -> None:
        self._blobs, self._wanted = blobs, wanted
        self._found: dict[tuple[str, int], list[tuple[str, str]]] = {}  # by the place of the shard

    def listed_by(self, source: SourceMap) -> Iterator[tuple[str, str]]:
        """(artifact, file name) of the wanted ones."""
        shards = [location for location in source.shards.to_list() if location.length]
        fresh = [location for location in shards if (location.pack, location.offset) not in self._found]
        for location in shards:
            yield from self._found.get((location.pack, location.offset), ())
        for location, data in zip(fresh, read_many(self._blobs, fresh), strict=True):
            found = [(artifact, fn) for artifact, fn in _artifacts_in(data) if artifact in self._wanted]
            self._found[location.pack, location.offset] = found
            yield from found


def _artifacts_in(shard: bytes) -> Iterator[tuple[str, str]]:
    for fn, record in shard_records(shard).items():
        yield artifact_key(_hex(record.get("sha256")), _hex(record.get("md5"))), fn


def _hex(digest: object) -> str:
    return digest.hex() if isinstance(digest, bytes) else ""


# -- who needs a blob, and which blobs are lost ------------------------------------------------------------------------


def find_needing(store_url: str, maps: Sequence[str], wanted: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """By wanted key: (map, file name) of every map that names it. Only an artifact has a file name.

    A map that cannot be read names nothing: it is lost itself, or of another release.
    """
    blobs = StoreBlobs(BlobStore.open(store_url))
    keys = set(wanted)
    artifacts = {key for key in keys if key.startswith("artifact/")}
    finder = _ArtifactFinder(blobs, artifacts)
    found: dict[str, list[tuple[str, str]]] = {key: [] for key in wanted}
    for key in sorted(set(maps)):
        with contextlib.suppress(AntivenomError):
            for named in sorted(referenced_keys(blobs, key) & keys):
                found[named].append((key, ""))
            if artifacts:  # of a publication map, which is no source map, the source lists what it lists
                for artifact, fn in finder.listed_by(load_source(blobs, key)):
                    found[artifact].append((key, fn))
    return found


class Verified(msgspec.Struct, frozen=True):
    """What a verification read, and the blobs that were damaged."""

    count: int
    size_bytes: int
    damaged: list[str]


def verify(store: BlobStore) -> Verified:
    """Read every stored blob whole and compare it with its digest."""
    count = size_bytes = 0
    damaged: list[str] = []
    for part in _parts():
        for key in sorted(key for key, _, _ in store.list_sync(f"{part}/")):
            try:
                size_bytes += store.verify_sync(key)
                count += 1
            except DamagedBlobError:
                damaged.append(key)
            except NotFoundError:
                continue  # deleted meanwhile
    return Verified(count, size_bytes, damaged)


class Scrubbed(msgspec.Struct, frozen=True):
    """How far a scrub came: the last key ("" at the end of a round), and what it found damaged."""

    key: str
    size_bytes: int
    damaged: list[str]


def scrub(store: BlobStore, after: str, budget_bytes: int) -> Scrubbed:
    """Verify blobs in the order of their keys, from the one behind `after`, until so many bytes were read."""
    size_bytes, damaged, last = 0, [], after
    for part in _parts():
        if f"{part}/" < after[: len(part) + 1]:
            continue
        for key in sorted(key for key, _, _ in store.list_sync(f"{part}/") if key > after):
            try:
                size_bytes += store.verify_sync(key)
            except DamagedBlobError:
                damaged.append(key)
            except NotFoundError:
                continue
            last = key
            if size_bytes >= budget_bytes:
                return Scrubbed(last, size_bytes, damaged)
    return Scrubbed("", size_bytes, damaged)


def _parts() -> list[str]:
    """The store in parts that are listed one by one, in the order of their keys: there may be a million artifacts."""
    by_digest = [f"artifact/{first:02x}" for first in range(256)]
    return sorted([*by_digest, "artifact/md5", *(kind for kind in KINDS if kind != "artifact")])
