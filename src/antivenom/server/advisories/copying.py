"""PostgreSQL's COPY between a file and a transaction, so that no row becomes an object of the server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.errors import StorageError

CHUNK_BYTES = 1 << 20


async def copy_in(session: AsyncSession, statement: str, path: Path) -> None:
    """Forward a file to `COPY … FROM STDIN` in chunks.

    Raises:
        StorageError: The file cannot be read.
    """
    connection = await _connection(session)
    try:
        with path.open("rb") as file:
            async with connection.cursor() as cursor, cursor.copy(statement) as copy:
                while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    await copy.write(chunk)
    except OSError as error:
        raise StorageError(f"cannot read a temporary file: {error.strerror or error}") from None


async def copy_out(session: AsyncSession, statement: str, path: Path) -> None:
    """Write what `COPY … TO STDOUT` gives to a file.

    Raises:
        StorageError: The file cannot be written.
    """
    connection = await _connection(session)
    try:
        with path.open("wb") as file:
            async with connection.cursor() as cursor, cursor.copy(statement) as copy:
                async for chunk in copy:
                    file.write(chunk)
    except OSError as error:
        raise StorageError(
            f"cannot write a temporary file: {error.strerror or error}", hint="is the disk full?"
        ) from None


async def _connection(session: AsyncSession) -> AsyncConnection[Any]:
    raw = await (await session.connection()).get_raw_connection()
    connection: AsyncConnection[Any] = raw.driver_connection  # type: ignore[assignment]
    return connection
