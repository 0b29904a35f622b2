"""`cve5`: CVE Record Format 5 (the CVE list, CISA's enrichments): JSON lines, a folder, a zip, and the flattened form.

Source: CVE Record Format 5.1 schema, "affected" and "versions".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from antivenom.core.feeds import cpe, unpack
from antivenom.core.feeds.entry import (
    Beginning,
    EntryError,
    JsonObject,
    Reading,
    SetAside,
    WrongShapeError,
    cve_id,
    date_flags,
    decode_object,
    mapping,
    mappings,
    references,
    rfc3339,
    set_aside,
    summarize,
    text,
    texts,
)
from antivenom.core.feeds.osv import join
from antivenom.core.feeds.purls import package_name
from antivenom.core.feeds.ranges import bound, complement, order_keys
from antivenom.core.feeds.severity import assess
from antivenom.core.feeds.standing import is_disputed, is_rejected, is_tagged_disputed
from antivenom.core.feeds.wording import stated_ranges
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.identity import UNNAMED_VENDOR
from antivenom.core.matching.platforms import read_platforms

KIND = "cve5"
TITLE = "CVE records (CVE Record Format 5)"
TABLE = "advisory"
USUAL_LOCATION = "https://github.com/CVEProject/cvelistV5/archive/refs/heads/main.zip"

CWE = re.compile(r"CWE-\d{1,6}")
METRICS = ("cvssV4_0", "cvssV3_1", "cvssV3_0", "cvssV2_0")
BOUND = re.compile(r"\s*(<=|>=|<|>|=|==)\s*v?([^\s,<>=]+)\s*")
ANY_VERSIONS = r"(?:all )?(?:versions? )?"
WORD_FOR_VERSION = r"(?:versions?|releases?|ver\.?)?\s*"
BEFORE = re.compile(
    ANY_VERSIONS + r"(?:before|prior to|earlier than|lower than|<)\s*" + WORD_FOR_VERSION + r"v?(\d[\w.+-]*)",
    re.IGNORECASE,
)
THROUGH = re.compile(
    ANY_VERSIONS + r"(?:(?:through|up to(?: and including)?|<=)\s*v?(\d[\w.+-]*)"
    r"|v?(\d[\w.+-]*) (?:and|or) (?:earlier|below|prior|older|lower).*)",
    re.IGNORECASE,
)
VERSION = re.compile(r"v?(\d[\w.+~!:-]{0,63})")
SPAN = re.compile(r"v?(\d+(?:\.\d+)+)\s?(?:-|–|to|through|thru)\s?v?(\d+(?:\.\d+)+)(?: inclusive)?")
NUMBER = re.compile(r"\d+(?:\.\d+)+(?:[a-z]{1,2}\b)?")
LIST = re.compile(r"\s*[,;]\s*(?:and )?|\s+and\s+")
PREFIX = re.compile(r"(?:versions?|releases?|ver\.?)\s*", re.IGNORECASE)
RELEASE = re.compile(r"[vV]?\d+(?:\.\d+)+(?:[a-z]|-?(?:rc|beta|alpha)\.?\d+)?")
LINE = re.compile(r"([1-9])\.(\d{2,})(?:\.|\Z)")
LINE_OF_RELEASE = re.compile(r"(\d+\.\d+)\.\d")
WORD = re.compile(r"[\s/]+")
SAYS_NOTHING = {"", "n_a", "unknown", "*"}  # as `_word` writes them
# A collection's address names its ecosystem by a part of its host.
COLLECTIONS = {"pypi": "pypi", "npmjs": "npm", "crates": "crates.io", "rubygems": "rubygems", "packagist": "packagist"}
COMMIT_TYPES = {"git", "commit", "original_commit_for_fix"}


def recognizes(beginning: Beginning) -> bool:
    """Whether a file begins with a CVE record, whole or flattened."""
    entry = beginning.entry
    return "cveMetadata" in entry or (isinstance(entry.get("cve"), str) and "state" in entry)


def read(member: unpack.Member, reading: Reading) -> Iterator[Advisory | SetAside]:
    """The records of one file. Release archives carry delta logs beside records; those are passed over."""
    if member.name.rsplit("/", 1)[-1].startswith(("delta", "recent_activities")):
        return
    for label, raw in unpack.entries(member, wrappers=("cveRecords",)):
        try:
            if isinstance(raw, EntryError):
                raise raw
            yield parse_entry(decode_object(raw), reading)
        except EntryError as error:
            yield set_aside(label, raw, error)


def parse_entry(entry: JsonObject, reading: Reading) -> Advisory:
    """One CVE record: the CNA's facts, completed by those of others (ADP).

    Raises:
        WrongShapeError: It is no CVE record.
        EntryError: Its id is not a CVE id.
    """
    if "cveMetadata" in entry:
        return _from_record(entry, reading)
    if isinstance(entry.get("cve"), str) and "state" in entry:
        return _from_flattened(entry, reading)
    raise WrongShapeError("is not a CVE record: it has no cveMetadata")


@dataclass(frozen=True, slots=True)
class _Facts:
    cve: str
    state: str
    details: str
    title: str
    published: str
    modified: str
    rejected: str
    vectors: list[str]
    urls: list[Any]
    cwes: list[Any]
    tags: set[str]
    affected: list[tuple[str, JsonObject]]  # who says it (a CNA's short name, or ""), and what


def _from_record(record: JsonObject, reading: Reading) -> Advisory:
    metadata, containers = mapping(record.get("cveMetadata")), mapping(record.get("containers"))
    cna, adps = mapping(containers.get("cna")), list(mappings(containers.get("adp")))
    everyone = [cna, *adps]
    return _advisory(
        _Facts(
            cve=cve_id(metadata.get("cveId")),
            state=text(metadata.get("state"), 20).upper(),
            details=_english(cna.get("descriptions")) or _english(cna.get("rejectedReasons")),
            title=text(cna.get("title"), 1_000),
            published=rfc3339(metadata.get("datePublished")),
            modified=rfc3339(metadata.get("dateUpdated")),
            rejected=rfc3339(metadata.get("dateRejected")),
            vectors=[v for container in everyone for v in _vectors(container)],
            urls=[r.get("url") for container in everyone for r in mappings(container.get("references"))],
            cwes=[
                d.get("cweId") or d.get("description")
                for container in everyone
                for p in mappings(container.get("problemTypes"))
                for d in mappings(p.get("descriptions"))
            ],
            tags={t for container in everyone for t in texts(container.get("tags"))} | _legacy_tags(cna),
            affected=[
                *((text(metadata.get("assignerShortName"), 100), a) for a in mappings(cna.get("affected"))),
                *(("", a) for container in adps for a in mappings(container.get("affected"))),
            ],
        ),
        reading,
    )


def _legacy_tags(cna: JsonObject) -> set[str]:
    """What the record's form of before 2023, kept beside it, marks in its description where this form has tags."""
    legacy = mapping(mapping(cna.get("x_legacyV4Record")).get("description"))
    return {"disputed" for d in mappings(legacy.get("description_data")) if is_disputed(text(d.get("value")))}


