"""`kev`: CISA's catalogue of known exploited vulnerabilities, one JSON text.

Source: the catalogue's own JSON schema (known_exploited_vulnerabilities_schema.json).
"""

from __future__ import annotations

from collections.abc import Iterator

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


def recognizes(beginning: Beginning) -> bool:
    """Whether a file begins with a catalogue or one of its entries."""
    entry = beginning.entry
    return "cveID" in entry or ("catalogVersion" in entry and "vulnerabilities" in entry)


def read(member: unpack.Member, reading: Reading) -> Iterator[ExploitedEntry | SetAside]:
    """The entries of one catalogue."""
    del reading
    for label, raw in unpack.entries(member, wrappers=("vulnerabilities",)):
        try:
            if isinstance(raw, EntryError):
                raise raw
            yield parse_entry(decode_object(raw))
        except EntryError as error:
            yield set_aside(label, raw, error)


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
