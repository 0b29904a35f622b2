"""Keeps blobs from being deleted while somebody builds on them.

Blobs are shared by all channels, and a blob that is there already is not written again: so what the collector finds to
be unneeded may be needed a moment later by a build that has not named it yet. Builders hold a lock together; the
collector deletes only while it holds the same lock alone, and never waits for it: a build may take minutes, and no
other build should queue behind a collector that waits.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from antivenom.core.errors import UnavailableError
from antivenom.server.context import Resources

_LOCK = 0x626C6F62  # any number that no other lock of ours has


CheckHeld = Callable[[], Awaitable[None]]


@asynccontextmanager
async def blobs_in_use(resources: Resources) -> AsyncIterator[CheckHeld]:
    """Let no blob be deleted while the block runs; any number of blocks may run at once.

    Gives a check to await before what was built is committed. It raises UnavailableError when the lock was lost
    meanwhile (the database restarted), for then a blob may be missing.
    """
    async with resources.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SELECT pg_advisory_lock_shared(:key)"), {"key": _LOCK})

        async def check_held() -> None:
            try:
                await connection.scalar(text("SELECT 1"))
            except (SQLAlchemyError, OSError):
                raise UnavailableError(
                    "the database went away while blobs were in use", hint="it is tried again"
                ) from None

        try:
            yield check_held
        finally:
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.execute(text("SELECT pg_advisory_unlock_shared(:key)"), {"key": _LOCK})


@asynccontextmanager
async def blobs_for_deletion(resources: Resources) -> AsyncIterator[bool]:
    """Whether nobody builds on blobs now; if so, nobody begins to while the block runs."""
    async with resources.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        is_alone = bool(await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}))
        try:
            yield is_alone
        finally:
            if is_alone:
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
