"""The match index that this process holds open. Opening one takes a fifth of a second with every real feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from antivenom.core.matching.match import MatchIndex
from antivenom.knowledge import built_in
from antivenom.server.adapters.blobs import BlobStore


class _OpenIndex:
    """The index, and what guards it: it is not for two threads at once."""

    def __init__(self) -> None:
        self.key = ""
        self.index: MatchIndex | None = None
        self.lock = asyncio.Lock()


_open: dict[str, _OpenIndex] = {}


@asynccontextmanager
async def open_index(blobs: BlobStore, index_key: str) -> AsyncIterator[MatchIndex]:
    """The index of that blob, for the caller alone while the context is open."""
    held = _open.setdefault(blobs.url, _OpenIndex())
    async with held.lock:
        if held.index is None or held.key != index_key:
            data = await blobs.get(index_key)
            held.index, held.key = await asyncio.to_thread(MatchIndex.load, data, built_in()), index_key
        yield held.index
