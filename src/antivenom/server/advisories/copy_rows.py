"""Rows as PostgreSQL's COPY text format reads them, so that a child process writes and the server only forwards bytes.

Source: PostgreSQL manual, COPY, "Text Format"; "Array Input and Output Syntax".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

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
from antivenom.core.matching.advisory_prose import package_keys, split_prose

DIGEST_BYTES = 16
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": None})
ARRAY_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\0": None})

_encoder = msgspec.msgpack.Encoder()

Value = str | int | float | bool | bytes | None | tuple[str, ...]


def copy_line(values: Iterable[Value]) -> bytes:
    """One row, with its line end."""
    return ("\t".join(map(_field, values)) + "\n").encode("utf-8", "replace")


def _field(value: Value) -> str:
    if isinstance(value, str):
        return value if value.isprintable() and "\\" not in value else value.translate(ESCAPES)
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, tuple):
        if not value:
            return "{}"
        return ("{" + ",".join('"' + v.translate(ARRAY_ESCAPES) + '"' for v in value) + "}").translate(ESCAPES)
    return repr(value)


def date_or_none(published: str) -> str | None:
    """A date as PostgreSQL reads it; None when it is none."""
    return published if instant(published) else None


def advisory_line(advisory: Advisory) -> bytes:
    """An advisory's row; the columns are those of `storing.STAGING["advisory"]`."""
    body, prose = split_prose(advisory)
    return copy_line(
        (
            advisory.id,
            advisory.aliases,
            package_keys(advisory),
            advisory.summary,
            int(advisory.severity),
            advisory.cvss,
            date_or_none(advisory.published),
            date_or_none(advisory.modified),
            # A withdrawal date that is no date still means withdrawn.
            (date_or_none(advisory.withdrawn) or "1970-01-01T00:00:00+00:00") if advisory.withdrawn else None,
            advisory.disputed,
            advisory.flags,
            hashlib.blake2b(body + prose, digest_size=DIGEST_BYTES).digest(),
            body,
            prose,
        )
    )


def row_line(row: Row) -> bytes:
    """The COPY line of any kind of row."""
    if isinstance(row, Advisory):
        return advisory_line(row)
    if isinstance(row, ExploitScore):  # 300,000 a day, and nothing in them that would have to be escaped
        percentile = "\\N" if row.percentile is None else row.percentile
        return f"{row.cve}\t{row.score}\t{percentile}\t{row.date}\n".encode()
    if isinstance(row, ExploitedEntry):
        return copy_line((row.cve, row.added, row.due, row.ransomware, row.name))
    if isinstance(row, NameEntry):
        return copy_line((row.channel, row.conda_name, row.ecosystem, row.names))
    if isinstance(row, KnowledgeEntry):
        return copy_line((row.id, _encoder.encode(row)))
    assert isinstance(row, ProductEntry)  # noqa: S101  # the last of the kinds of row
    return copy_line((row.ecosystem, row.name, row.products))
