"""`osv`: advisories in the OSV format: a bucket's all.zip with increments, JSON lines, a folder, one file.

Source: OSV schema 1.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from msgspec import Raw

from antivenom.core.feeds import cpe, julia, unpack
from antivenom.core.feeds.entry import (
    VERSION_MAX_CHARACTERS,
    VERSIONS_MAX,
    Beginning,
    EntryError,
    JsonObject,
    Reading,
    SetAside,
    WrongShapeError,
    date_flags,
    decode_object,
    identifier,
    identifiers,
    mapping,
    mappings,
    references,
    rfc3339,
    set_aside,
    summarize,
    text,
    texts,
)
from antivenom.core.feeds.purls import ecosystem_of, package_name, parse_purl
from antivenom.core.feeds.ranges import EVENT_WORDS, Event, intervals
from antivenom.core.feeds.severity import assess
from antivenom.core.feeds.standing import is_disputed, is_rejected
from antivenom.core.feeds.wording import stated_ranges
from antivenom.core.matching.advisories import REJECTED, Advisory, AffectedPackage, AffectedRange

KIND = "osv"
TITLE = "OSV advisories"
TABLE = "advisory"
BUCKET = "https://osv-vulnerabilities.storage.googleapis.com"
USUAL_LOCATION = f"{BUCKET}/PyPI/all.zip"
ECOSYSTEM = re.compile(r"[A-Za-z][A-Za-z0-9 .:_-]*")

SEMVER_ECOSYSTEMS = {"npm", "crates.io", "go", "julia", "bitnami", "hex", "pub", "swifturl", "nuget"}
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z(])|\n{2,}")
CWE = re.compile(r"CWE-\d{1,6}")
RELEASE = re.compile(r"v?\d[0-9A-Za-z.+-]{0,60}")  # entries without a package also list the names of tags: curl-7_10
LAST_KNOWN = re.compile(r"(?:>=?\s*\S+\s*,\s*)?(<=|<|=)\s*([0-9][^\s,]{0,127})")


def location_of(ecosystem: str) -> str:
    """Where OSV publishes an ecosystem.

    Source: OSV, "Data dumps".
    """
    return f"{BUCKET}/{ecosystem.replace(' ', '%20')}/all.zip"


def recognizes(beginning: Beginning) -> bool:
    """Whether a file begins with an OSV entry."""
    return _is_entry(beginning.entry)


def _is_entry(entry: JsonObject) -> bool:
    return (
        isinstance(entry.get("id"), str)
        and not {"cveMetadata", "configurations"} & entry.keys()
        and bool({"affected", "modified", "schema_version", "withdrawn"} & entry.keys())
    )


def read(member: unpack.Member, reading: Reading) -> Iterator[Advisory | SetAside]:
    """The advisories of one file."""
    for label, raw in unpack.entries(member, wrappers=("vulns",)):
        try:
            yield parse_entry(_open(raw), reading)
        except EntryError as error:
            yield set_aside(label, raw, error)


def _open(raw: Raw | bytes | EntryError) -> JsonObject:
    if isinstance(raw, EntryError):
        raise raw
    entry = decode_object(raw)
    if not _is_entry(entry):
        if "id" in entry or "affected" in entry:
            identifier(entry.get("id"))
            raise EntryError(f"{text(entry.get('id'), 60)}: has none of affected, modified, schema_version")
        raise WrongShapeError("is not an OSV entry: it has neither id nor affected")
    return entry


def parse_entry(entry: JsonObject, reading: Reading) -> Advisory:
    """One OSV entry, normalized.

    Only `aliases` are other names of the same vulnerability; `related` and `upstream` are kept apart and never merge
    (but for Julia's entries, which name the one CVE that they re-base as `upstream`).

    Raises:
        EntryError: It has no usable id.
    """
    advisory_id = identifier(entry.get("id"))
    affected, flags = _affected(entry)
    details = text(entry.get("details"))
    affected += tuple(a for one in affected if (a := julia.upstream_versions(one, details)) is not None)
    vectors = _vectors(entry)
    kept, cvss, severity = assess(vectors, _severity_word(entry))
    summary = julia.own_summary(advisory_id, text(entry.get("summary"), 2_000))
    upstream = identifiers(entry.get("upstream"))
    aliases = identifiers(entry.get("aliases")) or julia.same_vulnerability(advisory_id, upstream)
    published, modified, withdrawn = (rfc3339(entry.get(k)) for k in ("published", "modified", "withdrawn"))
    rejected = is_rejected(details) or is_rejected(summary)
    if rejected and not withdrawn:
        withdrawn = modified or published or reading.now.isoformat()
    return Advisory(
        id=advisory_id,
        source=KIND,
        aliases=tuple(a for a in aliases if a != advisory_id),
        summary=summarize(summary, details),
        details=details,
        published=published,
        modified=modified,
        withdrawn=withdrawn,
        cvss_vectors=kept,
        cvss=cvss,
        severity=severity,
        affected=affected,
        references=references(r.get("url") for r in mappings(entry.get("references"))),
        cwes=_cwes(entry),
        disputed=is_disputed(summary, details) or mapping(entry.get("database_specific")).get("disputed") is True,
        flags=(
            *((REJECTED,) if rejected else ()),
            *date_flags(reading.now, published, modified, withdrawn),
            *flags,
        ),
        related=identifiers(entry.get("related")),
        upstream=upstream,
    )


def _affected(entry: JsonObject) -> tuple[tuple[AffectedPackage, ...], tuple[str, ...]]:
    flags: dict[str, None] = {}
    found: dict[tuple[str, str], AffectedPackage] = {}
    for affected in mappings(entry.get("affected")):
        ecosystem, name = _named(mapping(affected.get("package")))
        ranges, range_flags = _ranges(ecosystem, affected)
        flags.update(dict.fromkeys(range_flags))
        if not ecosystem or not name:
            flags["no-package"] = None
            for package in _without_package(entry, affected, ranges):
                key = (package.ecosystem, package.name)
                found[key] = join(found.get(key), package)
            continue
        versions = tuple(v for v in texts(affected.get("versions"), VERSIONS_MAX) if len(v) <= VERSION_MAX_CHARACTERS)
        if not ranges and not versions:
            flags["no-versions"] = None  # named all the same: nobody can decide
        key = (ecosystem, name)
        found[key] = join(found.get(key), AffectedPackage(ecosystem, name, ranges, versions, _fixed(ranges)))
    if len(found) == 1:
        found.update(_cpe_twins(entry, next(iter(found.values()))))
    return tuple(found.values()), tuple(flags)


def _named(package: JsonObject) -> tuple[str, str]:
    """(ecosystem, name) of a package; by its purl where it names no ecosystem. ("", "") when neither names one."""
    ecosystem, name = text(package.get("ecosystem"), 100).lower(), text(package.get("name"), 300)
    if not ecosystem:
        try:
            kind, path = parse_purl(text(package.get("purl"), 1_000))
        except EntryError:
            return "", ""
        ecosystem, name = ecosystem_of(kind, path)
    ecosystem = "conda" if ecosystem == "anaconda" else ecosystem
    if ecosystem == "conda":
        name = name.lower()
    return ecosystem, package_name(ecosystem, name)


def _without_package(
    entry: JsonObject, affected: JsonObject, ranges: tuple[AffectedRange, ...]
) -> Iterator[AffectedPackage]:
    """What an entry without a package says of its project, whose repository its commits name (curl's own entries).

    Ranges of releases are the project's word where the database is the project's own: its name begins the id. Where
    there are none, the releases are read that the text names.
    """
    stated = bool(ranges or affected.get("versions"))
    versions = tuple(v for v in texts(affected.get("versions"), VERSIONS_MAX) if RELEASE.fullmatch(v))
    for repository in dict.fromkeys(_repositories(affected)):
        if ranges or versions:
            database = text(entry.get("id"), 60).partition("-")[0].lower()
            yield AffectedPackage("git", repository, ranges, versions, _fixed(ranges), database)
        elif not stated:
            told = _stated_of(repository, text(entry.get("details")))
            yield AffectedPackage("git", repository, told, (), _fixed(told))


def _stated_of(repository: str, details: str) -> tuple[AffectedRange, ...]:
    """The releases that the first sentence with any names, if it names the project (its repository, or the owner)."""
    names = [name for name in repository.split("/")[1:] if len(name) > 2]
    for sentence in SENTENCE.split(details):
        if stated := stated_ranges(sentence):
            return stated if any(name in sentence.lower() for name in names) else ()
    return ()


def _repositories(affected: JsonObject) -> Iterator[str]:
    """The repositories of commit ranges: "github.com/python/cpython"."""
    for item in mappings(affected.get("ranges")):
        address = text(item.get("repo"), 300).lower()
        if text(item.get("type"), 20).upper() == "GIT" and "://" in address:
            yield address.split("://", 1)[1].rstrip("/").removesuffix(".git")


def join(one: AffectedPackage | None, other: AffectedPackage) -> AffectedPackage:
    """Merge entries of one package: ranges and versions of both, without repeats."""
    if one is None:
        return other
    return msgspec.structs.replace(
        one,
        ranges=tuple(dict.fromkeys(one.ranges + other.ranges)),
        versions=tuple(dict.fromkeys(one.versions + other.versions)),
        fixed_versions=tuple(dict.fromkeys(one.fixed_versions + other.fixed_versions)),
    )


def _fixed(ranges: tuple[AffectedRange, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(r.fixed for r in ranges if r.fixed))


def _ranges(ecosystem: str, affected: JsonObject) -> tuple[tuple[AffectedRange, ...], list[str]]:
    """Version ranges of one `affected`; commit ranges hold no versions and are only flagged."""
    found: list[AffectedRange] = []
    flags: list[str] = []
    for item in mappings(affected.get("ranges")):
        kind = text(item.get("type"), 20).upper()
        if kind == "GIT":
            flags.append("git-range")
            continue
        if kind not in ("ECOSYSTEM", "SEMVER"):
            flags.append("unknown-range-type")
            continue
        events = list(_events(item))
        if not any(word == "introduced" for word, _ in events):
            flags.append("range-without-introduced")
            events = [("introduced", "0"), *events] if events else []
        if len(events) == 1 and events[0][0] == "introduced":
            events += _last_known(affected)
        found += intervals(_scheme(ecosystem, kind), events)
    return tuple(dict.fromkeys(found)), flags


def _last_known(affected: JsonObject) -> list[Event]:
    """The end of a range without one, where GitHub's entry says up to which release it is known.

    Source: github/advisory-database, "last_known_affected_version_range".
    """
    said = LAST_KNOWN.fullmatch(
        text(mapping(affected.get("database_specific")).get("last_known_affected_version_range"), 300)
    )
    if said is None:
        return []
    return [("fixed" if said[1] == "<" else "last_affected", said[2])]


def _events(item: JsonObject) -> Iterator[Event]:
    for event in mappings(item.get("events")):
        for word in EVENT_WORDS:
            if version := text(event.get(word), VERSION_MAX_CHARACTERS):
                yield word, version


def _scheme(ecosystem: str, kind: str) -> str:
    if ecosystem == "pypi":
        return "pep440"
    return "semver" if kind == "SEMVER" or ecosystem in SEMVER_ECOSYSTEMS else "generic"


def _cpe_twins(entry: JsonObject, package: AffectedPackage) -> dict[tuple[str, str], AffectedPackage]:
    """The CPE products that an entry about one package names (Bitnami does), with that package's versions."""
    twins: dict[tuple[str, str], AffectedPackage] = {}
    for criteria in texts(mapping(entry.get("database_specific")).get("cpes"), 20):
        name = cpe.parse_name(criteria)
        if name is None or name.target != "":
            continue
        ranges = tuple(
            AffectedRange("cpe", r.introduced, r.introduced_excluded, r.fixed, r.last_affected) for r in package.ranges
        )
        twins["cpe", name.product] = AffectedPackage(
            "cpe", name.product, ranges, package.versions, package.fixed_versions
        )
    return twins


def _vectors(entry: JsonObject) -> list[str]:
    """CVSS vectors of the entry; of its packages when the entry itself has none."""
    own = [text(s.get("score"), 400) for s in mappings(entry.get("severity"))]
    if own:
        return own
    return [text(s.get("score"), 400) for a in mappings(entry.get("affected")) for s in mappings(a.get("severity"))]


def _severity_word(entry: JsonObject) -> object:
    """What the database calls the severity, wherever it puts the word."""
    places = [mapping(entry.get("database_specific")).get("severity")]
    for affected in mappings(entry.get("affected")):
        places += [mapping(affected.get(k)).get("severity") for k in ("database_specific", "ecosystem_specific")]
    places += [s.get("score") for s in mappings(entry.get("severity"))]
    return next((p for p in places if isinstance(p, str) and p and "/" not in p), None)


def _cwes(entry: JsonObject) -> tuple[str, ...]:
    named: list[str] = []
    for place in (entry, *mappings(entry.get("affected"))):
        specific = mapping(place.get("database_specific"))
        named += [*texts(specific.get("cwe_ids")), *texts(specific.get("cwes"))]
        named += [text(c.get("cweId"), 20) for c in mappings(specific.get("cwes"))]
        named.append(text(mapping(specific.get("CWE")).get("id"), 20))
    return tuple(dict.fromkeys(c for c in named if CWE.fullmatch(c)))
