"""The result of a scan, which every format renders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

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
    """One environment on one platform, assessed. `target` is the path of what was scanned, `kind` what it is."""

    target: str
    kind: str
    environment: str
    platform: str
    components: tuple[AssessedComponent, ...]
    skipped: tuple[Skipped, ...] = ()
    wanted: tuple[str, ...] = ()

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


def list_hits(snapshots: Sequence[ScannedSnapshot]) -> Iterator[Hit]:
    """Every finding, snapshot by snapshot: the component with the worst finding first, its findings worst first."""
    for snapshot in snapshots:
        with_findings = [assessed for assessed in snapshot.components if assessed.findings]
        for assessed in sorted(with_findings, key=lambda a: (*_worst_first(a.findings[0]), a.component.name)):
            for finding in assessed.findings:
                yield Hit(snapshot, assessed, finding)


def _worst_first(finding: Finding) -> tuple[bool, bool, float, int]:
    severity = Severity[finding.severity]
    return severity is not Severity.malware, not finding.kev, -finding.risk, -int(severity)


def count_components(snapshots: Sequence[ScannedSnapshot]) -> tuple[int, int, int]:
    """How many components there are, how many of them are not assessed, and how much was skipped or is wanted only."""
    components = [assessed for snapshot in snapshots for assessed in snapshot.components]
    left_out = sum(len(snapshot.skipped) + len(snapshot.wanted) for snapshot in snapshots)
    return len(components), sum(not assessed.assessed for assessed in components), left_out


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
