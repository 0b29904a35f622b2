"""`kev`: CISA's catalogue of known exploited vulnerabilities, as JSON or as its table (CSV).

Source: the catalogue's own JSON schema (known_exploited_vulnerabilities_schema.json).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds import unpack
from antivenom.core.feeds.entry import (
    Beginning,
    EntryError,
    ExploitedEntry,
    JsonObject,
    Reading,
    SetAside,
    WrongShapeError,
    cve_id,
    decode_object,
    instant,
    set_aside,
    text,
)

KIND = "kev"
TITLE = "Known exploited vulnerabilities (CISA KEV)"
TABLE = "exploited"
USUAL_LOCATION = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"

TABLE_BEGINS = "cveID,"


def recognizes(beginning: Beginning) -> bool:
    """Whether a file begins with a catalogue or one of its entries."""
    entry = beginning.entry
    return (
        beginning.first_line.replace('"', "").startswith(TABLE_BEGINS)
        or "cveID" in entry
        or ("catalogVersion" in entry and "vulnerabilities" in entry)
    )


def read(member: unpack.Member, reading: Reading) -> Iterator[ExploitedEntry | SetAside]:
    """The entries of one catalogue."""
    del reading
    if member.head().removeprefix(unpack.BYTE_ORDER_MARK).replace(b'"', b"").startswith(TABLE_BEGINS.encode()):
        yield from _table(member)
        return
    for label, raw in unpack.entries(member, wrappers=("vulnerabilities",)):
        try:
            if isinstance(raw, EntryError):
                raise raw
            yield parse_entry(decode_object(raw))
        except EntryError as error:
            yield set_aside(label, raw, error)


def _table(member: unpack.Member) -> Iterator[ExploitedEntry | SetAside]:
    text_lines = (line.decode("utf-8", "replace") + "\n" for _, line in unpack.lines(member))
    rows = csv.DictReader(text_lines)
    try:
        for row in rows:
            try:
                yield parse_entry(dict(row))
            except EntryError as error:
                yield SetAside(f"{member.name} line {rows.line_num}", str(error))
    except csv.Error as error:
        raise InvalidInputError(
            f"{member.name} line {rows.line_num}: {error}", hint="is it whole? Nothing was changed"
        ) from None


def parse_entry(entry: JsonObject) -> ExploitedEntry:
    """One entry of the catalogue.

    Raises:
        WrongShapeError: It is something else.
        EntryError: Its id is not a CVE id.
    """
    if "cveID" not in entry:
        raise WrongShapeError("is not an entry of a KEV catalogue: it has no cveID")
    return ExploitedEntry(
        cve=cve_id(entry["cveID"]),
        added=_day(entry.get("dateAdded")),
        due=_day(entry.get("dueDate")),
        ransomware=text(entry.get("knownRansomwareCampaignUse"), 20).lower() == "known",
        name=text(entry.get("vulnerabilityName"), 300),
    )


def _day(value: object) -> str:
    """A date as YYYY-MM-DD; "" when it is none."""
    at = instant(text(value, 40))
    return at.date().isoformat() if at else ""
