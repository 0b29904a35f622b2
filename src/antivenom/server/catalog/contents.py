"""Opening what a publication row names: its maps and findings, kept open for the next reader. Read-only."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from antivenom.core.matching.advisories import Finding, Severity
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import PackageSummary
from antivenom.core.publishing.channel_findings import ChannelFindings, ComponentFindings, decode_findings
from antivenom.server.catalog.decisions import DecisionList
from antivenom.server.catalog.finding_groups import newest_first
from antivenom.server.context import Context, Resources
from antivenom.server.publications.build import StoreBlobs
from antivenom.server.publications.models import Publication

OPEN_AT_MOST = 16


@dataclass(slots=True)
class PackageOverview:
    """One package name of a publication, over all its subdirs."""

    name: str
    latest: str
    versions: int
    records: int
    withheld: int
    warned: int
    subdirs: list[str]
    licenses: list[str]
    severity: str = "unknown"
    vulnerabilities: int = 0
    exploited: bool = False
    risk: float = 0.0
    assessed: bool = True
    not_assessed_reason: str = ""


@dataclass(slots=True)
class PublicationContents:
    """A publication's maps by subdir and its findings; immutable, so it can be kept for as long as it is asked for."""

    number: int
    maps: dict[str, PublicationIndex]
    findings: ChannelFindings
    by_name: dict[str, list[ComponentFindings]] = field(default_factory=dict)
    unassessed: dict[str, str] = field(default_factory=dict)
    _packages: list[PackageOverview] | None = None
    _finding_rows: list[dict[str, Any]] | None = None
    _decisions: DecisionList | None = None

    def packages(self) -> list[PackageOverview]:
        """Every package name in order; made once."""
        if self._packages is None:
            self._packages = _overviews(self)
        return self._packages

    def finding_rows(self, of_name: Callable[[PublicationContents, str], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Every finding's row, by component; made once by `of_name`."""
        if self._finding_rows is None:
            self._finding_rows = [row for name in sorted(self.by_name) for row in of_name(self, name)]
        return self._finding_rows

    def decisions(self) -> DecisionList:
        """Withheld and warned records, ready to be narrowed and ordered; made once (0.6 s for 100k of them)."""
        if self._decisions is None:
            self._decisions = DecisionList(self.maps)
        return self._decisions

    def assessment_of(self, name: str, version: str) -> ComponentFindings | None:
        return next((c for c in self.by_name.get(name, ()) if c.version == version), None)


_loaded: OrderedDict[tuple[str, int], PublicationContents] = OrderedDict()


async def load_contents(ctx: Context, publication: Publication) -> PublicationContents:
    """The publication's maps and findings, from memory when they were asked for before."""
    cache_key = (ctx.resources.blobs.url, publication.id)
    found = _loaded.get(cache_key)
    if found is None or found.number != publication.number:
        found = await asyncio.to_thread(
            _open, ctx.resources, publication.number, publication.subdirs, publication.findings_key
        )
        _loaded[cache_key] = found
        while len(_loaded) > OPEN_AT_MOST:
            _loaded.popitem(last=False)
    _loaded.move_to_end(cache_key)
    return found


def _open(resources: Resources, number: int, subdirs: dict[str, Any], findings_key: str | None) -> PublicationContents:
    blobs = StoreBlobs(resources.blobs)
    maps = {subdir: PublicationIndex.open(blobs, entry["index"]) for subdir, entry in sorted(subdirs.items())}
    findings = ChannelFindings([], {})
    if findings_key is not None:
        findings = decode_findings(blobs.get(findings_key))
    contents = PublicationContents(number, maps, findings)
    for component in findings.components:
        contents.by_name.setdefault(component.name, []).append(component)
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
    overview = PackageOverview(
        name=name,
        latest=_newest(s.latest for s in summaries) or _newest(s.latest_upstream for s in summaries),
        versions=max(s.versions for s in summaries),
        records=sum(s.records for s in summaries),
        withheld=sum(s.withheld for s in summaries),
        warned=sum(s.warned for s in summaries),
        subdirs=sorted({s.subdir for s in summaries}),
        licenses=sorted({text for s in summaries for text in s.licenses}),
        assessed=name not in contents.unassessed,
        not_assessed_reason=contents.unassessed.get(name, ""),
    )
    worst: dict[str, Finding] = {}
    for component in contents.by_name.get(name, ()):
        for finding in component.assessment.findings:
            worst.setdefault(finding.ids[0], finding)
    if worst:
        overview.vulnerabilities = len(worst)
        overview.severity = max((f.severity for f in worst.values()), key=lambda s: Severity[s])
        overview.exploited = any(f.kev for f in worst.values())
        overview.risk = max(f.risk for f in worst.values())
    return overview
