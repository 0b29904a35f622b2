"""The contents of a publication, its maps and findings, loaded from blobs and cached. Read-only."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from antivenom.core.matching.advisories import Finding, IgnoredFinding, Severity
from antivenom.core.matching.fixes import fix_in_channel
from antivenom.core.policy.compile import Action
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import Decision, PackageSummary
from antivenom.core.publishing.channel_findings import (
    ChannelFindings,
    ComponentFindings,
    ComponentIgnored,
    decode_findings,
)
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.catalog.decisions import DecisionList
from antivenom.server.catalog.finding_groups import newest_first
from antivenom.server.catalog.rows import ChannelFinding, KnowledgeRule, PackageOverview, evidence_of
from antivenom.server.context import Context, Resources
from antivenom.server.publications.models import Publication, SubdirBlobs

LOADED_AT_MOST = 16


@dataclass(slots=True)
class PublicationContents:
    """A publication's maps by subdir and its findings. Immutable, so it is cached for as long as it is asked for."""

    number: int
    maps: dict[str, PublicationIndex]
    findings: ChannelFindings
    by_name: dict[str, list[ComponentFindings]] = field(default_factory=dict)
    ignored_by_name: dict[str, list[ComponentIgnored]] = field(default_factory=dict)
    unassessed: dict[str, str] = field(default_factory=dict)
    _packages: list[PackageOverview] | None = None
    _finding_rows: list[ChannelFinding] | None = None
    _decisions: DecisionList | None = None

    def packages(self) -> list[PackageOverview]:
        """Every package, by name; made once."""
        if self._packages is None:
            self._packages = _overviews(self)
        return self._packages

    def finding_rows(self) -> list[ChannelFinding]:
        """Every finding, by package name; made once (0.9 s for 150,000 of them)."""
        if self._finding_rows is None:
            self._finding_rows = [row for name in sorted(self.by_name) for row in self.finding_rows_of(name)]
        return self._finding_rows

    def ignored_rows(self) -> list[ChannelFinding]:
        """Every finding that a row of knowledge or a trusted build statement sets aside, by package name."""
        return [row for name in sorted(self.ignored_by_name) for row in self.ignored_rows_of(name)]

    def finding_rows_of(self, name: str) -> list[ChannelFinding]:
        """The findings of one package name: one row for each version and vulnerability."""
        return self._rows(name, [(c.version, c.assessment.findings) for c in self.by_name.get(name, ())])

    def ignored_rows_of(self, name: str) -> list[ChannelFinding]:
        """What rows of knowledge and trusted build statements set aside of one package name."""
        return self._rows(name, [(c.version, c.findings) for c in self.ignored_by_name.get(name, ())])

    def _rows(self, name: str, found: Iterable[tuple[str, tuple[Finding, ...]]]) -> list[ChannelFinding]:
        records = self.records_of(name)
        kept_versions = sorted({d.version for _, d in records if d.action != Action.stop})
        fixes: dict[tuple[str, ...], bool | None] = {}  # by fixed versions, which many versions of a name share
        by_version: dict[str, list[tuple[str, Decision]]] = defaultdict(list)
        for subdir, decision in records:
            by_version[decision.version].append((subdir, decision))
        rows = []
        for version, findings in found:
            of_version = by_version.get(version, [])
            subdirs = sorted({subdir for subdir, _ in of_version})
            withheld = sum(d.action == Action.stop for _, d in of_version)
            for finding in findings:
                if finding.fixed_versions not in fixes:
                    fixes[finding.fixed_versions] = fix_in_channel(finding, kept_versions)
                fix = fixes[finding.fixed_versions]
                rows.append(_finding_row(finding, name, version, subdirs, len(of_version), withheld, fix))
        return rows

    def decisions(self) -> DecisionList:
        """Withheld and warned records, ready to be filtered and sorted; made once (0.6 s for 100,000 of them)."""
        if self._decisions is None:
            self._decisions = DecisionList(self.maps)
        return self._decisions

    def records_of(self, name: str) -> list[tuple[str, Decision]]:
        """(subdir, decision) of every record of a package name, kept and withheld."""
        return [(subdir, decision) for subdir, index in self.maps.items() for decision in index.records(name)]

    def allowed_version(self, name: str) -> str | None:
        """The newest version of a package that any subdir serves."""
        versions = {v for index in self.maps.values() if (v := index.allowed_version(name))}
        return newest_first(versions)[0] if versions else None

    def findings_of(self, name: str, version: str) -> tuple[Finding, ...]:
        """The findings of one version of a package."""
        found = next((c for c in self.by_name.get(name, ()) if c.version == version), None)
        return found.assessment.findings if found else ()


