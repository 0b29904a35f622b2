"""The advisory file: all that matching knows, as one SQLite file that is read and never changed.

Opening it costs a look at its first bytes; nothing is read before it is asked for. A new file takes the place of an old
one by a rename, so whoever has the old one open goes on reading it.

Source: docs/reference/advisory-file.md (tables, columns, meaning); SQLite's "Database File Format", section 1.3.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

try:  # what is behind `sqlite3`: the module itself imports `datetime` and costs a fast scan as much as all reading
    from _sqlite3 import Connection, Error, connect
except ImportError:  # pragma: no cover  # another Python than CPython
    from sqlite3 import Connection, Error, connect

from antivenom_client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FilePath = str | os.PathLike[str]
APPLICATION_ID = 0x41764146  # "AvAF"
FORMAT = 1
KNOWN_FORMATS = (1,)
TABLES = {
    "meta": "key TEXT PRIMARY KEY, value TEXT NOT NULL",
    "feeds": "name TEXT PRIMARY KEY, kind TEXT NOT NULL, synced_at TEXT NOT NULL, entries INTEGER NOT NULL",
    "vulnerabilities": (
        "number INTEGER PRIMARY KEY, ids TEXT NOT NULL, severity INTEGER NOT NULL, cvss REAL,"
        " disputed INTEGER NOT NULL, published TEXT NOT NULL, modified TEXT NOT NULL, summary TEXT NOT NULL,"
        " ecosystems TEXT NOT NULL, other_parts TEXT NOT NULL, platforms TEXT NOT NULL,"
        " told_on TEXT NOT NULL"
    ),
    "scores": (
        "number INTEGER PRIMARY KEY, risk REAL NOT NULL, epss REAL, kev INTEGER NOT NULL, ransomware INTEGER NOT NULL"
    ),
    "plans": (
        "name TEXT NOT NULL, channel TEXT NOT NULL, assessed INTEGER NOT NULL, reason TEXT NOT NULL,"
        " undecided TEXT NOT NULL, lines TEXT NOT NULL, PRIMARY KEY (name, channel)"
    ),
    "spans": "name TEXT NOT NULL, channel TEXT NOT NULL, spans TEXT NOT NULL, PRIMARY KEY (name, channel)",
    "packages": "key TEXT PRIMARY KEY, packages BLOB NOT NULL",
    "conda_names": "name TEXT PRIMARY KEY, names BLOB NOT NULL",
    "products": "purl TEXT PRIMARY KEY, products TEXT NOT NULL",
    "knowledge": "name TEXT PRIMARY KEY, value BLOB NOT NULL",
}
"""The columns of each table. Rows of equal primary keys are the same thing in two files."""
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_PAGE_BYTES = 4096


class UnusableFile(ClientError):
    """The advisory file cannot be read."""

    def __init__(self, message: str, hint: str = "get it again: antivenom feed pull") -> None:
        super().__init__(message, hint)


class AdvisoryFile:
    """An advisory file, opened for reading. Not for two threads at once."""

    def __init__(self, path: str, connection: Connection) -> None:
        self.path = path
        self.connection = connection

    @classmethod
    def open(cls, path: FilePath) -> AdvisoryFile:
        """Open a file.

        Raises:
            UnusableFile: There is none, it is no advisory file, of a format that is not known, or not whole.
        """
        text = os.fspath(path)
        check_header(text)
        address = "file:" + "".join(_quoted(c) for c in os.path.abspath(text)) + "?mode=ro&immutable=1"
        try:
            connection = connect(address, uri=True, check_same_thread=False)
            connection.execute("SELECT key FROM meta LIMIT 1").fetchone()
        except Error as error:
            raise UnusableFile(f"{text} is damaged: {error}") from None
        return cls(text, connection)

    def rows(self, sql: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """What a query finds.

        Raises:
            UnusableFile: The file is damaged.
        """
        try:
            return self.connection.execute(sql, arguments).fetchall()
        except (Error, UnicodeDecodeError) as error:
            raise UnusableFile(f"{self.path} is damaged: {error}") from None

    def meta(self) -> dict[str, str]:
        """What the file says of itself: `made_at` (RFC 3339, UTC), `engine`, `ecosystems`."""
        return dict(self.rows("SELECT key, value FROM meta"))

    def feeds(self) -> list[tuple[str, str, str, int]]:
        """(name, kind, when it was synced last, entries) of every feed that it was made from."""
        return self.rows("SELECT name, kind, synced_at, entries FROM feeds ORDER BY name")

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()


def _quoted(character: str) -> str:
    return f"%{ord(character):02x}" if character in "%?#" else character


def check_header(path: str) -> None:
    """Look at the first bytes of a file.

    Raises:
        UnusableFile: There is none, it is no advisory file, of a format that is not known, or not whole.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}") from None
    if len(head) < _HEADER_BYTES or not head.startswith(_MAGIC):
        raise UnusableFile(f"{path} is no advisory file: it is no SQLite database")
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise UnusableFile(f"{path} is no advisory file, but another program's SQLite database")
    version = int.from_bytes(head[60:64], "big")
    if version not in KNOWN_FORMATS:
        known = ", ".join(map(str, KNOWN_FORMATS))
        raise UnusableFile(
            f"{path} is an advisory file of format {version}; this antivenom knows {known}", "update antivenom"
        )
    page_bytes = int.from_bytes(head[16:18], "big")
    whole = (65_536 if page_bytes == 1 else page_bytes) * int.from_bytes(head[28:32], "big")
    if size < whole or not whole:
        raise UnusableFile(f"{path} is not whole: {size:,} of {whole:,} bytes")


def write(path: FilePath, tables: Mapping[str, Iterable[Sequence[Any]]]) -> None:
    """Write an advisory file; it takes the place of another one at once and as a whole.

    Equal rows give equal bytes, by one version of SQLite.

    Args:
        tables: The rows of each of `TABLES`, ordered by key.
    """
    text = os.fspath(path)
    being_written = f"{text}.{os.getpid()}.part"
    try:
        if os.path.exists(being_written):
            os.unlink(being_written)
        _fill(being_written, tables)
        with open(being_written, "rb") as file:
            os.fsync(file.fileno())
        os.replace(being_written, text)
    finally:
        if os.path.exists(being_written):
            os.unlink(being_written)


def _fill(path: str, tables: Mapping[str, Iterable[Sequence[Any]]]) -> None:
    connection = connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("BEGIN")
        for name, columns in TABLES.items():
            without = "" if columns.startswith("number INTEGER") else " WITHOUT ROWID"
            connection.execute(f"CREATE TABLE {name} ({columns}){without}")
            count = len(connection.execute(f"PRAGMA table_info({name})").fetchall())
            places = ", ".join("?" * count)
            insert = f"INSERT INTO {name} VALUES ({places})"  # noqa: S608  # a name of `TABLES`
            connection.executemany(insert, tables.get(name, ()))
        connection.execute("COMMIT")
    finally:
        connection.close()
