"""What every feed kind shares: the rows it makes, why an entry is refused, and tolerant looks into odd JSON.

Feeds are other people's text. A field of the wrong type counts as absent; an entry without an id cannot be kept.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from antivenom.core.matching.advisories import Advisory
from antivenom.core.matching.knowledge import Fact

READING_RULES = 6  # counts up when entries are read otherwise than before: stored feeds are then read anew
ID_MAX_CHARACTERS = 200
SUMMARY_MAX_CHARACTERS = 300
DETAILS_MAX_CHARACTERS = 16_000
REFERENCES_MAX = 40
REFERENCE_MAX_CHARACTERS = 2_000
VERSIONS_MAX = 20_000  # enumerated versions of one package; the longest real list has 1,100
VERSION_MAX_CHARACTERS = 128
FUTURE_TOLERANCE = timedelta(days=1)  # clocks and time zones; beyond it a date is flagged

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+~-]*")
CVE = re.compile(r"CVE-\d{4}-\d{4,19}")
ID_IN_BROKEN_ENTRY = re.compile(rb'"(?:id|cveId|cveID|cve)"\s*:\s*"([A-Za-z0-9][A-Za-z0-9._:@/+~-]{0,199})"')
BROKEN_ENTRY_BYTES = 64 * 1024
FRACTION = re.compile(r"(\.\d{6})\d+")


JsonObject = dict[str, Any]
"""An object of somebody else's JSON: every field may be missing, or of another type than it should be."""


class EntryError(Exception):
    """One entry cannot be used; it is set aside with this reason and the sync goes on."""


class WrongShapeError(EntryError):
    """The entry is not of this kind at all; when every entry is so, the whole file is refused."""


@dataclass(frozen=True, slots=True)
class ExploitedEntry:
    """One entry of a catalogue of known exploited vulnerabilities."""

    cve: str
    added: str
    due: str
    ransomware: bool
    name: str


@dataclass(frozen=True, slots=True)
class ExploitScore:
    """One EPSS row: the probability (0-1) of being exploited in the next 30 days, and its percentile (0-1)."""

    cve: str
    score: float
    percentile: float | None
    date: str  # YYYY-MM-DD


@dataclass(frozen=True, slots=True)
class NameEntry:
    """What a conda package is called elsewhere. No `names`: known to be in no package of `ecosystem`."""

    channel: str  # "" for any
    conda_name: str
    ecosystem: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProductEntry:
    """The CPE products ("vendor:product") of a package URL without version."""

    ecosystem: str  # the purl's type, lower case: "pypi", "github", "deb"
    name: str  # the purl's namespace and name; PyPI names normalized
    products: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KnowledgeEntry:
    """One row of knowledge. `fact` None: the row of that id is switched off."""

    id: str  # "table/key": "names/openssl", "ignore/other-language"
    fact: Fact | None
    source: str
    checked: str  # YYYY-MM-DD


@dataclass(frozen=True, slots=True)
class SetAside:
    """An entry that was refused: where it stands, why, and its id when the broken text still shows one."""

    entry: str
    reason: str
    id: str = ""


Row = Advisory | ExploitedEntry | ExploitScore | NameEntry | ProductEntry | KnowledgeEntry


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a file begins: its first line, and the first JSON object in it ({} when there is none)."""

    first_line: str
    entry: JsonObject


@dataclass(frozen=True, slots=True)
class Reading:
    """What readers may know besides the bytes."""

    now: datetime  # flags dates in the future
    location: str = ""  # where the feed came from; some maps name their channel only there
    python_names: Mapping[str, str] = field(default_factory=dict)  # conda to PyPI, of knowledge


def text(value: object, limit: int = DETAILS_MAX_CHARACTERS) -> str:
    """The string without NUL and cut at `limit`; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return value[:limit].replace("\0", "").strip()


def texts(value: object, limit: int = 1_000) -> tuple[str, ...]:
    """The non-empty strings of a list, in order, without repeats."""
    if not isinstance(value, list):
        return ()
    return tuple(dict.fromkeys(t for v in value[:limit] if (t := text(v, REFERENCE_MAX_CHARACTERS))))


