"""Naming what a sync stores as soon as it is stored.

A sync may wait for its upstream for hours. What it has stored by then must not be collected meanwhile, and collections
must not wait for so long: so the mirror's row names each blob before the next one is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from antivenom.server.context import SYSTEM, Resources
from antivenom.server.db.blob_guard import blobs_in_use
from antivenom.server.mirrors import queries


class StoredNames:
    """Names what the sync of one mirror stores, until the mirror's state names it."""

    def __init__(self, resources: Resources, mirror_id: int) -> None:
        self._resources, self._mirror_id = resources, mirror_id

    @asynccontextmanager
    async def storing(self) -> AsyncIterator[list[str]]:
        """Let no blob be deleted while the block runs. It adds to the list the keys that are to be named.

        Raises:
            UnavailableError: The database went away meanwhile, so a blob may be missing.
        """
        async with blobs_in_use(self._resources.lock_engine) as check_held:
            keys: list[str] = []
            yield keys
            async with self._resources.context(SYSTEM) as ctx:
                await check_held(ctx.session)
                await queries.name_stored(ctx.session, self._mirror_id, keys)
