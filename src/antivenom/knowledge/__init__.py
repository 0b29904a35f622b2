"""The knowledge that comes with a release: the tables in this folder, each row with its source and date.

How to change it: docs/dev/how-to-add-knowledge.md.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import cast

from antivenom.core.feeds import knowledge
from antivenom.core.feeds.entry import KnowledgeEntry, Reading, SetAside
from antivenom.core.feeds.unpack import Member
from antivenom.core.matching.knowledge import Knowledge, assemble


@cache
def entries() -> tuple[KnowledgeEntry, ...]:
    """Every row of every table, by file.

    Raises:
        ValueError: A row cannot be used; the release itself is broken.
    """
    found = []
    for entry in _read():
        if isinstance(entry, SetAside):
            raise ValueError(f"{entry.entry}: {entry.reason}")
        found.append(entry)
    return tuple(found)


@cache
def built_in() -> Knowledge:
    """What the tables say, ready for matching."""
    return assemble([[(entry.id, entry.fact) for entry in entries()]])


@cache
def digest(table: str = "") -> str:
    """What differs when any table does, or that of one name."""
    found = hashlib.blake2b(digest_size=16)
    for name, data in _tables():
        if table in ("", name.removesuffix(".tsv")):
            found.update(f"{name}\0{len(data)}\0".encode() + data)
    return found.hexdigest()


def _tables() -> list[tuple[str, bytes]]:
    """(name, bytes) of each file, by name."""
    tables = [(path.name, path.read_bytes()) for path in files(__package__).iterdir() if path.name.endswith(".tsv")]
    return sorted(tables)


def _read() -> Iterator[KnowledgeEntry | SetAside]:
    never = Reading(datetime.max.replace(tzinfo=UTC))
    for name, data in _tables():
        yield from knowledge.read(Member(name, cast(io.BufferedReader, io.BytesIO(data))), never)