def mapping(value: object) -> JsonObject:
    """The object itself; {} for anything else."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> Iterator[JsonObject]:
    """The objects of a list; other items are passed over."""
    if isinstance(value, list):
        yield from (v for v in value if isinstance(v, dict))


def identifier(value: object) -> str:
    """An advisory's id.

    Raises:
        EntryError: There is none, or it could not be an id.
    """
    found = text(value, ID_MAX_CHARACTERS + 1)
    if not found:
        raise EntryError("has no id")
    if len(found) > ID_MAX_CHARACTERS or not ID.fullmatch(found):
        raise EntryError(f"its id {found[:60]!r} is not an advisory id")
    return found


def cve_id(value: object) -> str:
    """A CVE id in its one spelling.

    Raises:
        EntryError: It is not one.
    """
    found = text(value, 60).upper()
    if not CVE.fullmatch(found):
        raise EntryError(f"{found or 'an entry without id'!r} is not a CVE id")
    return found


def identifiers(value: object) -> tuple[str, ...]:
    """The usable ids of a list of aliases."""
    return tuple(a for a in texts(value) if len(a) <= ID_MAX_CHARACTERS and ID.fullmatch(a))


def references(urls: Iterator[object]) -> tuple[str, ...]:
    """At most `REFERENCES_MAX` distinct http(s) addresses; anything else could be a script in a page."""
    kept: dict[str, None] = {}
    for url in urls:
        found = text(url, REFERENCE_MAX_CHARACTERS)
        if found.startswith(("https://", "http://")):
            kept[found] = None
        if len(kept) >= REFERENCES_MAX:
            break
    return tuple(kept)


def summarize(summary: str, details: str) -> str:
    """The summary, or the first line of the details."""
    line = summary or next((stripped for raw in details.splitlines() if (stripped := raw.strip("# \t"))), "")
    return line if len(line) <= SUMMARY_MAX_CHARACTERS else line[: SUMMARY_MAX_CHARACTERS - 1].rstrip() + "…"


@functools.lru_cache(maxsize=1_000)  # one entry asks several times
def instant(published: str) -> datetime | None:
    """The moment that a feed's date text means, UTC; None when it is not a date. Year 1 is a real oddity and stays."""
    if not published:
        return None
    try:
        at = datetime.fromisoformat(FRACTION.sub(r"\1", published) if "." in published else published)
    except ValueError:
        return None
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC)
    try:
        return at.astimezone(UTC)
    except OverflowError:  # year 1 with an offset to the east, year 9999 with one to the west
        return at.replace(tzinfo=UTC)


def rfc3339(value: object) -> str:
    """A feed's date as RFC 3339 UTC; as published when it is no date, "" when absent."""
    published = text(value, 64)
    at = instant(published)
    if at is None:
        return published
    return at.isoformat().replace("+00:00", "Z")


def date_flags(now: datetime, *dates: str) -> tuple[str, ...]:
    """What is odd about an advisory's dates: "date-in-future", "date-year-1", "bad-date"."""
    flags: dict[str, None] = {}
    for published in dates:
        at = instant(published)
        if at is None:
            if published:
                flags["bad-date"] = None
        elif at.year == 1:
            flags["date-year-1"] = None
        elif at > now + FUTURE_TOLERANCE:
            flags["date-in-future"] = None
    return tuple(flags)


def set_aside(label: str, raw: bytes | msgspec.Raw | EntryError, error: EntryError) -> SetAside:
    """An entry with the reason why it was refused.

    An id found in it protects what was stored under that id before: it did not disappear from the feed.
    """
    found = None if isinstance(raw, EntryError) else ID_IN_BROKEN_ENTRY.search(bytes(raw)[:BROKEN_ENTRY_BYTES])
    entry_id = found[1].decode() if found else ""
    return SetAside(f"{entry_id} ({label})" if entry_id else label, str(error), entry_id)


def decode_object(raw: bytes | memoryview | msgspec.Raw) -> JsonObject:
    """One JSON object.

    Raises:
        WrongShapeError: JSON, but no object.
        EntryError: Not JSON, not UTF-8, or nested too deeply.
    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EntryError(f"is not JSON: {error}") from None
    except RecursionError:
        raise EntryError("is nested too deeply") from None
    if not isinstance(value, dict):
        raise WrongShapeError("is not a JSON object")
    return value
