"""Blobs as the content of URLs: a local file if the store is a folder, ranges of an object if it is a bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from antivenom.core.errors import DamagedBlobError
from antivenom.server.adapters.blob_digests import hasher_of, is_digest_of
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.web.answers import Content, FilePart

SMALL_BYTES = 256 * 1024  # a file up to this size is read whole, so that its answer can be cached
OBJECT_CHUNK_BYTES = 4 << 20


async def open_blob(blobs: BlobStore, key: str, *, etag: bytes, content_type: bytes, cache_control: bytes) -> Content:
    """A blob as a content; a small blob with its bytes in memory. It is compared with the digest in its key.

    This process reads a file whole when it opens it for the first time, and when it changed. Of an object that is sent
    whole, the last bytes are held back until all were read: who gets them has the right ones.

    Raises:
        LostBlobError: There is no such blob, or it is damaged.
    """
    path = blobs.local_path(key)
    size = await blobs.check_opened(key)
    if size <= SMALL_BYTES:
        return Content(etag, content_type, cache_control, size, body=await blobs.get(key))
    if path is not None:
        return Content(etag, content_type, cache_control, size, file=FilePart(path, 0, size))

    async def read(start: int, length: int) -> AsyncIterator[bytes]:
        hasher = hasher_of(key) if (start, length) == (0, size) else None
        for offset in range(start, start + length, OBJECT_CHUNK_BYTES):
            wanted = min(OBJECT_CHUNK_BYTES, start + length - offset)
            chunk = await blobs.get_range(key, offset, wanted)
            if hasher is not None:
                hasher.update(chunk)
            is_last = offset + wanted == start + length
            if len(chunk) != wanted or (is_last and hasher is not None and not is_digest_of(key, hasher)):
                raise DamagedBlobError(key)
            yield chunk

    return Content(etag, content_type, cache_control, size, read=read)


async def read_chunks(content: Content, chunk_bytes: int = OBJECT_CHUNK_BYTES) -> AsyncIterator[bytes]:
    """The bytes of a content with a known size, in order."""
    if content.body is not None:
        yield content.body
    elif content.file is not None:
        with content.file.path.open("rb", buffering=0) as file:
            while chunk := await asyncio.to_thread(file.read, chunk_bytes):
                yield chunk
    elif content.read is not None and content.size is not None:
        async for chunk in content.read(0, content.size):
            yield chunk