def _finding_row(
    finding: Finding, name: str, version: str, subdirs: list[str], records: int, withheld: int, fix: bool | None
) -> ChannelFinding:
    return ChannelFinding(
        ids=finding.ids,
        severity=finding.severity,
        cvss=finding.cvss,
        kev=finding.kev,
        kev_ransomware=finding.kev_ransomware,
        epss=finding.epss,
        risk=finding.risk,
        fixed_versions=finding.fixed_versions,
        status=finding.status,
        confidence=finding.confidence,
        evidence=evidence_of(finding),
        published=finding.published,
        summary=finding.summary,
        kind=finding.kind,
        risk_estimated=finding.risk_estimated,
        name=name,
        version=version,
        subdirs=subdirs,
        records=records,
        withheld=withheld,
        fix_in_channel=fix,
        ignored_by=_rule_of(finding),
    )


def _rule_of(finding: Finding) -> KnowledgeRule | None:
    if not isinstance(finding, IgnoredFinding):
        return None
    return KnowledgeRule(finding.ignored_by.rule, finding.ignored_by.reason)


_loaded: OrderedDict[tuple[str, int, str | None], PublicationContents] = OrderedDict()


async def load_contents(ctx: Context, publication: Publication) -> PublicationContents:
    """The publication's contents, from the cache if they were asked for before.

    Findings that change no verdict are written into the publication that is there, so their key is part of the cache's.
    """
    cache_key = (ctx.resources.blobs.url, publication.id, publication.findings_key)
    found = _loaded.get(cache_key)
    if found is None or found.number != publication.number:
        found = await asyncio.to_thread(
            _load, ctx.resources, publication.number, publication.subdirs, publication.findings_key
        )
        _loaded[cache_key] = found
        while len(_loaded) > LOADED_AT_MOST:
            _loaded.popitem(last=False)
    _loaded.move_to_end(cache_key)
    return found


def _load(
    resources: Resources, number: int, subdirs: Mapping[str, SubdirBlobs], findings_key: str | None
) -> PublicationContents:
    blobs = StoreBlobs(resources.blobs)
    maps = {subdir: PublicationIndex.open(blobs, keys.index) for subdir, keys in sorted(subdirs.items())}
    findings = ChannelFindings([], {})
    if findings_key is not None:
        findings = decode_findings(blobs.get(findings_key))
    contents = PublicationContents(number, maps, findings)
    for component in findings.components:
        contents.by_name.setdefault(component.name, []).append(component)
    for ignored in (*findings.ignored, *findings.set_aside_by_builds):
        contents.ignored_by_name.setdefault(ignored.name, []).append(ignored)
    contents.unassessed = findings.reasons()
    return contents


def _overviews(contents: PublicationContents) -> list[PackageOverview]:
    merged: dict[str, list[PackageSummary]] = {}
    for index in contents.maps.values():
        for summary in index.packages():
            merged.setdefault(summary.name, []).append(summary)
    return [_overview(contents, name, summaries) for name, summaries in sorted(merged.items())]


def _newest(versions: Iterable[str]) -> str:
    found = {version for version in versions if version}
    return newest_first(found)[0] if found else ""


def _overview(contents: PublicationContents, name: str, summaries: list[PackageSummary]) -> PackageOverview:
    worst: dict[str, Finding] = {}
    for component in contents.by_name.get(name, ()):
        for finding in component.assessment.findings:
            worst.setdefault(finding.ids[0], finding)
    return PackageOverview(
        name=name,
        latest=_newest(s.latest for s in summaries) or _newest(s.latest_upstream for s in summaries),
        versions=max(s.versions for s in summaries),
        records=sum(s.records for s in summaries),
        withheld=sum(s.withheld for s in summaries),
        warned=sum(s.warned for s in summaries),
        subdirs=sorted({s.subdir for s in summaries}),
        licenses=sorted({text for s in summaries for text in s.licenses}),
        severity=max((f.severity for f in worst.values()), key=lambda s: Severity[s], default="unknown"),
        vulnerabilities=len(worst),
        exploited=any(f.kev for f in worst.values()),
        risk=max((f.risk for f in worst.values()), default=0.0),
        assessed=name not in contents.unassessed,
        not_assessed_reason=contents.unassessed.get(name, ""),
    )
