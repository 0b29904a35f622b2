"""Advisories and findings: the normalized words that every feed is translated to and every surface shows.

Advisories are stored by the hundred thousand: as arrays, without the names of their fields.

Sources: OSV schema 1.7, CVE Record Format 5, NVD API 2.0; docs/dev/measurements.md (Risk).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

REJECTED = "rejected"
"""The flag of an entry that quotes the rejection of its CVE id."""


class Severity(IntEnum):
    """Ordered; `unknown` is below `low` (it is never clean, and never higher than what is known).

    `malware`: no vulnerability that was overlooked, but what somebody put in to do harm (malware.py); the worst of all.
    """

    unknown = 0
    low = 1
    medium = 2
    high = 3
    critical = 4
    malware = 5


class Kind(StrEnum):
    """What a finding is."""

    vulnerability = "vulnerability"
    malware = "malware"


class FindingStatus(StrEnum):
    """What people or builds say of a finding. Worst first: active, reported, disputed, mitigated, cleared.

    `ignored`: a rule of knowledge sets it aside; such findings are kept apart and count nowhere.
    """

    active = "active"
    reported = "reported"
    disputed = "disputed"
    mitigated = "mitigated"
    cleared = "cleared"
    ignored = "ignored"


COUNTABLE_STATUSES = tuple(status for status in FindingStatus if status is not FindingStatus.ignored)
"""What a finding that counts can be."""
SET_ASIDE_STATUSES = (FindingStatus.cleared, FindingStatus.mitigated)
"""What a person or a trusted build says of a finding that is no danger."""
OPEN_STATUSES = (FindingStatus.active, FindingStatus.reported, FindingStatus.disputed)
"""What a finding is that nobody has cleared or mitigated."""


class Confidence(StrEnum):
    """How surely the conda record was tied to the advisory's package."""

    exact = "exact"  # purl on the record
    high = "high"  # name map entry verified by artifact contents
    medium = "medium"  # curated alias
    low = "low"  # CPE product or equal name only


class AffectedRange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One half-open interval, or a list of versions, in `scheme`'s order.

    `scheme`: "pep440" | "semver" | "cpe" (NVD bounds) | "generic". Bounds are texts as published; None is open.
    """

    scheme: str
    introduced: str | None = None  # inclusive
    introduced_excluded: bool = False  # NVD versionStartExcluding
    fixed: str | None = None  # exclusive
    last_affected: str | None = None  # inclusive


class AffectedPackage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One affected package of an advisory.

    `ecosystem` is lower case: "pypi", "cran", "npm", "go", "crates.io", "julia", "bitnami", "oss-fuzz", "conda", "cpe"
    (then `name` is "vendor:product", both lower case). A version is affected when it is in any range or in `versions`.
    `said_by`: the CNA that says so, by its short name; "" for everybody else. `platforms`: where it is affected, by the
    words of platforms.py; () for everywhere, or nothing known.
    """

    ecosystem: str
    name: str
    ranges: tuple[AffectedRange, ...] = ()
    versions: tuple[str, ...] = ()
    fixed_versions: tuple[str, ...] = ()
    said_by: str = ""
    platforms: tuple[str, ...] = ()


class Advisory(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of one feed, normalized. Times are RFC 3339 UTC texts as published; "" when absent."""

    id: str
    source: str  # feed kind: "osv" | "nvd" | "cve5" | ...
    aliases: tuple[str, ...] = ()
    summary: str = ""
    details: str = ""
    published: str = ""
    modified: str = ""
    withdrawn: str = ""
    cvss_vectors: tuple[str, ...] = ()
    cvss: float | None = None  # 0-10, best vector (v4 over v3 over v2)
    severity: Severity = Severity.unknown
    affected: tuple[AffectedPackage, ...] = ()
    references: tuple[str, ...] = ()
    cwes: tuple[str, ...] = ()
    disputed: bool = False
    flags: tuple[str, ...] = ()  # oddities kept and shown: "date-in-future", "date-year-1", "bad-version", ...
    related: tuple[str, ...] = ()  # near, but not the same vulnerability: never merged
    upstream: tuple[str, ...] = ()  # what this advisory was derived from: never merged


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """Why a finding stands: which source, through which identity, in which range (all texts for people)."""

    source: str
    via: str
    range: str


class Finding(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Advisory x component, aliases merged: one vulnerability, all its ids, its evidence.

    `ids`: non-empty, CVE first, then sorted. `epss` and `cvss` are None when unknown. `risk` is 0-100.
    `risk_estimated`: nobody published how likely it is exploited (risk.py). `published`: RFC 3339 UTC or "".
    `fix_in_channel`: None when no channel was given.
    `platforms`: where alone it exists; () for everywhere, or nothing known. `told_on`: where alone it exists by the
    words of its text; on other platforms the confidence is low.
    """

    ids: tuple[str, ...]
    severity: str
    cvss: float | None
    kev: bool
    epss: float | None
    risk: float
    fixed_versions: tuple[str, ...]
    status: str
    confidence: str
    evidence: tuple[Evidence, ...]
    published: str = ""
    modified: str = ""
    summary: str = ""
    kev_ransomware: bool = False
    fix_in_channel: bool | None = None
    kind: str = Kind.vulnerability
    risk_estimated: bool = False
    platforms: tuple[str, ...] = ()
    told_on: tuple[str, ...] = ()


def kind_of(severity: str) -> Kind:
    """The kind of what has this severity."""
    return Kind.malware if severity == Severity.malware.name else Kind.vulnerability


class IgnoredBy(msgspec.Struct, frozen=True, gc=False):
    """The row of knowledge that sets a finding aside: its id, and why as a sentence."""

    rule: str
    reason: str


class IgnoredFinding(Finding, frozen=True, gc=False):
    """A finding that a row of knowledge sets aside; its status is "ignored"."""

    ignored_by: IgnoredBy = IgnoredBy("", "")


def as_ignored(finding: Finding, by: IgnoredBy) -> IgnoredFinding:
    """The finding as one that is set aside."""
    values = {name: getattr(finding, name) for name in Finding.__struct_fields__}
    return IgnoredFinding(**values | {"status": FindingStatus.ignored}, ignored_by=by)


class Assessment(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """What is known about one component. `assessed` False means: no source covers it, and `reason` says why.

    `ignored`: what rules of knowledge set aside, where somebody asked for it; it decides nothing. `undecided`: the ids
    of vulnerabilities of which nobody names a version that can be compared.
    """

    assessed: bool
    reason: str
    findings: tuple[Finding, ...] = ()
    ignored: tuple[IgnoredFinding, ...] = ()
    undecided: tuple[str, ...] = ()


NO_KNOWLEDGE = Assessment(False, "no advisory feed has been synced yet: add one with `antivenom feed add`")