def _from_flattened(entry: JsonObject, reading: Reading) -> Advisory:
    metrics = entry.get("cvss")
    vectors = [
        text(m[1], 400) for m in (metrics if isinstance(metrics, list) else []) if isinstance(m, list) and len(m) > 1
    ]
    return _advisory(
        _Facts(
            cve=cve_id(entry["cve"]),
            state=text(entry.get("state"), 20).upper(),
            details=text(entry.get("description")),
            title="",
            published=rfc3339(entry.get("published")),
            modified=rfc3339(entry.get("modified")),
            rejected="",
            vectors=vectors,
            urls=[],
            cwes=list(texts(entry.get("cwe"))),
            tags=set(texts(entry.get("tags"))),
            affected=[
                (text(entry.get("cna"), 100) if a.get("by") == "cna" else "", a)
                for a in mappings(entry.get("affected"))
            ],
        ),
        reading,
    )


def _advisory(facts: _Facts, reading: Reading) -> Advisory:
    affected, flags = _affected(facts.affected)
    kept, cvss, severity = assess(facts.vectors)
    is_withdrawn = facts.state == "REJECTED" or is_rejected(facts.details)
    withdrawn = facts.rejected or facts.modified or facts.published or reading.now.isoformat()
    return Advisory(
        id=facts.cve,
        source=KIND,
        summary=summarize(facts.title, facts.details),
        details=facts.details,
        published=facts.published,
        modified=facts.modified,
        withdrawn=withdrawn if is_withdrawn else "",
        cvss_vectors=kept,
        cvss=cvss,
        severity=severity,
        affected=affected,
        references=references(iter(facts.urls)),
        cwes=tuple(dict.fromkeys(c for c in facts.cwes if isinstance(c, str) and CWE.fullmatch(c))),
        disputed=is_tagged_disputed(facts.tags) or is_disputed(facts.title, facts.details),
        flags=(*date_flags(reading.now, facts.published, facts.modified, facts.rejected), *flags),
    )


