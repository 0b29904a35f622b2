"""Blobs as the content of URLs: a local file if the store is a folder, ranges of an object if it is a bucket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from antivenom.core.errors import NotFoundError
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.web.answers import Content, FilePart

SMALL_BYTES = 256 * 1024  # a file up to this size is read whole, so that its answer can be cached
OBJECT_CHUNK_BYTES = 4 << 20


async def open_blob(blobs: BlobStore, key: str, *, etag: bytes, content_type: bytes, cache_control: bytes) -> Content:
    """A blob as a content; a small blob with its bytes in memory.

    Raises:
        NotFoundError: There is no such blob.
    """
    path = blobs.local_path(key)
    size = await blobs.size(key) if path is None else _file_size(path)
    if size is None:
        raise NotFoundError(f"there is no blob {key!r}")
    if size <= SMALL_BYTES:
        return Content(etag, content_type, cache_control, size, body=await blobs.get(key))
    if path is not None:
        return Content(etag, content_type, cache_control, size, file=FilePart(path, 0, size))

    async def read(start: int, length: int) -> AsyncIterator[bytes]:
        for offset in range(start, start + length, OBJECT_CHUNK_BYTES):
            yield await blobs.get_range(key, offset, min(OBJECT_CHUNK_BYTES, start + length - offset))

    return Content(etag, content_type, cache_control, size, read=read)


def _file_size(path: os.PathLike[str]) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


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
