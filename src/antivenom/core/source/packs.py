"""Packs: a few large blobs instead of thousands of small ones, and the places of frames in them.

A *pack* is a blob of concatenated frames (shards, pieces, facts). Its name is its digest, and it never changes. A pack
ends at `PACK_BYTES`, so that writing never holds more than that in memory.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from typing import NamedTuple, Protocol

import msgspec

PACK_BYTES = 16 << 20
_READ_BYTES = 8 << 20  # neighbours are fetched together up to this much
_GAP_BYTES = 32 << 10  # between two frames, up to this much is read in vain: it costs as much as one more read


class IndexBlobs(Protocol):
    """The store of the index engine: immutable blobs by key."""

    def get(self, key: str) -> bytes:
        """All bytes of `key`."""
        ...

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """`length` bytes of `key` from `offset`."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Store `data`; does nothing when `key` exists (equal keys are equal bytes)."""
        ...


class Location(NamedTuple):
    """Where a frame lies: `length` bytes from `offset` in the pack with key `pack`."""

    pack: str
    offset: int
    length: int


NOWHERE = Location("", 0, 0)


def content_key(kind: str, data: bytes) -> str:
    """The key under which `data` is stored: `kind/<digest>`.

    BLAKE2b-256: without hardware support it is 1.8 times as fast as sha256 (measured), and packs are large.
    """
    return f"{kind}/{hashlib.blake2b(data, digest_size=32).hexdigest()}"


def read(blobs: IndexBlobs, location: Location) -> bytes:
    """The bytes of one frame."""
    return blobs.get_range(*location) if location.length else b""


def read_many(blobs: IndexBlobs, locations: Iterable[Location]) -> Iterator[bytes]:
    """The bytes of many frames, in order; neighbours in one pack are fetched by one read of bounded size."""
    run: list[Location] = []
    start = end = 0
    for location in locations:
        is_near = bool(run) and location.pack == run[0].pack and 0 <= location.offset - end <= _GAP_BYTES
        if run and not (is_near and location.offset + location.length - start <= _READ_BYTES):
            yield from _split_run(blobs, run, start, end)
            run = []
        if not run:
            start = location.offset
        run.append(location)
        end = location.offset + location.length
    if run:
        yield from _split_run(blobs, run, start, end)


def _split_run(blobs: IndexBlobs, run: Sequence[Location], start: int, end: int) -> Iterator[bytes]:
    if end == start:
        yield from (b"" for _ in run)
        return
    if len(run) == 1:
        yield blobs.get_range(run[0].pack, start, end - start)
        return
    data = memoryview(blobs.get_range(run[0].pack, start, end - start))
    for _, offset, length in run:
        yield bytes(data[offset - start : offset - start + length])


class LocationTable(msgspec.Struct, array_like=True):
    """Many locations in compact columns (native arrays as bytes).

    `packs` are the distinct pack keys; columns are little-endian u16, u64, u32.
    """

    packs: list[str]
    pack_of: bytes
    offsets: bytes
    lengths: bytes

    @classmethod
    def of(cls, locations: Iterable[Location]) -> LocationTable:
        """The table of some locations, in order."""
        packs: dict[str, int] = {}
        pack_of, offsets, lengths = array("H"), array("Q"), array("I")
        for pack, offset, length in locations:
            pack_of.append(packs.setdefault(pack, len(packs)))
            offsets.append(offset)
            lengths.append(length)
        return cls(list(packs), pack_of.tobytes(), offsets.tobytes(), lengths.tobytes())

    def to_list(self) -> list[Location]:
        """All locations in order."""
        return list(starmap(Location, self.to_rows()))

    def to_rows(self) -> list[tuple[str, int, int]]:
        """All locations in order as plain tuples: a quarter of the time, where they are only compared."""
        pack_of, offsets, lengths = array("H"), array("Q"), array("I")
        pack_of.frombytes(self.pack_of)
        offsets.frombytes(self.offsets)
        lengths.frombytes(self.lengths)
        return list(zip(map(self.packs.__getitem__, pack_of), offsets, lengths, strict=True))


class PackWriter:
    """Collects frames into packs and stores every full one.

    Locations of a pack are known only when it is stored (its key is its digest): `add` returns a ticket, and
    `locations` turns all tickets into locations.
    """

    def __init__(self, blobs: IndexBlobs) -> None:
        self._blobs = blobs
        self._parts: list[bytes] = []
        self._size = 0
        self._tickets: list[tuple[int, int, int]] = []
        self._keys: list[str] = []

    def add(self, frame: bytes) -> int:
        """Append a frame; its ticket is its position in `locations()`."""
        if self._size and self._size + len(frame) > PACK_BYTES:
            self._flush()
        self._tickets.append((len(self._keys), self._size, len(frame)))
        self._parts.append(frame)
        self._size += len(frame)
        return len(self._tickets) - 1

    def _flush(self) -> None:
        data = b"".join(self._parts)
        key = content_key("pack", data)
        self._blobs.put(key, data)
        self._keys.append(key)
        self._parts, self._size = [], 0

    def locations(self) -> list[Location]:
        """Store what is left; the location of every ticket, in order."""
        if self._parts:
            self._flush()
        return [Location(self._keys[pack], offset, length) for pack, offset, length in self._tickets]
