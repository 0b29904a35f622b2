"""`nodejs`: Node.js' own list of vulnerabilities in Node.js (security-wg, vuln/core/index.json), or single files of it.

What is vulnerable and what is patched are ranges as npm writes them; affected is the one without the other. Only the
release lines are named that were supported at the time, so other sources are heard beside it.

Source: nodejs/security-wg, vuln/core; node-semver, "Ranges" and "Advanced Range Syntax".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from antivenom.core.feeds import unpack
from antivenom.core.feeds.entry import (
    CVE,
    Beginning,
    EntryError,
    JsonObject,
    Reading,
    SetAside,
    WrongShapeError,
    date_flags,
    decode_object,
    mapping,
    references,
    rfc3339,
    set_aside,
    summarize,
    text,
    texts,
)
from antivenom.core.feeds.severity import assess
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.platforms import read_platforms

KIND = "nodejs"
TITLE = "Node.js' own vulnerabilities"
TABLE = "advisory"
USUAL_LOCATION = "https://raw.githubusercontent.com/nodejs/security-wg/main/vuln/core/index.json"

PRODUCT, SCHEME = "nodejs:node.js", "cpe"
OWN_KEYS = {"cve", "vulnerable", "patched"}
NUMBER = re.compile(r"[1-9][0-9]{0,5}")
RANGE_MAX_CHARACTERS = 1_000
OPERATOR_SPACE = re.compile(r"(?<=[<>=^~])\s+")
HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")
COMPARATOR = re.compile(
    r"(>=|<=|>|<|=|\^|~>?)?v?(0|[1-9][0-9]{0,5}|[xX*])(?:\.(0|[1-9][0-9]{0,5}|[xX*]))?(?:\.(0|[1-9][0-9]{0,5}|[xX*]))?"
)

Release = tuple[int, int, int]
FIRST: Release = (0, 0, 0)


class Span(NamedTuple):
    """The releases from `low` on, below `high` (None: no end)."""

    low: Release
    high: Release | None


def recognizes(beginning: Beginning) -> bool:
    """Whether a file begins with an entry, or with a list of entries by number."""
    return _is_entry(beginning.entry) or _is_list(beginning.entry)


def _is_entry(entry: JsonObject) -> bool:
    return entry.keys() >= OWN_KEYS


def _is_list(entry: JsonObject) -> bool:
    return any(NUMBER.fullmatch(number) and _is_entry(mapping(value)) for number, value in entry.items())


def read(member: unpack.Member, reading: Reading) -> Iterator[Advisory | SetAside]:
    """The advisories of the list, or of a single file, whose name is the entry's number."""
    for label, raw in unpack.entries(member):
        try:
            if isinstance(raw, EntryError):
                raise raw
            document = decode_object(raw)
            if not _is_entry(document) and not _is_list(document):
                raise WrongShapeError("is not an entry of Node.js' list: it has no vulnerable and patched")
        except EntryError as error:
            yield set_aside(label, raw, error)
            continue
        is_single = _is_entry(document)
        for number, entry in [(_number_of(member.name), document)] if is_single else document.items():
            try:
                yield parse_entry(number, mapping(entry), reading)
            except EntryError as error:
                place = label if is_single else f"{label}: {number[:40]}"
                yield SetAside(place, str(error), _id(number, _cves(mapping(entry))))


def _number_of(file_name: str) -> str:
    stem = file_name.rsplit("/", 1)[-1].partition(".")[0]
    return stem if NUMBER.fullmatch(stem) else ""


def _cves(entry: JsonObject) -> tuple[str, ...]:
    return tuple(dict.fromkeys(c for name in texts(entry.get("cve")) if CVE.fullmatch(c := name.upper())))


def _id(number: str, cves: tuple[str, ...]) -> str:
    if NUMBER.fullmatch(number):  # a CVE id may have two entries
        return f"NODEJS-CORE-{number}"
    return cves[0] if len(cves) == 1 else ""


def parse_entry(number: str, entry: JsonObject, reading: Reading) -> Advisory:
    """One entry. Its id is its number in the list; of one that stands alone, its CVE id.

    Raises:
        WrongShapeError: It is something else.
        EntryError: It has neither a number nor one CVE id, or a range that cannot be read.
    """
    if not _is_entry(entry):
        raise WrongShapeError("is not an entry of Node.js' list: it has no vulnerable and patched")
    cves = _cves(entry)
    advisory_id = _id(number, cves)
    if not advisory_id:
        raise EntryError("has no number, and no CVE id of its own: a file of one entry is called 123.json")
    vector = text(entry.get("cvss"), 400)  # some lack the CVSS: in front
    vector = f"CVSS:{vector}" if vector[:3] in ("3.0", "3.1") else vector
    kept, cvss, severity = assess([vector], entry.get("severity"))
    details = text(entry.get("overview"))
    published = rfc3339(entry.get("publish_date"))
    ranges = affected_ranges(entry["vulnerable"], entry["patched"])
    fixed = tuple(dict.fromkeys(r.fixed for r in ranges if r.fixed))
    platforms = read_platforms(texts(entry.get("affectedEnvironments"), 50))
    return Advisory(
        id=advisory_id,
        source=KIND,
        aliases=tuple(cve for cve in cves if cve != advisory_id),
        summary=summarize(text(entry.get("description"), 2_000), details),
        details=details,
        published=published,
        cvss_vectors=kept,
        cvss=cvss,
        severity=severity,
        affected=(AffectedPackage("cpe", PRODUCT, ranges, (), fixed, platforms=platforms),),
        references=references(iter([entry.get("ref")])),
        flags=date_flags(reading.now, published),
    )


