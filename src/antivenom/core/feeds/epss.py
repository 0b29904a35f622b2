"""`epss`: FIRST's daily exploit prediction scores, one CSV of every CVE.

Source: the file itself: a comment `#model_version:…,score_date:…`, a header `cve,epss,percentile`, rows.
"""

from __future__ import annotations

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
    return beginning.first_line.startswith(("#model_version", "cve,epss"))


def read(member: unpack.Member, reading: Reading) -> Iterator[ExploitScore | SetAside]:
    """The rows of one day's table, dated by its comment (by today when the comment is missing).

    Raises:
        InvalidInputError: It is not an EPSS table.
    """
    date = reading.now.date().isoformat()
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


def parse_row(line: str, date: str) -> ExploitScore:
    """One row: CVE id, probability and, in files since 2021, percentile.

    Raises:
        EntryError: A field is not what it should be.
    """
    cve, score, *rest = [*line.split(","), ""]
    if not CVE.fullmatch(cve):
        raise EntryError(f"{cve[:60]!r} is not a CVE id")
    return ExploitScore(cve, _probability(score), _probability(rest[0]) if rest and rest[0] else None, date)


def _probability(number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        raise EntryError(f"{number[:40]!r} is not a number") from None
    if not 0.0 <= value <= 1.0:
        raise EntryError(f"{number[:40]!r} is not between 0 and 1")
    return value if value >= SMALLEST_SCORE else 0.0
