"""The records of an upstream's index by name, read when asked: what a selection's dependencies are looked up in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec
from msgspec import Raw

from antivenom.core.conda.records import RecordFacts
from antivenom.core.conda.shards import read_index, read_shard
from antivenom.core.source.dependency_closure import close_specs
from antivenom.core.source.index_document import UpstreamLimits, read_raw_records


class _Candidate(msgspec.Struct):
    """The fields that match specs compare; a record without them is set aside when it is read."""

    name: str
    version: str
    build: str
    build_number: int = 0
    depends: list[str] = []
    license: str | None = None
    license_family: str | None = None


_decode = msgspec.json.Decoder(_Candidate).decode
_decode_packed = msgspec.msgpack.Decoder(_Candidate).decode


class ShardedSubdir(msgspec.Struct, frozen=True):
    """A subdir of which there is no whole index: its shard index, and the shards that were fetched, by hex sha256."""

    index: bytes
    shards: Mapping[str, bytes]


class LackingShards(msgspec.Struct, frozen=True):
    """The shards (sha256 by name) of a subdir without which it is not known what some records need."""

    base_url: str
    keys: dict[str, bytes]


class ClosedSelection(msgspec.Struct, frozen=True):
    """The specs with the dependencies that have to be selected too; complete when no subdir lacks shards."""

    specs: list[str]
    lacking: dict[str, LackingShards]


def close_over_documents(
    specs: list[str], documents: Mapping[str, bytes], sharded: Mapping[str, ShardedSubdir] = {}
) -> ClosedSelection:
    """The specs, and the dependencies that have to be selected too.

    Args:
        documents: `repodata.json` of each subdir that has one, plain or compressed.
        sharded: The subdirs that have shards only. Ask again with what is lacking, until nothing is.

    Raises:
        UpstreamError: One is not an index document, a shard index or a shard.
        DigestMismatchError: A shard's bytes are not the ones that its index names.
        InvalidInputError: One of the specs is not a match spec.
    """
    limits = UpstreamLimits()
    raws = {subdir: read_raw_records(document, limits) for subdir, document in documents.items()}
    indexes = {subdir: read_index(given.index, limits.index_bytes) for subdir, given in sharded.items()}
    lacking: dict[str, dict[str, bytes]] = {subdir: {} for subdir in sharded}

    def read_sharded(subdir: str, name: str) -> Iterator[RecordFacts | None]:
        key = indexes[subdir].shards.get(name)
        if key is None:
            return
        data = sharded[subdir].shards.get(key.hex())
        if data is None:
            lacking[subdir][name] = key
            return
        shard = read_shard(data, key, name, limits.shard_bytes)
        for fn, raw in (*shard.packages.items(), *shard.packages_conda.items()):
            yield _read(fn, subdir, raw, _decode_packed)

    def candidates(name: str) -> list[RecordFacts]:
        by_document = (
            _read(fn, subdir, raw, _decode) for subdir, by_name in raws.items() for fn, raw in by_name.get(name, ())
        )
        by_shard = (record for subdir in sharded for record in read_sharded(subdir, name))
        return [record for record in (*by_document, *by_shard) if record is not None]

    names = {name for by_name in raws.values() for name in by_name}
    names |= {name for index in indexes.values() for name in index.shards}
    closed = close_specs(specs, names, candidates)
    return ClosedSelection(
        closed,
        {subdir: LackingShards(indexes[subdir].info.shards_base_url, keys) for subdir, keys in lacking.items() if keys},
    )


def _read(fn: str, subdir: str, raw: Raw, decode: Callable[[Raw], _Candidate]) -> RecordFacts | None:
    try:
        found = decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return RecordFacts(
        fn,
        subdir,
        found.name.lower(),
        found.version,
        found.build,
        found.build_number,
        found.license or "",
        found.license_family or "",
        depends=tuple(found.depends),
    )
