"""The result of a scan, which every format renders, one snapshot after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from antivenom.core.matching.advisories import Finding, Severity
from antivenom.core.readers.snapshot import Component, Skipped

FAIL_ON = ("low", "medium", "high", "critical", "kev", "malware", "any")


class AssessedComponent(NamedTuple):
    """A component and what is known of it. `assessed` False: no source covers it, and `reason` says why."""

    component: Component
    assessed: bool
    reason: str
    findings: tuple[Finding, ...]
    undecided: tuple[str, ...] = ()


class ScannedSnapshot(NamedTuple):
    """One environment on one platform, assessed. `target` is the path of what was scanned, `kind` what it is.

    `error`: why the target could not be read; then there is nothing else.
    """

    target: str
    kind: str
    environment: str
    platform: str
    components: tuple[AssessedComponent, ...]
    skipped: tuple[Skipped, ...] = ()
    wanted: tuple[str, ...] = ()
    error: str = ""

    @property
    def title(self) -> str:
        """How people call it: the path, and what tells it apart from others in the same file."""
        parts = ", ".join(part for part in (self.environment, self.platform) if part)
        return f"{self.target} ({parts})" if parts else self.target


class Hit(NamedTuple):
    """One finding on one component of one snapshot."""

    snapshot: ScannedSnapshot
    assessed: AssessedComponent
    finding: Finding

    @property
    def component(self) -> Component:
        return self.assessed.component


class Report(Protocol):
    """A format of a scan: the text that each snapshot adds, and what completes the document.

    A report holds no snapshot: at most what differs between them, so that any number of them can be scanned.
    """

    def add(self, snapshot: ScannedSnapshot) -> str:
        """The next part of the document."""

    def end(self) -> str:
        """The rest of the document; without any snapshot, a whole one."""


def render(report: Report, snapshots: Iterable[ScannedSnapshot]) -> str:
    """A whole document."""
    return "".join((*map(report.add, snapshots), report.end()))


def list_hits(snapshots: Iterable[ScannedSnapshot]) -> Iterator[Hit]:
    """Every finding, snapshot by snapshot: the component with the worst finding first, its findings worst first."""
    for snapshot in snapshots:
        with_findings = [assessed for assessed in snapshot.components if assessed.findings]
        for assessed in sorted(with_findings, key=lambda a: (*_worst_first(a.findings[0]), a.component.name)):
            for finding in assessed.findings:
                yield Hit(snapshot, assessed, finding)


def _worst_first(finding: Finding) -> tuple[bool, bool, float, int]:
    severity = Severity[finding.severity]
    return severity is not Severity.malware, not finding.kev, -finding.risk, -int(severity)


class Totals:
    """How much a scan has seen: taken while it streams.

    `left_out`: what was skipped, is wanted only, or could not be read.
    """

    def __init__(self) -> None:
        self.snapshots = self.components = self.not_assessed = self.findings = self.left_out = 0

    def add(self, snapshot: ScannedSnapshot) -> None:
        """Count one more snapshot; one that could not be read is none."""
        self.snapshots += not snapshot.error
        self.components += len(snapshot.components)
        self.not_assessed += sum(not assessed.assessed for assessed in snapshot.components)
        self.findings += sum(len(assessed.findings) for assessed in snapshot.components)
        self.left_out += len(snapshot.skipped) + len(snapshot.wanted) + bool(snapshot.error)


def fails(finding: Finding, limits: Sequence[str]) -> bool:
    """Whether a finding is one of those for which a scan fails.

    Args:
        limits: Of `FAIL_ON`; a severity also stands for those above it. Malware fails with every limit.
    """
    if not limits:
        return False
    severity = Severity[finding.severity]
    least = [Severity[limit] for limit in limits if limit in Severity.__members__]
    return (
        severity is Severity.malware
        or "any" in limits
        or ("kev" in limits and finding.kev)
        or any(severity >= limit for limit in least)
    )