def _english(descriptions: object) -> str:
    listed = list(mappings(descriptions))
    english = [d for d in listed if text(d.get("lang"), 20).lower().startswith("en")]
    return text(next(iter(english or listed), {}).get("value"))


def _vectors(container: JsonObject) -> Iterator[str]:
    for metric in mappings(container.get("metrics")):
        for name in METRICS:
            if vector := text(mapping(metric.get(name)).get("vectorString"), 400):
                yield vector


def _affected(products: list[tuple[str, JsonObject]]) -> tuple[tuple[AffectedPackage, ...], tuple[str, ...]]:
    """What everybody says of each package; a CNA that was not understood whole is not named as the author."""
    found: dict[tuple[str, str, str, tuple[str, ...]], AffectedPackage] = {}
    flags: dict[str, None] = {}
    for said_by, product in products:
        names = _names(product)
        if not names:
            continue
        if product.get("truncated") is True:
            flags["versions-truncated"] = None
        platforms = read_platforms(texts(product.get("platforms"), 50))
        for ecosystem, name, scheme in names:
            ranges, versions, odd = parse_versions(scheme, product)
            flags.update(dict.fromkeys(odd))
            if ranges or versions or odd:  # named without a version that can be read: nobody can decide
                fixed = tuple(dict.fromkeys(r.fixed for r in ranges if r.fixed))
                author = "" if "version-not-understood" in odd or product.get("truncated") is True else said_by
                package = AffectedPackage(ecosystem, name, ranges, versions, fixed, author, platforms)
                key = (ecosystem, name, author, platforms)
                found[key] = join(found.get(key), package)
    return tuple(found.values()), tuple(flags)


def _names(product: JsonObject) -> list[tuple[str, str, str]]:
    """(ecosystem, name, order) of what a product entry is about: its package, its CPEs, else vendor:product."""
    found: dict[tuple[str, str, str], None] = {}
    package = text(product.get("packageName"), 300)
    ecosystem = _ecosystem(text(product.get("collectionURL"), 1_000)) if package else ""
    if ecosystem:
        found[ecosystem, package_name(ecosystem, package), "pep440" if ecosystem == "pypi" else "semver"] = None
    names = [name for criteria in texts(product.get("cpes"), 50) if (name := cpe.parse_name(criteria))]
    for name in names:
        found["cpe", cpe.package_of(name), "cpe"] = None
    if not names:
        vendor, title = _word(text(product.get("vendor"), 200)), _word(text(product.get("product"), 200))
        if title not in SAYS_NOTHING:
            found["cpe", f"{UNNAMED_VENDOR if vendor in SAYS_NOTHING else vendor}:{title}", "cpe"] = None
    return list(found)


@functools.lru_cache(maxsize=20_000)  # the same vendors again and again
def _word(title: str) -> str:
    """A vendor's or a product's title as CPE would write it."""
    return WORD.sub("_", title).lower()


def _ecosystem(collection: str) -> str:
    try:
        host = urlsplit(collection).hostname or ""
    except ValueError:
        return ""
    return next((COLLECTIONS[part] for part in host.split(".") if part in COLLECTIONS), "")


