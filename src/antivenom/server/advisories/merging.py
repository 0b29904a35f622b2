"""One view of a vulnerability out of everything that its sources say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from antivenom.core.matching.advisories import AffectedPackage, AffectedRange, Severity
from antivenom.server.advisories.models import Exploitation, Vulnerability
from antivenom.server.advisories.queries import SourcedAdvisory

REFERENCES_MAX = 100
VERSIONS_SHOWN = 40
AFFECTED_MAX = 500


@dataclass(frozen=True, slots=True)
class AffectedView:
    """One source's word on one package; `ranges` are texts for people, `versions` the first enumerated ones."""

    ecosystem: str
    package: str
    ranges: tuple[str, ...]
    versions: tuple[str, ...]
    versions_total: int
    fixed: tuple[str, ...]
    source: str
    advisory: str


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source's advisory."""

    id: str
    kind: str
    feed_id: int
    summary: str
    severity: str
    cvss: float | None
    published: str
    modified: str
    withdrawn: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdvisoryView:
    """A vulnerability: all ids (CVE first), the merged facts, every source, all affected packages."""

    ids: tuple[str, ...]
    summary: str
    details: str
    severity: str
    cvss: float | None
    vectors: tuple[str, ...]
    epss: float | None
    epss_percentile: float | None
    epss_date: str
    kev: bool
    ransomware: bool
    kev_added: str
    kev_due: str
    risk: float
    published: datetime | None
    modified: datetime | None
    withdrawn: str  # "" while any source stands by it
    disputed: bool
    flags: tuple[str, ...] = ()
    cwes: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    entries: tuple[SourceView, ...] = ()
    affected: tuple[AffectedView, ...] = ()
    references: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        return self.ids[0]


def describe_range(affected: AffectedRange) -> str:
    """An interval as people write it: ">= 1.0, < 2.0"; "all versions" when it is open on both sides."""
    parts = []
    if affected.introduced is not None:
        parts.append(f"{'>' if affected.introduced_excluded else '>='} {affected.introduced}")
    if affected.fixed is not None:
        parts.append(f"< {affected.fixed}")
    elif affected.last_affected is not None:
        parts.append(f"<= {affected.last_affected}")
    return ", ".join(parts) or "all versions"


def _affected_view(package: AffectedPackage, sourced: SourcedAdvisory) -> AffectedView:
    return AffectedView(
        ecosystem=package.ecosystem,
        package=package.name,
        ranges=tuple(dict.fromkeys(describe_range(r) for r in package.ranges)),
        versions=package.versions[:VERSIONS_SHOWN],
        versions_total=len(package.versions),
        fixed=package.fixed_versions,
        source=sourced.kind,
        advisory=sourced.advisory.id,
    )


def _source_view(sourced: SourcedAdvisory) -> SourceView:
    advisory = sourced.advisory
    return SourceView(
        id=advisory.id,
        kind=sourced.kind,
        feed_id=sourced.feed_id,
        summary=advisory.summary,
        severity=advisory.severity.name,
        cvss=advisory.cvss,
        published=advisory.published,
        modified=advisory.modified,
        withdrawn=advisory.withdrawn,
        flags=advisory.flags,
    )


def merge(found: Vulnerability, entries: list[SourcedAdvisory], exploitation: list[Exploitation]) -> AdvisoryView:
    """The view of a vulnerability. Withdrawn entries are shown, and count only while no other stands."""
    standing = [e for e in entries if not e.advisory.withdrawn] or entries
    advisories = [e.advisory for e in standing]
    scored = max((e for e in exploitation if e.epss is not None), key=lambda e: e.epss or 0.0, default=None)
    listed = next((e for e in exploitation if e.kev_added is not None), None)
    affected = [_affected_view(package, e) for e in standing for package in e.advisory.affected]
    return AdvisoryView(
        ids=tuple(found.ids),
        summary=found.summary,
        details=max((a.details for a in advisories), key=len, default=""),
        severity=Severity(found.severity).name,
        cvss=found.cvss,
        vectors=tuple(dict.fromkeys(v for a in advisories for v in a.cvss_vectors)),
        epss=scored.epss if scored else None,
        epss_percentile=scored.epss_percentile if scored else None,
        epss_date=(scored.epss_date or "") if scored else "",
        kev=listed is not None,
        ransomware=any(e.kev_ransomware for e in exploitation),
        kev_added=(listed.kev_added or "") if listed else "",
        kev_due=(listed.kev_due or "") if listed else "",
        risk=found.risk,
        published=found.published_at,
        modified=found.modified_at,
        withdrawn=max((e.advisory.withdrawn for e in entries), default="") if found.is_withdrawn else "",
        disputed=found.is_disputed,
        flags=tuple(sorted({f for e in entries for f in e.advisory.flags})),
        cwes=tuple(sorted({c for a in advisories for c in a.cwes})),
        related=tuple(sorted({r for a in advisories for r in a.related} - set(found.ids))),
        upstream=tuple(sorted({u for a in advisories for u in a.upstream} - set(found.ids))),
        sources=tuple(dict.fromkeys(e.kind for e in entries)),
        entries=tuple(_source_view(e) for e in entries),
        affected=tuple(affected[:AFFECTED_MAX]),
        references=tuple(dict.fromkeys(r for a in advisories for r in a.references))[:REFERENCES_MAX],
    )


def view_of_exploitation(known: Exploitation) -> AdvisoryView:
    """A CVE of which only KEV or EPSS knows."""
    return AdvisoryView(
        ids=(known.cve,),
        summary=known.kev_name or "",
        details="",
        severity=Severity.unknown.name,
        cvss=None,
        vectors=(),
        epss=known.epss,
        epss_percentile=known.epss_percentile,
        epss_date=known.epss_date or "",
        kev=known.kev_added is not None,
        ransomware=known.kev_ransomware,
        kev_added=known.kev_added or "",
        kev_due=known.kev_due or "",
        risk=0.0,
        published=None,
        modified=None,
        withdrawn="",
        disputed=False,
        sources=tuple(k for k, has in (("epss", known.epss is not None), ("kev", known.kev_added is not None)) if has),
    )
