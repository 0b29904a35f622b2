"""Keeps blobs from being deleted while somebody builds on them.

Blobs are shared by all channels, and a blob that is there already is not written again: so what the collector finds to
be unneeded may be needed a moment later by a build that has not named it yet. Builders hold a lock together; the
collector deletes only while it holds the same lock alone. It waits for the builders that run, and those that come
meanwhile wait for it: so it waits for a bounded time, then goes away and comes back later.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from psycopg.errors import LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from antivenom.core.errors import UnavailableError

_LOCK = 0x626C6F62  # any number that no other lock of ours has
WAIT_S = 20.0  # builds that come while the collector waits are held up for as long


CheckHeld = Callable[[AsyncSession], Awaitable[None]]
_held: ContextVar[CheckHeld | None] = ContextVar("blobs_in_use", default=None)


@asynccontextmanager
async def blobs_in_use(engine: AsyncEngine) -> AsyncIterator[CheckHeld]:
    """Let no blob be deleted while the block runs; any number of blocks may run at once, also inside one another.

    Gives a check to await in the transaction that names what was built. It raises UnavailableError when the lock was
    lost meanwhile (the database restarted), for then a blob may be missing.
    """
    if (outer := _held.get()) is not None:  # a second lock would queue behind a collector that waits for the first
        yield outer
        return
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SELECT pg_advisory_lock_shared(:key)"), {"key": _LOCK})

        async def check_held(session: AsyncSession) -> None:
            # From here to the commit this transaction holds the lock too; until here the connection did, if it lives.
            await session.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _LOCK})
            try:
                await connection.scalar(text("SELECT 1"))
            except (SQLAlchemyError, OSError):
                raise UnavailableError(
                    "the database went away while blobs were in use", hint="it is tried again"
                ) from None

        token = _held.set(check_held)
        try:
            yield check_held
        finally:
            _held.reset(token)
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.execute(text("SELECT pg_advisory_unlock_shared(:key)"), {"key": _LOCK})


@asynccontextmanager
async def blobs_for_deletion(engine: AsyncEngine, *, wait_s: float = WAIT_S) -> AsyncIterator[bool]:
    """Whether those who built on blobs have ended within `wait_s`; if so, nobody begins to while the block runs."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        is_alone = await _lock_alone(connection, wait_s)
        try:
            yield is_alone
        finally:
            if is_alone:
                with contextlib.suppress(SQLAlchemyError, OSError):
                    await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})


async def _lock_alone(connection: AsyncConnection, wait_s: float) -> bool:
    await connection.execute(text(f"SET lock_timeout = {max(1, round(wait_s * 1000))}"))
    try:
        await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            return False
        raise
    finally:
        with contextlib.suppress(SQLAlchemyError, OSError):
            await connection.execute(text("RESET lock_timeout"))
    return True
