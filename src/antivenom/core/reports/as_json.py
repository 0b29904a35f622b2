"""A scan as JSON for scripts. Its form has a version, which grows when a member changes its meaning or goes."""

from __future__ import annotations

import msgspec

from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.snapshot import Component, Skipped
from antivenom.core.reports.advice import advise_component
from antivenom.core.reports.changes import Changes
from antivenom.core.reports.result import AssessedComponent, Judgement, ScannedSnapshot, Totals

FORM_VERSION = 1


class StatementResult(msgspec.Struct, frozen=True):
    """What a VEX document or an allowlist item says of one finding."""

    finding: Finding
    status: str
    source: str
    justification: str
    text: str


class ReasonResult(msgspec.Struct, frozen=True):
    """One reason of a policy. `excepted_by`: the allowlist item that puts it aside."""

    rule_id: str
    gate: str
    trigger: str
    trigger_id: str
    action: str
    message: str
    recommendation: str
    undecided: bool
    excepted_by: str = ""


class PolicyResult(msgspec.Struct, frozen=True):
    """What the policy decides: go, warn or stop."""

    action: str
    reasons: tuple[ReasonResult, ...]
    excepted: tuple[ReasonResult, ...]


class ComponentResult(msgspec.Struct, frozen=True):
    """One component. `advice` is empty without findings; `policy` is null without one.

    `set_aside`: findings that do not count, and why. `statements`: what is said of findings that do.
    """

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
    set_aside: tuple[StatementResult, ...]
    statements: tuple[StatementResult, ...]
    policy: PolicyResult | None


class SkippedResult(msgspec.Struct, frozen=True):
    """Something that could not be assessed, and why."""

    what: str
    why: str


class SnapshotResult(msgspec.Struct, frozen=True):
    """One environment on one platform. `wanted`: what the file asks for and nobody has solved.

    `error`: why the target could not be read.
    """

    target: str
    kind: str
    environment: str
    platform: str
    components: tuple[ComponentResult, ...]
    skipped: tuple[SkippedResult, ...]
    wanted: tuple[str, ...]
    error: str


class ScanResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole scan. The counts are of all snapshots; those of a policy are there only with one."""

    version: int
    snapshots: tuple[SnapshotResult, ...]
    components: int
    not_assessed: int
    findings: int
    set_aside: int
    policy_go: int | msgspec.UnsetType = msgspec.UNSET
    policy_warn: int | msgspec.UnsetType = msgspec.UNSET
    policy_stop: int | msgspec.UnsetType = msgspec.UNSET


class JsonReport:
    """A `ScanResult` as it comes: the counts stand behind the snapshots."""

    def __init__(self) -> None:
        self._totals = Totals()
        self._next = f'{{\n  "version": {FORM_VERSION},\n  "snapshots": ['

    def add(self, snapshot: ScannedSnapshot) -> str:
        self._totals.add(snapshot)
        before, self._next = self._next, ","
        text = msgspec.json.format(msgspec.json.encode(_snapshot(snapshot)), indent=2).decode()
        return f"{before}\n    " + text.replace("\n", "\n    ")  # no text in JSON holds a line end

    def end(self) -> str:
        begun = "" if self._next == "," else self._next
        of = self._totals
        counts = {
            "components": of.components,
            "not_assessed": of.not_assessed,
            "findings": of.findings,
            "set_aside": of.set_aside,
        }
        counts |= {f"policy_{action}": of.actions[action] for action in ("go", "warn", "stop") if of.actions}
        return begun + "\n  ]" + "".join(f',\n  "{name}": {count}' for name, count in counts.items()) + "\n}\n"


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
        snapshot.error,
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
        advise_component(assessed),
        assessed.findings,
        tuple(StatementResult(finding, *statement) for finding, statement in assessed.set_aside),
        tuple(
            StatementResult(finding, *statement)
            for name, statement in assessed.statements
            for finding in assessed.findings
            if finding.ids[0] == name
        ),
        _policy(assessed.judgement) if assessed.judgement else None,
    )


def _policy(judgement: Judgement) -> PolicyResult:
    reasons = tuple(ReasonResult(*reason) for reason in judgement.reasons)
    return PolicyResult(
        judgement.action, reasons, tuple(ReasonResult(*reason, item) for item, reason in judgement.excepted)
    )