def parse_versions(
    scheme: str, product: JsonObject
) -> tuple[tuple[AffectedRange, ...], tuple[str, ...], tuple[str, ...]]:
    """(ranges, single versions, flags) that are affected, from `versions` and `defaultStatus`.

    Commit ranges are flagged "git-range"; a text that holds no version is flagged "version-not-understood".
    """
    affected = _Collected(scheme)
    unaffected = _Collected(scheme)
    flags: dict[str, None] = {}
    entries = list(mappings(product.get("versions")))
    for entry in entries:
        if text(entry.get("versionType"), 40).lower() in COMMIT_TYPES:
            flags["git-range"] = None
            continue
        status = text(entry.get("status"), 20).lower()
        target = affected if status == "affected" else unaffected if status == "unaffected" else None
        if target is not None and not target.add(entry):
            flags["version-not-understood"] = None
    ranges, versions = [*affected.ranges, *_meeting_ends(scheme, entries)], affected.versions
    if text(product.get("vendor"), 200).lower().startswith("oracle"):
        ranges = [_of_its_line(r) for r in ranges]
    has_unaffected = unaffected.ranges or unaffected.versions
    if has_unaffected and text(product.get("defaultStatus"), 20).lower() == "affected":
        ranges = [*ranges, *complement(scheme, unaffected.ranges, unaffected.versions)]
    return tuple(dict.fromkeys(ranges)), tuple(dict.fromkeys(versions)), tuple(flags)


def _meeting_ends(scheme: str, entries: list[JsonObject]) -> list[AffectedRange]:
    """The range that HackerOne's records (curl's among them) write as two entries with equal ends.

    `affected 8.4.0 < 8.4.0` with `unaffected 7.69.0 < 7.69.0` means from 7.69.0 up to 8.4.0.
    """
    meeting = [e for e in entries if e.get("lessThan") == e.get("version") and isinstance(e.get("lessThan"), str)]
    if not meeting:
        return []
    ends = [(text(e.get("status"), 20).lower(), e["lessThan"]) for e in meeting]
    starts = [v for status, v in ends if status == "unaffected" and VERSION.fullmatch(v)]
    fixes = [v for status, v in ends if status == "affected" and VERSION.fullmatch(v)]
    return [AffectedRange(scheme, starts[0], fixed=fixes[0])] if len(starts) == len(fixes) == 1 else []


class _Collected:
    """Intervals and single versions of one status."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.ranges: list[AffectedRange] = []
        self.versions: list[str] = []

    def add(self, entry: JsonObject) -> bool:
        """Add one `versions` entry; whether its text was understood."""
        version = text(entry.get("version"), 300)
        below, through = entry.get("lessThan"), entry.get("lessThanOrEqual")
        changes: list[tuple[str, bool]] = []
        if "changes" in entry:
            status = text(entry.get("status"), 20).lower()
            changes = [
                (text(c.get("at"), 128), text(c.get("status"), 20).lower() == status)
                for c in mappings(entry.get("changes"))
            ]
        if not isinstance(below, str) and not isinstance(through, str) and not changes:
            return self._add_text(version)
        start = bound(version)
        if start is not None and not VERSION.fullmatch(start):
            start = None if not any(c.isdigit() for c in start) else start.removeprefix("v")
        end = _with_lost_dot(start, bound(below)) if isinstance(below, str) else None
        last = _with_lost_dot(start, bound(through)) if isinstance(through, str) and end is None else None
        self._add_pieces(start, end, _wildcard_end(last), changes)
        return True

    def _add_pieces(
        self, start: str | None, end: str | None, last: str | None, changes: list[tuple[str, bool]]
    ) -> None:
        """[start, end) cut wherever `changes` switch the status off and on again, in the order given."""
        is_on = True
        for at, same in changes:
            if is_on and not same:
                self.ranges.append(AffectedRange(self.scheme, start, fixed=at))
                is_on = False
            elif not is_on and same:
                start, is_on = at, True
        if is_on:
            self.ranges.append(AffectedRange(self.scheme, start, fixed=end, last_affected=last))

    def _add_text(self, version: str) -> bool:
        """A version alone: one version, "all", or prose with bounds such as "< 2.3" and "before 2.3"."""
        if (found := SPAN.fullmatch(version)) and _is_span(found[1], found[2]):
            self.ranges.append(AffectedRange(self.scheme, found[1], last_affected=found[2]))
            return True
        if found := VERSION.fullmatch(version):
            if version != "0":  # "0" alone is one of the words for "no bound"
                self.versions.append(found[1])
            return True
        if version.lower() in ("*", "all", "all versions", "any"):
            self.ranges.append(AffectedRange(self.scheme))
            return True
        if bound(version) is None:  # "n/a" and its like: no bound
            return True
        if bounds := _bounds(version):
            self.ranges.append(_from_bounds(self.scheme, bounds))
            return True
        if found := BEFORE.fullmatch(version):
            self.ranges.append(AffectedRange(self.scheme, fixed=found[1]))
            return True
        if found := THROUGH.fullmatch(version):
            self.ranges.append(AffectedRange(self.scheme, last_affected=found[1] or found[2]))
            return True
        if stated := stated_ranges(version):
            self.ranges += [msgspec.structs.replace(r, scheme=self.scheme) for r in stated]
            return _tells_all(stated, version)
        if listed := _listed(version):
            self.versions += listed
            return True
        return False


def _is_span(first: str, last: str) -> bool:
    """Whether "first-last" is from one release through another of as many numbers: Oracle's 12.0.1-12.0.3."""
    first_key, last_key = order_keys("generic", [first, last])
    return first.count(".") == last.count(".") and first_key < last_key


