"""What an advisory file says, whatever the bytes in which SQLite keeps it: its rows in one order and one encoding.

A file that was brought up to date by a delta holds the same rows as one that was fetched whole, in other pages. So what
is signed beside the file's own digest is a digest of its rows.

Source: docs/reference/advisory-file.md, "Rows as bytes".
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

BEGINNING = b"antivenom advisory file, rows 1\n"
HASH_AT_ONCE = 1 << 16
VALUE_MAX_BYTES = 256 << 20
NUMBER_MAX_CHARACTERS = 20

Value = bytes | bytearray | int | float | None
"""A value of a row. Text is a bytearray (UTF-8, as SQLite keeps it), a blob is bytes."""

_real = struct.Struct(">d")


class Readable(Protocol):
    """What rows are read from."""

    def read(self, size: int, /) -> bytes: ...


class RowError(ValueError):
    """Bytes that are no encoded rows."""


@contextlib.contextmanager
def open_rows(path: Path, *, immutable: bool = True) -> Iterator[sqlite3.Connection]:
    """A connection to an SQLite file whose rows have the types of `Value`; nothing of the file itself is executed."""
    mode = "mode=ro&immutable=1" if immutable else "mode=rw"
    address = f"{path.absolute().as_uri()}?{mode}"
    with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
        connection.text_factory = bytearray
        connection.execute("PRAGMA trusted_schema = OFF")
        yield connection


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def tables(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """The columns of the primary key by table, in the order of the tables' names.

    (SQLite calls its own table sqlite_schema since 3.33; a client's may be older.)

    Raises:
        RowError: A table has none: its rows have no order.
    """
    found = {}
    listed = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'"
    )
    for name in sorted(bytes(row[0]).decode() for row in listed):
        columns = connection.execute("SELECT name, pk FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (name,))
        found[name] = tuple(bytes(column).decode() for column, _ in columns)
        if not found[name]:
            raise RowError(f"the table {name} has no primary key")
    return found


def columns_of(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    """The columns of a table, in their order."""
    return tuple(
        bytes(row[0]).decode() for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    )


def schema(connection: sqlite3.Connection) -> bytes:
    """The statements that make the file's tables and indexes, and its format numbers: what a delta never changes."""
    made_by = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name"
    )
    numbers = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return encode_row(numbers) + b"".join(map(encode_row, made_by))


def content_digest(path: Path) -> str:
    """The SHA-256 of everything that the file says, in hex.

    Raises:
        RowError: A table has no primary key.
        sqlite3.DatabaseError: The file is damaged.
    """
    with open_rows(path) as connection:
        return digest_of(connection)


def digest_of(connection: sqlite3.Connection) -> str:
    """The same of an open file."""
    hasher = hashlib.sha256(BEGINNING)
    hasher.update(schema(connection))
    for table, key in tables(connection).items():
        hasher.update(encode_row([bytearray(table.encode())]))
        waiting, length = [], 0
        ordered = ", ".join(map(quoted, key))
        for row in connection.execute(f"SELECT * FROM {quoted(table)} ORDER BY {ordered}"):  # noqa: S608  # quoted
            encoded = encode_row(row)
            waiting.append(encoded)
            length += len(encoded)
            if length >= HASH_AT_ONCE:
                hasher.update(b"".join(waiting))
                waiting, length = [], 0
        hasher.update(b"".join(waiting))
    return hasher.hexdigest()


# -- rows as bytes -----------------------------------------------------------------------------------------------------


def encode_row(row: Iterable[Value]) -> bytes:
    """A row as bytes: each value with its type and length, then a line end. Equal rows have equal bytes."""
    parts = []
    for value in row:
        if isinstance(value, bytearray):
            parts.append(b"s%d:" % len(value) + value)
        elif isinstance(value, bytes):
            parts.append(b"b%d:%b" % (len(value), value))
        elif value is None:
            parts.append(b"n")
        elif isinstance(value, float):
            parts.append(b"f" + _real.pack(value))
        else:
            parts.append(b"i%d:" % value)
    parts.append(b"\n")
    return b"".join(parts)


def read_row(stream: Readable) -> list[Value] | None:
    """The next row of a stream; None at its end.

    Raises:
        RowError: The stream ends inside a row, or holds something else.
    """
    row: list[Value] = []
    while True:
        kind = stream.read(1)
        if kind == b"\n":
            return row
        if kind == b"n":
            row.append(None)
        elif kind == b"f":
            row.append(float(_real.unpack(_read(stream, 8))[0]))
        elif kind == b"i":
            row.append(_read_number(stream))
        elif kind in (b"s", b"b"):
            length = _read_number(stream)
            if not 0 <= length <= VALUE_MAX_BYTES:
                raise RowError("a value is longer than any can be")
            value = _read(stream, length)
            row.append(bytearray(value) if kind == b"s" else value)
        elif not kind and not row:
            return None
        else:
            raise RowError("the rows end in the middle" if not kind else "these are no rows")


def _read(stream: Readable, length: int) -> bytes:
    data = stream.read(length)
    if len(data) != length:
        raise RowError("the rows end in the middle")
    return data


def _read_number(stream: Readable) -> int:
    digits = b""
    while (character := _read(stream, 1)) != b":":
        digits += character
        if len(digits) > NUMBER_MAX_CHARACTERS:
            raise RowError("a number is longer than any can be")
    if not digits.lstrip(b"-").isdigit() or not -(2**63) <= int(digits) < 2**63:
        raise RowError("a number is none")
    return int(digits)
