"""What is to be done to one advisory file so that it says what a newer one says: rows that go, rows that come.

A delta is packed with gzip. Unpacked it is: the line `antivenom advisory delta 1`, a row (digest before, digest after),
then rows of one more value at their front: `t` and a table's name, `-` and the key of a row that goes, `+` and a whole
row that comes or changes, at last `.`. Applying it changes a copy; whether that is right is for its content digest to
say (content.py), which is signed.

Source: docs/reference/advisory-file.md, "Deltas".
"""

from __future__ import annotations

import gzip
import io
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from antivenom_client.content import (
    Readable,
    RowError,
    Value,
    columns_of,
    encode_row,
    open_rows,
    quoted,
    read_row,
    schema,
    tables,
)

BEGINNING = b"antivenom advisory delta 1\n"
UNPACKED_MAX_BYTES = 4 << 30
AT_ONCE = 1_000
_TABLE, _GONE, _COMES, _END = (bytearray(sign) for sign in (b"t", b"-", b"+", b"."))


class DeltaError(ValueError):
    """A delta that cannot be made or applied; the whole file can be had instead."""


def write_delta(old: Path, new: Path, to: Path, *, before: str, after: str) -> None:
    """Write what changes `old` (whose content digest is `before`) so that it says what `new` says.

    Raises:
        DeltaError: The two have other tables.
    """
    with open_rows(new) as connection, to.open("wb") as file:
        with open_rows(old) as other:
            if schema(other) != schema(connection):
                raise DeltaError("the two files have other tables")
        connection.execute("ATTACH ? AS old", (f"{old.absolute().as_uri()}?mode=ro&immutable=1",))
        # No file name and no time, so that equal deltas have equal bytes.
        with gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
            packed.write(BEGINNING + encode_row([bytearray(before.encode()), bytearray(after.encode())]))
            for table, key in tables(connection).items():
                packed.write(encode_row([_TABLE, bytearray(table.encode())]))
                name, keys = quoted(table), ", ".join(map(quoted, key))
                statements = (
                    (_GONE, f"SELECT {keys} FROM old.{name} EXCEPT SELECT {keys} FROM main.{name}"),  # noqa: S608
                    (_COMES, f"SELECT * FROM main.{name} EXCEPT SELECT * FROM old.{name}"),  # noqa: S608
                )
                for sign, statement in statements:
                    for row in connection.execute(statement):
                        packed.write(encode_row([sign, *row]))
            packed.write(encode_row([_END]))


def apply_deltas(target: Path, deltas: list[tuple[Path, str, str]]) -> None:
    """Change a file, which nobody else has open, by deltas one after another: (file, digest before, digest after).

    When this fails, the file is spoilt.

    Raises:
        DeltaError: One is damaged, of another file, or larger than any can be.
    """
    try:
        with open_rows(target, immutable=False) as connection:
            connection.execute("PRAGMA journal_mode = OFF")  # a copy: who is interrupted throws it away
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            for path, before, after in deltas:
                with path.open("rb") as file:
                    _apply(connection, _Bounded(file), before, after)
            connection.execute("COMMIT")
            free, pages = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count")
            )
            if free * 4 > pages:
                connection.execute("VACUUM")
    except (
        sqlite3.Error,
        RowError,
        EOFError,
        gzip.BadGzipFile,
        zlib.error,
        OverflowError,
        UnicodeDecodeError,
    ) as error:
        raise DeltaError(f"the delta cannot be applied: {error}") from None


def _apply(connection: sqlite3.Connection, stream: Readable, before: str, after: str) -> None:
    if stream.read(len(BEGINNING)) != BEGINNING:
        raise DeltaError("it is no delta, or of a newer format")
    if read_row(stream) != [bytearray(before.encode()), bytearray(after.encode())]:
        raise DeltaError("it is a delta of other files")
    known = tables(connection)
    go, come, places = "", "", (0, 0)
    for sign, rows in _runs(stream):
        if sign == _TABLE:
            ((name,),) = rows
            table = bytes(name).decode() if isinstance(name, bytearray) else ""
            if table not in known:
                raise DeltaError("it changes a table that is not there")
            columns, key = columns_of(connection, table), known[table]
            places = (len(key), len(columns))
            go = f"DELETE FROM {quoted(table)} WHERE " + " AND ".join(f"{quoted(column)} IS ?" for column in key)  # noqa: S608
            come = f"INSERT OR REPLACE INTO {quoted(table)} VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
            continue
        wanted = places[0] if sign == _GONE else places[1]
        if not wanted or any(len(row) != wanted for row in rows):
            raise DeltaError("its rows have other columns")
        connection.executemany(go if sign == _GONE else come, [tuple(map(_stored, row)) for row in rows])


def _runs(stream: Readable) -> Iterator[tuple[bytearray, list[list[Value]]]]:
    """Rows of one sign that follow each other, a thousand at most; a table's name comes alone."""
    sign, waiting = bytearray(), list[list[Value]]()
    while (row := read_row(stream)) is not None and row:
        first = row[0]
        if first not in (_TABLE, _GONE, _COMES, _END) or not isinstance(first, bytearray):
            break
        if waiting and (first != sign or first == _TABLE or len(waiting) >= AT_ONCE):
            yield sign, waiting
            waiting = []
        sign = first
        if sign == _END:
            if len(row) > 1 or stream.read(1):
                break
            return
        if sign == _TABLE and len(row) != 2:
            break
        waiting.append(row[1:])
    raise RowError("the delta ends in the middle" if row is None else "it holds something that is no row of a delta")


def _stored(value: Value) -> str | Value:
    return value.decode() if isinstance(value, bytearray) else value


class _Bounded:
    """A stream that refuses to give more than any delta holds: gzip packs zeros a thousand to one."""

    def __init__(self, file: BinaryIO) -> None:
        self._stream = io.BufferedReader(gzip.GzipFile(fileobj=file), 1 << 16)
        self._left = UNPACKED_MAX_BYTES

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise RowError("it is larger than any delta")
        return data
