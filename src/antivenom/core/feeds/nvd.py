"""`nvd`: the National Vulnerability Database: API 2.0 (all pages, then increments), its yearly 2.0 files, its items as
mirrors publish them (one CVE a file), and configurations alone (one JSON object a line, as override repositories do).

Source: NVD CVE API 2.0 schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from antivenom.core.feeds import cpe, unpack
from antivenom.core.feeds.cve5 import CWE
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
from antivenom.core.feeds.ranges import bound
from antivenom.core.feeds.severity import assess
from antivenom.core.feeds.standing import is_disputed, is_rejected, is_tagged_disputed
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange
from antivenom.core.matching.platforms import read_platforms

KIND = "nvd"
TITLE = "National Vulnerability Database (NVD)"
TABLE = "advisory"
USUAL_LOCATION = "https://services.nvd.nist.gov/rest/json/cves/2.0"

OTHERS = {"state", "epss"}  # keys of a flattened CVE record and of an EPSS score, which have a cve, too
METRICS = ("cvssMetricV40", "cvssMetricV31", "cvssMetricV30", "cvssMetricV2")


def recognizes(beginning: Beginning) -> bool:
    """Whether a file begins with an API page, one of its items, or a line of configurations."""
    entry = beginning.entry
    if entry.get("format") == "NVD_CVE" or ("vulnerabilities" in entry and "totalResults" in entry):
        return True
    if "cve_items" in entry or _is_item(entry):
        return True
    inner = entry.get("cve")
    return (isinstance(inner, dict) and "id" in inner) or (isinstance(inner, str) and not OTHERS & entry.keys())


def _is_item(entry: JsonObject) -> bool:
    """Whether it is what stands behind "cve" in the API's answers, alone."""
    return isinstance(entry.get("id"), str) and bool({"vulnStatus", "sourceIdentifier"} & entry.keys())


def read(member: unpack.Member, reading: Reading) -> Iterator[Advisory | SetAside]:
    """The advisories of one file or API page."""
    for label, raw in unpack.entries(member, wrappers=("vulnerabilities", "cve_items")):
        try:
            if isinstance(raw, EntryError):
                raise raw
            yield parse_entry(decode_object(raw), reading)
        except EntryError as error:
            yield set_aside(label, raw, error)


def parse_entry(entry: JsonObject, reading: Reading) -> Advisory:
    """One CVE with its CPE configurations.

    Raises:
        WrongShapeError: It is no NVD entry.
        EntryError: Its id is not a CVE id.
    """
    if "CVE_Items" in entry or "CVE_data_type" in entry:
        raise EntryError("is in the NVD 1.1 format, which ended in 2023; use the 2.0 files or the API")
    inner = entry.get("cve")
    if isinstance(inner, dict):
        return _from_api(inner, reading)
    if _is_item(entry):
        return _from_api(entry, reading)
    if isinstance(inner, str) and not OTHERS & entry.keys():
        return _from_configurations(entry, reading)
    raise WrongShapeError("is not an NVD entry: it has no cve")


def _from_api(cve: JsonObject, reading: Reading) -> Advisory:
    details = _english(cve.get("descriptions"))
    status = text(cve.get("vulnStatus"), 60)
    modified = rfc3339(cve.get("lastModified"))
    tags = [t for item in mappings(cve.get("cveTags")) for t in texts(item.get("tags"))]
    cwes = [d.get("value") for w in mappings(cve.get("weaknesses")) for d in mappings(w.get("description"))]
    return _advisory(
        cve_id(cve.get("id")),
        details=details,
        published=rfc3339(cve.get("published")),
        modified=modified,
        rejected=status.lower() == "rejected" or is_rejected(details),
        disputed=is_tagged_disputed(tags) or is_disputed(details),
        vectors=list(_vectors(mapping(cve.get("metrics")))),
        configurations=cve.get("configurations"),
        urls=[r.get("url") for r in mappings(cve.get("references"))],
        cwes=tuple(dict.fromkeys(c for c in cwes if isinstance(c, str) and CWE.fullmatch(c))),
        reading=reading,
    )


def _from_configurations(entry: JsonObject, reading: Reading) -> Advisory:
    details = text(entry.get("description"))
    urls = [*texts(entry.get("references")), *(r.get("url") for r in mappings(entry.get("x_references")))]
    return _advisory(
        cve_id(entry["cve"]),
        details=details,
        published=rfc3339(entry.get("published")),
        modified=rfc3339(entry.get("modified")),
        rejected=is_rejected(details),
        disputed=is_disputed(details),
        vectors=[],
        configurations=entry.get("configurations"),
        urls=urls,
        cwes=(),
        reading=reading,
    )


