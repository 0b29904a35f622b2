"""Since when records count as listed (`indexed_timestamp`, the base of cooldowns), by the digests of their artifacts.

What was not there at the last sync is new, whatever the upstream says of it. Only the first sync of a subdir, and of
a name that a change of the mirror's specs admits, believe the upstream (`seed_indexed`). A digest that is known keeps
its age: under its own file name, whatever else its record says now; under another one; and when it comes back after
it was gone, as long as `Departed` remembers it.

Source: docs/adr/0012.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping

import msgspec
import zstandard

from antivenom.core.conda.upstream_records import Digests, seed_indexed

DEPARTED_MAX = 50_000  # of a subdir; 48 bytes each in its source map
_ROW = struct.Struct("<32sQ8s")


class KnownRecord(msgspec.Struct, gc=False):
    """What the last source map has of a record, as far as ages are concerned."""

    sha256: bytes | None = None
    md5: bytes | None = None
    indexed_timestamp: int = 0

    def is_same(self, digests: Digests) -> bool:
        """Whether an artifact with these digests has the same bytes.

        An md5 alone does not stand for a sha256 that is no longer stated: two files with one md5 can be made.
        """
        return self.sha256 == digests.sha256 if self.sha256 else self.md5 == digests.md5


class _KnownShard(msgspec.Struct):
    packages: dict[str, KnownRecord] = {}
    packages_conda: dict[str, KnownRecord] = msgspec.field(name="packages.conda", default_factory=dict)


_decode_shard = msgspec.msgpack.Decoder(_KnownShard).decode


def read_known(shard: bytes) -> dict[str, KnownRecord]:
    """The records of one of our own shards, by file name."""
    found = _decode_shard(zstandard.ZstdDecompressor().decompress(shard))
    return {**found.packages, **found.packages_conda}


class Departed:
    """Records that are listed no more, and since when they were: at most `DEPARTED_MAX`, the last that left."""

    def __init__(self, packed: bytes = b"") -> None:
        rows = list(_ROW.iter_unpack(packed))
        self._indexed: dict[bytes, int] = {digest: indexed for digest, indexed, _ in rows}
        self._fns: dict[bytes, bytes] = {fn: digest for digest, _, fn in rows}

    def __bool__(self) -> bool:
        return bool(self._indexed)

    def packed(self) -> bytes:
        """All of it, for the source map."""
        fns = {digest: fn for fn, digest in self._fns.items()}
        rows = list(self._indexed.items())[-DEPARTED_MAX:]
        return b"".join([_ROW.pack(digest, indexed, fns.get(digest, bytes(8))) for digest, indexed in rows])

    def add(self, fn: str, record: KnownRecord) -> None:
        """Remember a record that is gone."""
        key = _key(record.sha256 or record.md5 or b"")
        self._indexed.pop(key, None)  # so that it counts as the last that left
        self._indexed[key] = record.indexed_timestamp
        self._fns[_fn_key(fn)] = key

    def find(self, digests: Digests) -> int:
        """Since when an artifact was listed; 0 when it is not remembered."""
        found = self._indexed.get(_key(digests.sha256)) if digests.sha256 else None
        return found or (self._indexed.get(_key(digests.md5)) if digests.md5 else None) or 0

    def had_other(self, fn: str, digests: Digests) -> bool:
        """Whether a file of this name left, and its bytes were others."""
        key = self._fns.get(_fn_key(fn))
        return key is not None and key not in (_key(digests.sha256), _key(digests.md5))

    def forget(self, digests: Iterable[bytes]) -> None:
        """Forget artifacts that came back."""
        for digest in digests:
            self._indexed.pop(_key(digest), None)


def _key(digest: bytes) -> bytes:
    return digest.ljust(32, b"\0")


def _fn_key(fn: str) -> bytes:
    return hashlib.blake2b(fn.encode(), digest_size=8).digest()


class NameAges:
    """Since when the records of one name count as listed.

    `replaced`: when another file stood under the name last, by file name. `changed`: those for which that is news.
    """

    def __init__(
        self,
        known: Mapping[str, KnownRecord],
        replaced: Mapping[str, int],
        departed: Departed,
        now_ms: int,
        *,
        seeds: bool,
    ) -> None:
        self._known, self._replaced, self._departed = known, replaced, departed
        self.now_ms, self._seeds = now_ms, seeds
        self.is_first = seeds and not known and not departed
        self.replaced: dict[str, int] = {}
        self.changed: list[str] = []
        oldest_last = sorted(known.values(), key=lambda record: -record.indexed_timestamp)
        self._by_sha256 = {r.sha256: r.indexed_timestamp for r in oldest_last if r.sha256}
        self._by_md5 = {r.md5: r.indexed_timestamp for r in oldest_last if r.md5 and not r.sha256}
        self._seen: set[bytes] = set()

    def stamp(self, fn: str, digests: Digests, indexed: object, timestamp: object) -> int:
        """Since when a record counts as listed (ms). `indexed`, `timestamp`: what the upstream says."""
        self._seen.update(digests)
        before = self._known.get(fn)
        if not before.is_same(digests) if before else self._departed.had_other(fn, digests):
            self.replaced[fn] = self.now_ms
            self.changed.append(fn)
        elif fn in self._replaced:
            self.replaced[fn] = self._replaced[fn]
        since = self._by_sha256.get(digests.sha256) or self._by_md5.get(digests.md5) or self._departed.find(digests)
        if since:
            return since
        return seed_indexed(indexed, timestamp, self.now_ms) if self._seeds else self.now_ms

    def settle(self) -> list[str]:
        """Move what is gone to what departed, and take from it what came back; the file names of what is gone."""
        self._departed.forget(self._seen)
        gone = [fn for fn, record in self._known.items() if (record.sha256 or record.md5) not in self._seen]
        for fn in gone:
            self._departed.add(fn, self._known[fn])
        return gone
