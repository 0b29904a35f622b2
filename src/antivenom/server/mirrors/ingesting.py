"""Ingesting an upstream's index: what runs in a child process. No database, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from antivenom.core.conda.records import RecordFacts
from antivenom.core.errors import LostBlobError
from antivenom.core.source.dependency_closure import UnmetDependency, list_idle, list_unmet
from antivenom.core.source.document_records import ClosedSelection, ShardedSubdir, close_over_documents
from antivenom.core.source.ingest import (
    Ingested,
    ShardPlan,
    empty_source,
    ingest_monolith,
    ingest_shards,
    plan_shards,
    without_gc,
)
from antivenom.core.source.source_map import load_source, read_depends, read_facts
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.publications.build_publication import check_map


class IngestRequest(msgspec.Struct, frozen=True):
    subdir: str
    now_ms: int
    previous: str | None
    specs: tuple[str, ...]
    asked: tuple[str, ...]
    """Those of the specs that the mirror's settings name; the others are for dependencies."""


def ingest_whole(store: str, request: IngestRequest, path: str, keys: Mapping[str, bytes] | None) -> Ingested:
    """Ingest repodata.json(.zst); `keys` binds names to upstream shards (see ShardPlan.keys)."""
    return ingest_monolith(
        StoreBlobs(BlobStore.open(store)),
        Path(path).read_bytes(),
        subdir=request.subdir,
        now_ms=request.now_ms,
        previous=request.previous,
        specs=request.specs,
        asked=request.asked,
        upstream_keys=keys,
    )


def plan_sharded(store: str, request: IngestRequest, path: str) -> ShardPlan:
    """Which shards of the upstream are new."""
    return plan_shards(
        StoreBlobs(BlobStore.open(store)),
        Path(path).read_bytes(),
        subdir=request.subdir,
        previous=request.previous,
        specs=request.specs,
        asked=request.asked,
    )


def ingest_sharded(store: str, request: IngestRequest, path: str, shards: Mapping[str, bytes]) -> Ingested:
    """Ingest a shard index and the changed shards (by sha256 hex)."""
    return ingest_shards(
        StoreBlobs(BlobStore.open(store)),
        Path(path).read_bytes(),
        shards,
        subdir=request.subdir,
        now_ms=request.now_ms,
        previous=request.previous,
        specs=request.specs,
        asked=request.asked,
    )


def close_documents(
    specs: list[str], paths: Mapping[str, str], indexes: Mapping[str, str], shards: Mapping[str, Mapping[str, bytes]]
) -> ClosedSelection:
    """The specs, and the dependencies that have to be selected too.

    `paths` are whole indexes by subdir, `indexes` the shard indexes of subdirs without one, `shards` what was fetched.
    """
    sharded = {
        subdir: ShardedSubdir(Path(path).read_bytes(), shards.get(subdir, {})) for subdir, path in indexes.items()
    }
    with without_gc():
        return close_over_documents(specs, {subdir: Path(path).read_bytes() for subdir, path in paths.items()}, sharded)


def list_unmet_of(
    store: str, sources: Mapping[str, str], specs: Sequence[str]
) -> tuple[list[str], list[UnmetDependency]]:
    """Of some source maps (keys by subdir): the specs that match no record, and the dependencies that none meets."""
    blobs = StoreBlobs(BlobStore.open(store))
    records: dict[str, list[RecordFacts]] = {}
    with without_gc():
        for subdir, key in sources.items():
            for bucket in load_source(blobs, key).buckets:
                for facts, depends in zip(read_facts(blobs, bucket), read_depends(blobs, bucket), strict=True):
                    records.setdefault(facts.name, []).extend(facts.record_facts(subdir, depends))
        return list_idle(specs, records), list_unmet(records)


def list_lost(store: str, sources: Mapping[str, str]) -> dict[str, LostBlobError]:
    """The subdirs whose source map, or something that it names, is missing or damaged, and what that is."""
    opened = BlobStore.open(store)
    lost: dict[str, LostBlobError] = {}
    for subdir, key in sources.items():
        try:
            check_map(opened, key)
        except LostBlobError as error:
            lost[subdir] = error
    return lost


def make_empty(store: str, subdir: str) -> Ingested:
    """An empty subdir: clients always ask for noarch."""
    return empty_source(StoreBlobs(BlobStore.open(store)), subdir=subdir)
