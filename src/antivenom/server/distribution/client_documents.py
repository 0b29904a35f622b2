"""Documents that are derived from publication maps and the upstream's own files, and repodata.json itself.

A document is derived in a child process when it is first asked for, and stored under the digest of its bytes. What it
is made of names a small blob that holds this key: so equal documents are stored once, and damage to one is noticed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import zstandard

from antivenom.core.errors import LostBlobError, MissingBlobError
from antivenom.core.publication.client_documents import (
    POINTER_BYTES_MAX,
    ChannelKeys,
    derive_document,
    document_key,
    read_pointer,
)
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import READABLE_FORMATS, load_publication
from antivenom.core.publishing.publication_writer import assemble_monolith
from antivenom.core.source.packs import content_key
from antivenom.server.adapters.blobs import BlobStore, check_bytes
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.context import Resources
from antivenom.server.web.answers import Content
from antivenom.server.web.blob_content import read_chunks

SMALL_RECORDS = 5000
SMALL_BYTES = 1 << 19  # a plain document up to this size is kept in memory, so that its answer can be cached
WINDOW_BYTES = 1 << 20

_EMPTY_REPODATA = json.dumps(
    {"info": {"subdir": "noarch"}, "packages": {}, "packages.conda": {}, "removed": [], "repodata_version": 1}
).encode()
_EMPTY_RUN_EXPORTS = json.dumps(
    {"info": {"subdir": "noarch", "version": 1}, "packages": {}, "packages.conda": {}}
).encode()
EMPTY_SUBDIR = {
    "repodata.json": _EMPTY_REPODATA,
    "repodata.json.zst": zstandard.compress(_EMPTY_REPODATA),
    "current_repodata.json": _EMPTY_REPODATA,
    "current_repodata.json.zst": zstandard.compress(_EMPTY_REPODATA),
    "run_exports.json": _EMPTY_RUN_EXPORTS,
    "run_exports.json.zst": zstandard.compress(_EMPTY_RUN_EXPORTS),
}
"""What `noarch` serves in a channel that does not publish it: clients require it."""


class ClientDocuments:
    """Finds the blob of a derived document, and derives the document once if there is none."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._known: dict[str, str] = {}
        self._making: dict[str, asyncio.Task[None]] = {}

    def forget(self, document: str) -> None:
        """Check again whether a document is stored."""
        self._known = {key: known for key, known in self._known.items() if known != document}

    async def find(self, fn: str, channel: ChannelKeys, records: int) -> str:
        """The blob key of a document; `records` says how large what it is made of is."""
        key = document_key(fn, channel)
        if (known := self._known.get(key)) is not None:
            return known
        document = await self._find_stored(key)
        if document is None:
            task = self._making.get(key)
            if task is None:
                task = asyncio.create_task(self._make(fn, key, channel, records))
                self._making[key] = task
                task.add_done_callback(lambda _: self._making.pop(key, None))
            await asyncio.shield(task)
            document = await self._find_stored(key)
        if document is None:
            raise MissingBlobError(key)
        self._known[key] = document
        return document

    async def _find_stored(self, key: str) -> str | None:
        """The document of a key, if it is stored and whole. An earlier release kept the document itself there."""
        blobs = self._resources.blobs
        try:
            document = read_pointer(await blobs.get_range(key, 0, POINTER_BYTES_MAX))
            if document is not None:
                await blobs.check_opened(document)
        except LostBlobError:
            return None
        return document

    async def restore_whole(self, published: PublicationIndex) -> None:
        """Put the whole index of a map together again: that of a superseded publication is not kept."""
        key = published.monolith
        task = self._making.get(key)
        if task is None:
            task = asyncio.create_task(
                self._resources.cpu.run(make_whole, self._resources.blobs.url, published.key, key)
            )
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        await asyncio.shield(task)

    async def _make(self, fn: str, key: str, channel: ChannelKeys, records: int) -> None:
        """Derive a document. For a small channel a thread does it: a child process may be busy, or slower to start."""
        arguments = (self._resources.blobs.url, fn, key, channel)
        if records <= SMALL_RECORDS:
            await asyncio.to_thread(make_document, *arguments)
        else:
            await self._resources.cpu.run(make_document, *arguments)


def make_document(store_url: str, fn: str, key: str, channel: ChannelKeys) -> None:
    """Derive one document and store it; runs in a child process."""
    store = BlobStore.open(store_url)
    data = derive_document(StoreBlobs(store), fn, channel)
    document = content_key("document", data)
    store.put_sync(document, data)
    store.put_sync(key, document.encode())


def make_whole(store_url: str, index_key: str, key: str) -> None:
    """Store the whole index of a publication map under its key; runs in a child process.

    Raises:
        DamagedBlobError: What the map is put together from makes other bytes than those that were published.
    """
    store = BlobStore.open(store_url)
    blobs = StoreBlobs(store)
    published = load_publication(blobs, index_key, formats=READABLE_FORMATS)
    store.put_sync(key, check_bytes(key, assemble_monolith(blobs, published).data))


async def decompressed(content: Content, *, etag: bytes, content_type: bytes, small_bytes: int) -> Content:
    """A one-frame `.zst` content, decompressed: in memory up to `small_bytes`, else while it is sent.

    Its size is in the frame's header.
    """
    head = await anext(read_chunks(content, 64), b"")
    size = zstandard.frame_content_size(head)
    if content.body is not None and 0 <= size <= small_bytes:
        body = zstandard.ZstdDecompressor().decompress(content.body)
        return Content(etag, content_type, content.cache_control, size, body, last_modified=content.last_modified)

    async def read(start: int, length: int) -> AsyncIterator[bytes]:
        end = None if length < 0 else start + length
        async for chunk in _slice(_decompress(content), start, end):
            yield chunk

    known = size if size >= 0 else None
    return Content(etag, content_type, content.cache_control, known, read=read, last_modified=content.last_modified)


async def _decompress(content: Content) -> AsyncIterator[bytes]:
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    async for chunk in read_chunks(content, WINDOW_BYTES // 4):
        if out := await asyncio.to_thread(decompressor.decompress, chunk):
            yield out


async def _slice(chunks: AsyncIterator[bytes], start: int, end: int | None) -> AsyncIterator[bytes]:
    """The bytes from `start` to `end` of a stream of chunks."""
    position = 0
    async for chunk in chunks:
        first = max(start - position, 0)
        last = len(chunk) if end is None else min(end - position, len(chunk))
        if first < last:
            yield chunk[first:last]
        position += len(chunk)
        if end is not None and position >= end:
            return
