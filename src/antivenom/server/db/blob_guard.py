"""Keeps blobs from being deleted while somebody builds on them.

Blobs are shared by all channels, and a blob that is there already is not written again: so what the collector finds to
be unneeded may be needed a moment later by a build that has not named it yet. Builders hold a lock together; the
collector deletes only while it holds the same lock alone.

Until it has the lock, nobody notices the collector: it asks for it again and again and never stands in PostgreSQL's
queue, where everybody behind it would wait too, also a builder who is about to commit and for whom it waits. If
builders leave no gap for `WAIT_S`, it goes away and comes back later. Builders wait only while it deletes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from antivenom.core.errors import UnavailableError

_LOCK = 0x626C6F62  # any number that no other lock of ours has
WAIT_S = 120.0
ASK_EVERY_S = 0.05

CheckHeld = Callable[[AsyncSession], Awaitable[None]]
CheckAlone = Callable[[], Awaitable[None]]
_held: ContextVar[CheckHeld | None] = ContextVar("blobs_in_use", default=None)


@asynccontextmanager
async def blobs_in_use(engine: AsyncEngine) -> AsyncIterator[CheckHeld]:
    """Let no blob be deleted while the block runs; any number of blocks may run at once, also inside one another.

    Gives a check to await in the transaction that names what was built. It raises UnavailableError when the lock was
    lost meanwhile (the database restarted), for then a blob may be missing.
    """
    if (outer := _held.get()) is not None:  # one connection is enough
        yield outer
        return
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SELECT pg_advisory_lock_shared(:key)"), {"key": _LOCK})

        async def check_held(session: AsyncSession) -> None:
            # From here to the commit this transaction holds the lock too; until here the connection did, if it lives.
            await session.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _LOCK})
            await _check_alive(connection, "blobs were in use")

        token = _held.set(check_held)
        try:
            yield check_held
        finally:
            _held.reset(token)
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.execute(text("SELECT pg_advisory_unlock_shared(:key)"), {"key": _LOCK})


@asynccontextmanager
async def blobs_for_deletion(engine: AsyncEngine, *, wait_s: float = WAIT_S) -> AsyncIterator[CheckAlone]:
    """Wait until nobody builds on blobs; then nobody begins to while the block runs.

    Gives a check to await before each deletion. It raises UnavailableError when the lock was lost meanwhile.

    Raises:
        UnavailableError: Somebody built on blobs all the time for `wait_s`.
    """
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        until = time.monotonic() + wait_s
        while not await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
            if time.monotonic() >= until:
                raise UnavailableError("blobs are in use by a sync or a publication", hint="it is tried again")
            await asyncio.sleep(ASK_EVERY_S)

        async def check_alone() -> None:
            await _check_alive(connection, "blobs were deleted")

        try:
            yield check_alone
        finally:
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})


async def _check_alive(connection: AsyncConnection, doing: str) -> None:
    """Raise UnavailableError when the connection that holds the lock is gone, and the lock with it."""
    try:
        await connection.scalar(text("SELECT 1"))
    except (SQLAlchemyError, OSError):
        raise UnavailableError(f"the database went away while {doing}", hint="it is tried again") from None
