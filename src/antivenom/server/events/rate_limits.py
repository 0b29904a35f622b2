"""Counts that all processes share: how often somebody did something lately, by the database's clock.

`limits` decides; this keeps its counts in PostgreSQL. A window begins with the first count and ends a fixed time later.
Counting is one statement that is committed at once: of sixty requests at one moment each gets a count of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from limits import RateLimitItem
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

SWEPT_AT_ONCE: Final = 20  # of windows that are over, with each count: the table stays as small as what is current

_COUNT = text(
    """
    INSERT INTO rate_limit AS known (key, count, expires_at)
    VALUES (:key, :amount, now() + make_interval(secs => :expiry_s))
    ON CONFLICT (key) DO UPDATE SET
        count = CASE WHEN known.expires_at <= now() THEN excluded.count
                     ELSE greatest(0, known.count + excluded.count) END,
        expires_at = CASE WHEN known.expires_at <= now() THEN excluded.expires_at ELSE known.expires_at END
    RETURNING count
    """
)
_SWEEP = text(
    """
    DELETE FROM rate_limit WHERE key IN (
        SELECT key FROM rate_limit WHERE expires_at <= now() LIMIT :most FOR UPDATE SKIP LOCKED
    )
    """
)
_READ = text("SELECT count FROM rate_limit WHERE key = :key AND expires_at > now()")
_EXPIRY = text("SELECT extract(epoch FROM expires_at) FROM rate_limit WHERE key = :key AND expires_at > now()")
_LEFT = text("SELECT ceil(extract(epoch FROM expires_at - now())) FROM rate_limit WHERE key = :key")


class PostgresStorage(Storage):
    """The counts of `limits` in the table `rate_limit`."""

    STORAGE_SCHEME = None

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__()
        self._engine = engine

    @property
    def base_exceptions(self) -> type[Exception]:
        return SQLAlchemyError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, and return the count of the window; never below 0."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            found = await connection.scalar(_COUNT, {"key": _stored(key), "amount": amount, "expiry_s": expiry})
            await connection.execute(_SWEEP, {"most": SWEPT_AT_ONCE})
        return int(found or 0)

    async def get(self, key: str) -> int:
        return int(await self._read(_READ, key) or 0)

    async def get_expiry(self, key: str) -> float:
        return float(await self._read(_EXPIRY, key) or 0)

    async def get_wait_s(self, key: str) -> int:
        """How many seconds are left of the window."""
        return max(1, int(await self._read(_LEFT, key) or 0))

    async def check(self) -> bool:
        return bool(await self._read(text("SELECT 1"), "") == 1)

    async def reset(self) -> int | None:
        async with self._engine.begin() as connection:
            return (await connection.execute(text("DELETE FROM rate_limit"))).rowcount

    async def clear(self, key: str) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(text("DELETE FROM rate_limit WHERE key = :key"), {"key": _stored(key)})

    async def _read(self, statement: Any, key: str) -> Any:
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            return await connection.scalar(statement, {"key": _stored(key)} if key else {})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Somebody did something too often, and may do it again after so many seconds."""

    retry_after_s: int

    @property
    def hint(self) -> str:
        return f"try again in {-(-self.retry_after_s // 60)} min"


class RateLimits:
    """How often somebody did something lately, in fixed windows, by limit and by whom."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._counts = PostgresStorage(engine)
        self._limiter = FixedWindowRateLimiter(self._counts)

    async def count(self, limit: RateLimitItem, *whom: str) -> Refusal | None:
        """Count once more; a refusal when that was once too often."""
        if await self._limiter.hit(limit, *whom):
            return None
        return Refusal(await self._counts.get_wait_s(limit.key_for(*whom)))

    async def take_back(self, limit: RateLimitItem, *whom: str) -> None:
        """Count once less."""
        await self._counts.incr(limit.key_for(*whom), limit.get_expiry(), -1)

    async def forget(self, limit: RateLimitItem, *whom: str) -> None:
        """Begin anew, as if nothing had been counted."""
        await self._counts.clear(limit.key_for(*whom))


def _stored(key: str) -> str:
    """The key as it is stored: of one length, whatever strangers put into it, and without their addresses."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