def _advisory(
    cve: str,
    *,
    details: str,
    published: str,
    modified: str,
    rejected: bool,
    disputed: bool,
    vectors: list[str],
    configurations: object,
    urls: list[Any],
    cwes: tuple[str, ...],
    reading: Reading,
) -> Advisory:
    affected, flags = parse_configurations(configurations)
    kept, cvss, severity = assess(vectors)
    return Advisory(
        id=cve,
        source=KIND,
        summary=summarize("", details),
        details=details,
        published=published,
        modified=modified,
        withdrawn=(modified or published or reading.now.isoformat()) if rejected else "",
        cvss_vectors=kept,
        cvss=cvss,
        severity=severity,
        affected=affected,
        references=references(iter(urls)),
        cwes=cwes,
        disputed=disputed,
        flags=(*date_flags(reading.now, published, modified), *flags),
    )


def _english(descriptions: object) -> str:
    listed = list(mappings(descriptions))
    english = [d for d in listed if text(d.get("lang"), 20).lower().startswith("en")]
    return text(next(iter(english or listed), {}).get("value"))


def _vectors(metrics: JsonObject) -> Iterator[str]:
    for name in METRICS:
        for metric in mappings(metrics.get(name)):
            yield text(mapping(metric.get("cvssData")).get("vectorString"), 400)


def parse_configurations(configurations: object) -> tuple[tuple[AffectedPackage, ...], tuple[str, ...]]:
    """(affected CPE products, flags) of NVD configurations.

    Only `vulnerable: true` criteria count: in an AND the others name the platform. Where it is an operating system, the
    product is affected there alone; the advisory is flagged "needs-platform". A negated node names what is not
    affected, or where it is not: it and all of a negated configuration are passed over and flagged "negated-node".
    """
    found: dict[tuple[str, tuple[str, ...]], AffectedPackage] = {}
    flags: dict[str, None] = {}
    for configuration in mappings(configurations):
        listed = list(mappings(configuration.get("nodes")))
        is_both = text(configuration.get("operator"), 5).upper() == "AND" and len(listed) > 1
        is_negated = configuration.get("negate") is True
        nodes = [] if is_negated else [node for node in listed if node.get("negate") is not True]
        if len(nodes) < len(listed):
            flags["negated-node"] = None
        platforms = _running_on(nodes) if is_both else ()
        for node in nodes:
            for match in mappings(node.get("cpeMatch")):
                if package := _package(match, platforms):
                    key = package.name, package.platforms
                    found[key] = join(found.get(key), package)
        if is_both:
            flags["needs-platform"] = None
    return tuple(found.values()), tuple(flags)


def _running_on(nodes: list[JsonObject]) -> tuple[str, ...]:
    """The platforms that the nodes without anything vulnerable name; () where one of them is of something else."""
    found: dict[str, None] = {}
    for node in nodes:
        matches = list(mappings(node.get("cpeMatch")))
        if not matches or any(m.get("vulnerable") is True for m in matches):
            continue
        names = [cpe.parse_name(text(m.get("criteria"), 1_000)) for m in matches]
        known = read_platforms("" if n is None or n.part != "o" else n.product for n in names)
        if not known:
            return ()
        found.update(dict.fromkeys(known))
    return tuple(sorted(found))


def _package(match: JsonObject, platforms: tuple[str, ...] = ()) -> AffectedPackage | None:
    """One criterion; None when it is not vulnerable, no CPE, or names a version "not applicable"."""
    if match.get("vulnerable") is not True:
        return None
    name = cpe.parse_name(text(match.get("criteria"), 1_000))
    if name is None or name.version == cpe.NOT_APPLICABLE:
        return None
    product = cpe.package_of(name)
    if name.system and not platforms:
        platforms = read_platforms([name.system])
    start, after = bound(match.get("versionStartIncluding")), bound(match.get("versionStartExcluding"))
    fixed, last = bound(match.get("versionEndExcluding")), bound(match.get("versionEndIncluding"))
    if name.version and not (start or after or fixed or last):
        return AffectedPackage("cpe", product, versions=(name.version,), platforms=platforms)
    affected = AffectedRange("cpe", after or start, after is not None, fixed, None if fixed else last)
    free = (fixed,) if fixed else ()
    return AffectedPackage("cpe", product, (affected,), fixed_versions=free, platforms=platforms)
