"""A scan as JSON for scripts. Its form has a version, which grows when a member changes its meaning or goes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.snapshot import Component, Skipped
from antivenom.core.reports.advice import advise
from antivenom.core.reports.changes import Changes
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot, count_components, list_hits

FORM_VERSION = 1


class ComponentResult(msgspec.Struct, frozen=True):
    """One component. `advice` is empty without findings."""

    type: str
    name: str
    version: str
    build: str
    subdir: str
    channel: str
    purl: str
    assessed: bool
    reason: str
    undecided: tuple[str, ...]
    advice: str
    findings: tuple[Finding, ...]


class SkippedResult(msgspec.Struct, frozen=True):
    """Something that could not be assessed, and why."""

    what: str
    why: str


class SnapshotResult(msgspec.Struct, frozen=True):
    """One environment on one platform. `wanted`: what the file asks for and nobody has solved."""

    target: str
    kind: str
    environment: str
    platform: str
    components: tuple[ComponentResult, ...]
    skipped: tuple[SkippedResult, ...]
    wanted: tuple[str, ...]


class ScanResult(msgspec.Struct, frozen=True):
    """A whole scan."""

    version: int
    components: int
    not_assessed: int
    findings: int
    snapshots: tuple[SnapshotResult, ...]


def render(snapshots: Sequence[ScannedSnapshot]) -> str:
    """The scan as one JSON document."""
    components, not_assessed, _ = count_components(snapshots)
    result = ScanResult(
        FORM_VERSION, components, not_assessed, sum(1 for _ in list_hits(snapshots)), tuple(map(_snapshot, snapshots))
    )
    return msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n"


class ChangeResult(msgspec.Struct, frozen=True):
    """A finding that came or went."""

    type: str
    name: str
    version: str
    finding: Finding


class PackageResult(msgspec.Struct, frozen=True):
    """A package that changed; "" where it was not, or is not."""

    type: str
    name: str
    old: str
    new: str


class ChangesResult(msgspec.Struct, frozen=True):
    """What differs between two scans."""

    version: int
    packages: tuple[PackageResult, ...]
    came: tuple[ChangeResult, ...]
    went: tuple[ChangeResult, ...]


def render_changes(changes: Changes) -> str:
    """What differs between two scans as one JSON document."""
    result = ChangesResult(
        FORM_VERSION,
        tuple(PackageResult(*change) for change in changes.packages),
        tuple(ChangeResult(*change) for change in changes.came),
        tuple(ChangeResult(*change) for change in changes.went),
    )
    return msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n"


def _snapshot(snapshot: ScannedSnapshot) -> SnapshotResult:
    return SnapshotResult(
        snapshot.target,
        snapshot.kind,
        snapshot.environment,
        snapshot.platform,
        tuple(map(_component, snapshot.components)),
        tuple(_skipped(entry) for entry in snapshot.skipped),
        snapshot.wanted,
    )


def _skipped(entry: Skipped) -> SkippedResult:
    return SkippedResult(entry.what, entry.why)


def _component(assessed: AssessedComponent) -> ComponentResult:
    component: Component = assessed.component
    return ComponentResult(
        component.type,
        component.name,
        component.version,
        component.build,
        component.subdir,
        component.channel,
        component.purl,
        assessed.assessed,
        assessed.reason,
        assessed.undecided,
        advise(assessed.findings) if assessed.findings else "",
        assessed.findings,
    )
