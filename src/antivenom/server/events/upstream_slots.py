"""How many syncs read one upstream at a time, counted for all processes together.

One host that answers slowly thus holds no more than its share of the job slots. A slot is a lock of a database session
and ends with it, however the process ends. Who gets none does not wait for it in a job slot, but is queued again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from antivenom import demo
from antivenom.server.context import Resources

SYNCS_PER_UPSTREAM: Final = 2
LONGEST_PAUSE_S: Final = 30
_TRY = text("SELECT pg_try_advisory_lock(:key)")


@asynccontextmanager
async def upstream_slot(resources: Resources, url: str) -> AsyncIterator[bool]:
    """Whether a slot of the URL's host was free; it is held while the block runs.

    A path has no upstream to spare, nor has the demo's.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    if not host or parts.scheme == demo.SCHEME:
        yield True
        return
    async with resources.lock_engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        taken = None
        for key in _keys(host):
            if await connection.scalar(_TRY, {"key": key}):
                taken = key
                break
        try:
            yield taken is not None
        finally:
            if taken is not None:
                with contextlib.suppress(SQLAlchemyError, OSError):
                    await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": taken})


def pause_before(tries: int) -> timedelta:
    """How long who found no slot waits before it is queued again: 1 s, 2 s, 4 s, … 30 s."""
    return timedelta(seconds=min(LONGEST_PAUSE_S, 1 << min(tries, 10)))


def _keys(host: str) -> list[int]:
    """The locks of a host's slots, far from the small numbers that other locks of ours have."""
    digests = (hashlib.blake2b(f"upstream {host} {at}".encode(), digest_size=8) for at in range(SYNCS_PER_UPSTREAM))
    return [int.from_bytes(digest.digest(), "big", signed=True) for digest in digests]
