"""The blob store as the index engine of the core wants it: three synchronous calls."""

from __future__ import annotations

from antivenom.core.errors import DamagedBlobError
from antivenom.server.adapters.blobs import BlobStore


class StoreBlobs:
    """Blobs of the store by key (core.source.packs.IndexBlobs). Call it in a thread or a child process."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def get(self, key: str) -> bytes:
        return self._store.get_sync(key)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        data = self._store.get_range_sync(key, offset, length)
        if len(data) != length:
            raise DamagedBlobError(key)
        return data

    def put(self, key: str, data: bytes) -> None:
        self._store.put_sync(key, data)
