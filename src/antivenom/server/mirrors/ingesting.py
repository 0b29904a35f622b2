"""Ingesting an upstream's index: what runs in a child process. No database, no network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from antivenom.core.source.ingest import Ingested, ShardPlan, empty_source, ingest_monolith, ingest_shards, plan_shards
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.index_blobs import StoreBlobs


class IngestRequest(msgspec.Struct, frozen=True):
    subdir: str
    now_ms: int
    previous: str | None
    specs: tuple[str, ...]


def ingest_whole(store: str, request: IngestRequest, path: str, keys: Mapping[str, bytes] | None) -> Ingested:
    """Ingest repodata.json(.zst); `keys` binds names to upstream shards (see ShardPlan.keys)."""
    return ingest_monolith(
        StoreBlobs(BlobStore.open(store)),
        Path(path).read_bytes(),
        subdir=request.subdir,
        now_ms=request.now_ms,
        previous=request.previous,
        specs=request.specs,
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
    )


def make_empty(store: str, subdir: str) -> Ingested:
    """An empty subdir: clients always ask for noarch."""
    return empty_source(StoreBlobs(BlobStore.open(store)), subdir=subdir)