def _tells_all(stated: tuple[AffectedRange, ...], version: str) -> bool:
    """Whether every number of a text is a bound of what was read from it, or between two of them."""
    bounds = {text for r in stated for text in (r.introduced, r.fixed, r.last_affected)}
    return "(affected" in version.lower() or all(number in bounds for number in NUMBER.findall(version))


def _listed(version: str) -> list[str]:
    """The releases of "11.3, 11.4" and of "version 1.0.0"; none where any part is something else."""
    parts = [PREFIX.sub("", part.strip()) for part in LIST.split(version)]
    return [part.removeprefix("v").removeprefix("V") for part in parts] if all(map(RELEASE.fullmatch, parts)) else []


def _of_its_line(found: AffectedRange) -> AffectedRange:
    """Oracle's "8.0.22 and prior" is of release 8.0 alone: where 5.7 is affected too, it is listed beside it."""
    last = found.last_affected or ""
    line = LINE_OF_RELEASE.match(last)
    if found.introduced is not None or line is None:
        return found
    return AffectedRange(found.scheme, line[1], last_affected=last)


def _with_lost_dot(start: str | None, end: str | None) -> str | None:
    """`154.3` after `1.54` is 1.54.3: in several records of gRPC a dot is missing."""
    if start is None or end is None:
        return end
    line = LINE.match(start)
    if line is None or not end.startswith(f"{line[1]}{line[2]}."):
        return end
    return f"{line[1]}.{line[2]}{end[len(line[1] + line[2]) :]}"


def _wildcard_end(last: str | None) -> str | None:
    """`1.2.*` as an inclusive end reaches past every 1.2 release; other ends stay as they are."""
    return last[:-1] + "999999" if last and last.endswith(".*") else last


def _bounds(version: str) -> list[tuple[str, str]]:
    """[(operator, version)] of ">= 1.0, < 2.0"; empty when any part is something else."""
    found = [BOUND.fullmatch(part) for part in version.split(",")]
    return [(f[1], f[2]) for f in found if f] if all(found) else []


def _from_bounds(scheme: str, bounds: list[tuple[str, str]]) -> AffectedRange:
    start = end = last = None
    excluded = False
    for operator, version in bounds:
        if operator in (">=", ">"):
            start, excluded = version, operator == ">"
        elif operator == "<":
            end = version
        elif operator == "<=":
            last = version
        else:
            start, last = version, version
    return AffectedRange(scheme, start, excluded, end, None if end else last)