def affected_ranges(vulnerable: object, patched: object) -> tuple[AffectedRange, ...]:
    """The releases that are vulnerable and not patched, ascending.

    What ends where a patched release begins is fixed by it. A line without a patch goes on to the next release that is
    patched, or not named as vulnerable.

    Raises:
        EntryError: A text is no range.
    """
    fixes = _union(_spans("patched", patched))
    found: list[Span] = []
    for span in _union(_spans("vulnerable", vulnerable)):
        low: Release | None = span.low
        for fix in fixes:
            if low is None or (span.high is not None and fix.low >= span.high):
                break
            if fix.high is not None and fix.high <= low:
                continue
            if low < fix.low:
                found.append(Span(low, fix.low))
            low = fix.high
        if low is not None and (span.high is None or low < span.high):
            found.append(Span(low, span.high))
    if not found:
        raise EntryError("every release that is vulnerable is patched, too")
    return tuple(
        AffectedRange(
            SCHEME,
            None if span.low == FIRST else _text(span.low),
            fixed=None if span.high is None else _text(span.high),
        )
        for span in found
    )


def _text(release: Release) -> str:
    return ".".join(map(str, release))


def _union(spans: list[Span]) -> list[Span]:
    found: list[Span] = []
    for span in sorted(spans, key=lambda s: s.low):
        last = found[-1] if found else None
        if last is None or (last.high is not None and last.high < span.low):
            found.append(span)
        elif last.high is not None:
            found[-1] = Span(last.low, None if span.high is None else max(last.high, span.high))
    return found


def _spans(word: str, value: object) -> list[Span]:
    """The spans of a range as npm writes it: alternatives between ||, comparators between blanks."""
    written = text(value, RANGE_MAX_CHARACTERS + 1)
    try:
        if not written or len(written) > RANGE_MAX_CHARACTERS:
            raise ValueError
        return [span for part in written.split("||") if (span := _alternative(part.strip())) is not None]
    except ValueError:
        raise EntryError(f"{word} {written[:60]!r} is not a range such as ^20.5.1 || 18.x") from None


def _alternative(part: str) -> Span | None:
    """One alternative; None when it holds no release.

    Raises:
        ValueError: It is no range.
    """
    if hyphen := HYPHEN.fullmatch(part):
        part = f">={hyphen[1]} <={hyphen[2]}"
    low, high = FIRST, None
    for comparator in OPERATOR_SPACE.sub("", part).split() or [part]:
        span = _comparator(comparator)
        low = max(low, span.low)
        high = span.high if high is None else high if span.high is None else min(high, span.high)
    return Span(low, high) if high is None or low < high else None


def _comparator(written: str) -> Span:
    found = COMPARATOR.fullmatch(written)
    if found is None:
        raise ValueError
    operator = found[1] or "="
    numbers = [int(n) for n in found.groups()[1:] if n is not None and n.isdigit()]
    given = next((i for i, n in enumerate(found.groups()[1:]) if n is None or not n.isdigit()), 3)
    numbers = numbers[:given]
    low = _first_of(numbers)
    after = _after(numbers) if numbers else None
    match operator:
        case ">=":
            return Span(low, None)
        case ">":
            return Span(after or (10**6, 0, 0), None)
        case "<":
            return Span(FIRST, low)
        case "<=":
            return Span(FIRST, after)
        case "^":
            leading = next((i for i, n in enumerate(numbers) if n), len(numbers) - 1)
            return Span(low, _after(numbers[: leading + 1]) if numbers else None)
        case "~" | "~>":
            return Span(low, _after(numbers[:2]) if numbers else None)
    return Span(low, after)


def _after(numbers: list[int]) -> Release:
    """The first release behind all that begin with these numbers: 21.0.0 of 20, 20.6.0 of 20.5, 20.5.2 of 20.5.1."""
    return _first_of([*numbers[:-1], numbers[-1] + 1])


def _first_of(numbers: list[int]) -> Release:
    major, minor, patch = [*numbers, *FIRST][:3]
    return major, minor, patch
