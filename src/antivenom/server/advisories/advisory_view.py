"""One vulnerability as its page and the API show it: merged, and source by source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from antivenom.core.feeds.entry import instant
from antivenom.core.matching.advisories import (
    AffectedPackage,
    AffectedRange,
    Kind,
    Severity,
    kind_of,
)
from antivenom.core.matching.merging import merge_entries
from antivenom.server.advisories.models import Exploitation, Vulnerability
from antivenom.server.advisories.queries import SourcedAdvisory
from antivenom_client.assessing import is_risk_estimated

REFERENCES_MAX = 100
VERSIONS_SHOWN = 40
AFFECTED_MAX = 500


@dataclass(frozen=True, slots=True)
class AffectedView:
    """What one source says of one package; `ranges` are texts for people, `versions` the first enumerated ones."""

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
    references: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.ids[0]

    @property
    def kind(self) -> Kind:
        """Malware, or a vulnerability."""
        return kind_of(self.severity)

    @property
    def risk_estimated(self) -> bool:
        """Whether the risk rests on an estimated threat."""
        return is_risk_estimated(self.severity, self.epss, kev=self.kev)


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


def view_vulnerability(
    row: Vulnerability, entries: Sequence[SourcedAdvisory], exploitation: Sequence[Exploitation]
) -> AdvisoryView:
    """The view of a vulnerability.

    Whether it is malware, and its risk, are its row's: they depend on more than its entries. Withdrawn entries are
    listed, but the packages they name only while no other entry stands.
    """
    merged = merge_entries(
        row.ids, (e.advisory for e in entries if not e.is_shared), (e.advisory for e in entries if e.is_shared)
    )
    standing = [e for e in entries if not e.advisory.withdrawn] or entries
    affected = [_affected_view(package, e) for e in standing for package in e.advisory.affected]
    known = exploitation[0] if exploitation else Exploitation(kev_ransomware=False)  # of its one CVE id
    kev = known.kev_added is not None
    severity = Severity.malware if row.severity == Severity.malware else merged.severity
    return AdvisoryView(
        ids=tuple(row.ids),
        summary=merged.summary,
        details=merged.details,
        severity=severity.name,
        cvss=merged.cvss,
        vectors=merged.vectors,
        epss=known.epss,
        epss_percentile=known.epss_percentile,
        epss_date=known.epss_date or "",
        kev=kev,
        ransomware=known.kev_ransomware,
        kev_added=known.kev_added or "",
        kev_due=known.kev_due or "",
        risk=row.risk,
        published=instant(merged.published),
        modified=instant(merged.modified),
        withdrawn=merged.withdrawn,
        disputed=merged.disputed,
        flags=merged.flags,
        cwes=merged.cwes,
        related=merged.related,
        upstream=merged.upstream,
        sources=tuple(dict.fromkeys(e.kind for e in entries)),
        entries=tuple(_source_view(e) for e in entries),
        affected=tuple(affected[:AFFECTED_MAX]),
        references=merged.references[:REFERENCES_MAX],
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
