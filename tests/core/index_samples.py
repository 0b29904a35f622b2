"""What the tests of the index engine share: a store in memory, small upstreams, fake policies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import zstandard

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.advisories import Assessment
from antivenom.core.policy.compile import GO, Action, AllowlistItem, Reason, Verdict
from antivenom.core.policy.rules.base import NameColumns
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import Decision
from antivenom.core.publishing.publish import Published, publish
from antivenom.core.publishing.request import Judge, PublishRequest
from antivenom.core.source.ingest import ingest_monolith

NOW_MS = 1_795_219_200_000  # 2026-11-21
CHANNEL = ChannelFacts("main", is_mirror=True)


class MemoryBlobs:
    """A blob store that counts what is written."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def get(self, key: str) -> bytes:
        return self.data[key]

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return self.data[key][offset : offset + length]

    def put(self, key: str, data: bytes) -> None:
        assert self.data.setdefault(key, data) == data


def record(name: str, version: str = "1.0", build: str = "0", depends: Any = (), **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(f"{name}{version}{build}".encode())
    found = {
        "build": build,
        "build_number": 0,
        "depends": depends if depends is ... else list(depends),
        "md5": digest.hexdigest()[:32],
        "name": name,
        "sha256": digest.hexdigest(),
        "size": 10,
        "subdir": "noarch",
        "timestamp": 1_600_000_000_000,
        "version": version,
    } | more
    return {key: value for key, value in found.items() if value is not ...}


def fn_of(entry: Mapping[str, Any], suffix: str = ".conda") -> str:
    return f"{entry['name']}-{entry['version']}-{entry['build']}{suffix}"


def document(*records: Mapping[str, Any], legacy: Sequence[Mapping[str, Any]] = (), **more: Any) -> bytes:
    return msgspec.json.encode(
        {
            "info": {"subdir": "noarch"},
            "packages": {fn_of(r, ".tar.bz2"): r for r in legacy},
            "packages.conda": {fn_of(r): r for r in records},
            "removed": [],
            "repodata_version": 1,
        }
        | more
    )


class FakePolicy:
    """A `Judge` that withholds what `stops` holds for, and warns about what `warns` holds for."""

    reads_depends = True
    closure_exceptions: tuple[AllowlistItem, ...] = ()
    fix_cooldowns: Mapping[str, int] = {}

    def __init__(
        self,
        stops: Callable[[RecordFacts], bool] = lambda record: False,
        warns: Callable[[RecordFacts], bool] = lambda record: False,
        holds_until_ms: int = 0,
    ) -> None:
        self.stops, self.warns, self.holds_until_ms = stops, warns, holds_until_ms
        self.judged: list[str] = []

    def judge(self, record: RecordFacts, assessment: Assessment | None, channel: ChannelFacts, now_ms: int) -> Verdict:
        self.judged.append(record.fn)
        for action, holds in ((Action.stop, self.stops), (Action.warn, self.warns)):
            if holds(record):
                reason = Reason(
                    "banned", "packages", "match_spec", f"{record.name}+x", action, f"{record.name} is banned"
                )
                return Verdict(action, (reason,), self.holds_until_ms)
        return GO

    def touched_positions(self, names: NameColumns, *_arguments: object) -> Iterable[int]:
        return range(len(names.fns))

    def except_closure(self, reason: Reason, record: RecordFacts, now_ms: int) -> AllowlistItem | None:
        raise AssertionError(f"nothing of {self.closure_exceptions} excepts {reason} of {record} at {now_ms}")


def nothing_known(components: Sequence[object]) -> list[Assessment | None]:
    return [None for _ in components]


def ingest(blobs: MemoryBlobs, text: bytes, **more: Any) -> str:
    return ingest_monolith(blobs, text, **({"subdir": "noarch", "now_ms": NOW_MS} | more)).source


def request(sources: Mapping[str, str], policy: Judge, **more: Any) -> PublishRequest:
    fields: dict[str, Any] = {"channel": CHANNEL, "assess": nothing_known, "now_ms": NOW_MS} | more
    return PublishRequest(sources=sources, policy=policy, **fields)


def publish_all(
    blobs: MemoryBlobs, sources: Mapping[str, str], policy: Judge, *, monolith: bool = True, **more: Any
) -> Published:
    return publish(blobs, request(sources, policy, **more), monolith=monolith)


def decisions(index: PublicationIndex, action: Action | None = None) -> list[Decision]:
    """All decisions of a publication, or those with one action, by name and file name."""
    found = (d for _, of_bucket in index.decisions_by_bucket() for d in of_bucket)
    return [d for d in found if action in (None, d.action)]


def withheld(index: PublicationIndex) -> list[Decision]:
    return decisions(index, Action.stop)


def opened(blobs: MemoryBlobs, published: Published, subdir: str = "noarch") -> PublicationIndex:
    return PublicationIndex.open(blobs, published.subdirs[subdir].publication)


def served(blobs: MemoryBlobs, published: Published, subdir: str = "noarch") -> dict[str, Any]:
    """What a client reads from `repodata.json.zst`, both sections together."""
    text = zstandard.ZstdDecompressor().decompress(blobs.get(published.subdirs[subdir].monolith))
    found = msgspec.json.decode(text)
    return {**found["packages"], **found["packages.conda"]}


def shards_of(blobs: MemoryBlobs, published: Published, subdir: str = "noarch") -> dict[str, Any]:
    """What a client reads through the shard index: file name → record, digests as hex."""
    index = opened(blobs, published, subdir)
    decompress = zstandard.ZstdDecompressor().decompress
    listing = msgspec.msgpack.decode(decompress(blobs.get_range(*index.shards_index)))
    found: dict[str, Any] = {}
    for key in listing["shards"].values():
        location = index.shard_location(key)
        assert location is not None
        data = blobs.get_range(*location)
        assert hashlib.sha256(data).digest() == key
        shard = msgspec.msgpack.decode(decompress(data))
        for fn, entry in {**shard["packages"], **shard["packages.conda"]}.items():
            found[fn] = {k: v.hex() if isinstance(v, bytes) else v for k, v in entry.items()}
    return found


def channel(blobs: MemoryBlobs, **subdirs: Sequence[dict[str, Any]]) -> dict[str, str]:
    names = {subdir.replace("_", "-"): records for subdir, records in subdirs.items()}
    return {
        subdir: ingest(blobs, document(*records, info={"subdir": subdir}), subdir=subdir)
        for subdir, records in names.items()
    }


def stop(*names: str) -> FakePolicy:
    return FakePolicy(lambda facts: facts.name in names or facts.fn in names)
