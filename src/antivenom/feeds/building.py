"""Puts feeds together as a server does, without one: their rows go into a temporary database, then into a match index.

Which row of several counts is what `server/advisories/storing.py` decides for a server: of one advisory of a feed the
newest, of EPSS scores those of the newest date, of everything else the one that came last.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Set
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from antivenom.core.feeds.entry import (
    ExploitedEntry,
    ExploitScore,
    KnowledgeEntry,
    NameEntry,
    ProductEntry,
    Row,
    instant,
)
from antivenom.core.matching.advisories import Advisory
from antivenom.core.matching.advisory_prose import join_prose, package_keys, split_prose
from antivenom.core.matching.compile_index import Exploited, build_index
from antivenom.core.matching.identity import join_maps
from antivenom.core.matching.knowledge import assemble
from antivenom.core.matching.parts import PartsOfProjects
from antivenom.core.matching.platforms import mentions_platform
from antivenom.knowledge import entries

TABLES = """
CREATE TABLE advisory (feed INTEGER, id TEXT, modified INTEGER, keys BLOB, body BLOB, prose BLOB,
    PRIMARY KEY (feed, id)) WITHOUT ROWID;
CREATE TABLE named (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE score (cve TEXT PRIMARY KEY, score REAL, date TEXT) WITHOUT ROWID;
CREATE TABLE exploited (cve TEXT PRIMARY KEY, ransomware INTEGER) WITHOUT ROWID;
CREATE TABLE name (feed INTEGER, channel TEXT, conda_name TEXT, ecosystem TEXT, names BLOB,
    PRIMARY KEY (feed, channel, conda_name, ecosystem)) WITHOUT ROWID;
CREATE TABLE product (feed INTEGER, ecosystem TEXT, name TEXT, products BLOB, PRIMARY KEY (feed, ecosystem, name))
    WITHOUT ROWID;
CREATE TABLE knowledge (feed INTEGER, id TEXT, body BLOB, PRIMARY KEY (feed, id)) WITHOUT ROWID;
"""
ADD_ADVISORY = """INSERT INTO advisory VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET modified = excluded.modified,
    keys = excluded.keys, body = excluded.body, prose = excluded.prose WHERE excluded.modified >= advisory.modified"""
ADD_SCORE = """INSERT INTO score VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET score = excluded.score, date = excluded.date
    WHERE excluded.date >= score.date"""
EXPLOITATION = """SELECT n.id, s.score, e.cve IS NOT NULL, coalesce(e.ransomware, 0)
    FROM named n LEFT JOIN score s ON s.cve = n.id LEFT JOIN exploited e ON e.cve = n.id
    WHERE s.cve IS NOT NULL OR e.cve IS NOT NULL"""

_NEVER = -(2**62)  # before every date
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.msgpack.Encoder().encode
_texts = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_advisory = msgspec.msgpack.Decoder(Advisory).decode
_knowledge = msgspec.msgpack.Decoder(KnowledgeEntry).decode


class FeedCollection:
    """Rows of feeds in a file; a feed is known by the number of its place."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[FeedCollection]:
        """An empty collection in a new file, which nobody needs afterwards."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + TABLES)
            connection.execute("BEGIN")
            yield cls(connection)

    def add(self, feed: int, row: Row) -> None:
        """Add one row of a feed."""
        run = self._connection.execute
        if isinstance(row, Advisory):
            body, prose = split_prose(row)
            keys = _encode(package_keys(row))
            run(ADD_ADVISORY, (feed, row.id, _microseconds(row.modified), keys, body, prose))
            named = [(id_,) for id_ in (row.id, *row.aliases)]
            self._connection.executemany("INSERT OR IGNORE INTO named VALUES (?)", named)
        elif isinstance(row, ExploitScore):
            run(ADD_SCORE, (row.cve, row.score, row.date))
        elif isinstance(row, ExploitedEntry):
            run("INSERT OR REPLACE INTO exploited VALUES (?, ?)", (row.cve, row.ransomware))
        elif isinstance(row, NameEntry):
            key = (feed, row.channel, row.conda_name, row.ecosystem)
            run("INSERT OR REPLACE INTO name VALUES (?, ?, ?, ?, ?)", (*key, _encode(row.names)))
        elif isinstance(row, ProductEntry):
            run(
                "INSERT OR REPLACE INTO product VALUES (?, ?, ?, ?)",
                (feed, row.ecosystem, row.name, _encode(row.products)),
            )
        else:
            run("INSERT OR REPLACE INTO knowledge VALUES (?, ?, ?)", (feed, row.id, _encode(row)))

    def compile(self) -> bytes:
        """The match index of all feeds and of the built-in knowledge: the bytes that a server makes of the same."""
        run = self._connection.execute
        rows = map(_knowledge, self._column("SELECT body FROM knowledge ORDER BY feed"))
        knowledge = assemble([(entry.id, entry.fact) for entry in layer] for layer in (entries(), rows))
        exploitation = {
            cve: Exploited(score, bool(kev), bool(ransomware)) for cve, score, kev, ransomware in run(EXPLOITATION)
        }
        maps = join_maps(
            (
                (conda_name, channel, ecosystem, _texts(names))
                for channel, conda_name, ecosystem, names in run(
                    "SELECT channel, conda_name, ecosystem, names FROM name ORDER BY feed, channel, conda_name"
                )
            ),
            (
                (ecosystem, name, _texts(products))
                for ecosystem, name, products in run(
                    "SELECT ecosystem, name, products FROM product ORDER BY feed, ecosystem, name"
                )
            ),
        )
        told = PartsOfProjects(knowledge).keys
        return build_index(self._advisories(told), exploitation, maps, knowledge)

    def _column(self, statement: str) -> Iterator[bytes]:
        for (value,) in self._connection.execute(statement):
            yield value

    def _advisories(self, told: Set[str]) -> Iterator[Advisory]:
        """The advisories; those on packages that are told, or that mention a platform, come with their descriptions."""
        for keys, body, prose in self._connection.execute("SELECT keys, body, prose FROM advisory"):
            # What stands behind @ is a CPE name's target software.
            is_told = mentions_platform(prose) or any(key.partition("@")[0] in told for key in _texts(keys))
            yield join_prose(body, prose) if is_told else _advisory(body)


def _microseconds(modified: str) -> int:
    at = instant(modified)
    return _NEVER if at is None else (at - _EPOCH) // timedelta(microseconds=1)
