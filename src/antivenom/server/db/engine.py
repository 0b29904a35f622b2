"""The connection pool."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from antivenom.core.errors import InvalidInputError


def database_url(text: str) -> URL:
    """The URL as SQLAlchemy wants it; every accepted scheme means psycopg 3.

    Raises:
        InvalidInputError: There is none.
    """
    if not text:
        raise InvalidInputError(
            "ANTIVENOM_DATABASE_URL is not set",
            hint="set it to postgresql://USER:PASSWORD@HOST/NAME, or start with a database of its own: antivenom up",
        )
    return make_url(text).set(drivername="postgresql+psycopg")


def create_engine(text: str, *, connections: int) -> AsyncEngine:
    """A pool of at most `connections` connections; one that broke is replaced at its next use."""
    return create_async_engine(
        database_url(text),
        pool_size=max(2, connections // 2),
        max_overflow=connections - max(2, connections // 2),
        pool_pre_ping=True,
        pool_timeout=15,
        connect_args={"application_name": "antivenom", "connect_timeout": 10},
    )


def create_lock_engine(url: URL) -> AsyncEngine:
    """Connections outside of the pool, for locks that are held while something long runs.

    Held in the pool they would starve the short transactions of the very work that they are held for.
    """
    return create_async_engine(
        url, poolclass=NullPool, connect_args={"application_name": "antivenom locks", "connect_timeout": 10}
    )
