"""`epss`: FIRST's daily exploit prediction scores: one CSV of every CVE, or what its API answers (JSON).

Source: the file itself: a comment `#model_version:…,score_date:…`, a header `cve,epss,percentile`, rows; EPSS API,
"data".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import unpack
from antivenom.core.feeds.entry import (
    CVE,
    Beginning,
    EntryError,
    ExploitScore,
    Reading,
    SetAside,
    WrongShapeError,
    cve_id,
    decode_object,
    instant,
    mapping,
    set_aside,
    text,
)

KIND = "epss"
TITLE = "Exploit prediction scores (EPSS)"
TABLE = "score"
USUAL_LOCATION = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz"

SMALLEST_SCORE = 1e-9  # EPSS has five decimals; with far smaller ones PostgreSQL refuses products: they underflow
SCORE_DATE = re.compile(r"score_date:(\d{4}-\d{2}-\d{2})")
HEADER = ["cve", "epss"]


def recognizes(beginning: Beginning) -> bool:
    """Whether a file begins as an EPSS table does."""
    entry = beginning.entry
    if {"cve", "epss"} <= entry.keys():
        return True
    if isinstance(entry.get("data"), list) and "total" in entry and "status" in entry:
        return all({"cve", "epss"} <= mapping(row).keys() for row in entry["data"][:1])
    return beginning.first_line.startswith(("#model_version", "cve,epss"))


def read(member: unpack.Member, reading: Reading) -> Iterator[ExploitScore | SetAside]:
    """The rows of one day's table, dated by its comment (by today when the comment is missing), or of an answer.

    Raises:
        InvalidInputError: It is not an EPSS table.
    """
    date = reading.now.date().isoformat()
    if member.head().removeprefix(unpack.BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"["):
        yield from _answer(member, date)
        return
    columns: list[str] | None = None
    for number, raw in unpack.lines(member):
        line = raw.decode("utf-8", "replace").strip()
        if line.startswith("#"):
            found = SCORE_DATE.search(line)
            date = found[1] if found else date
        elif columns is None:
            columns = [c.strip().lower() for c in line.split(",")]
            if columns[:2] != HEADER:
                raise InvalidInputError(
                    f"{member.name} is not an EPSS table: it has no header cve,epss,percentile",
                    hint="the daily file is called epss_scores-YYYY-MM-DD.csv.gz",
                )
        elif line:
            try:
                yield parse_row(line, date)
            except EntryError as error:
                yield SetAside(f"{member.name} line {number}", str(error))


def _answer(member: unpack.Member, today: str) -> Iterator[ExploitScore | SetAside]:
    for label, raw in unpack.entries(member, wrappers=("data",)):
        try:
            if isinstance(raw, EntryError):
                raise raw
            entry = decode_object(raw)
            if not {"cve", "epss"} <= entry.keys():
                raise WrongShapeError("is not an EPSS score: it has no cve and epss")
            at = instant(text(entry.get("date"), 40))
            date = at.date().isoformat() if at else today
            percentile = entry.get("percentile")
            score, rank = _probability(entry["epss"]), None if percentile is None else _probability(percentile)
            yield ExploitScore(cve_id(entry["cve"]), score, rank, date)
        except EntryError as error:
            yield set_aside(label, raw, error)


def parse_row(line: str, date: str) -> ExploitScore:
    """One row: CVE id, probability and, in files since 2021, percentile.

    Raises:
        EntryError: A field is not what it should be.
    """
    cve, score, *rest = [*line.split(","), ""]
    if not CVE.fullmatch(cve):
        raise EntryError(f"{cve[:60]!r} is not a CVE id")
    return ExploitScore(cve, _probability(score), _probability(rest[0]) if rest and rest[0] else None, date)


def _probability(number: object) -> float:
    shown = repr(number)[:42]
    try:
        value = float(number) if isinstance(number, str | float | int) else math.nan
    except (ValueError, OverflowError):
        raise EntryError(f"{shown} is not a number") from None
    if not 0.0 <= value <= 1.0:
        raise EntryError(f"{shown} is not between 0 and 1")
    return value if value >= SMALLEST_SCORE else 0.0
