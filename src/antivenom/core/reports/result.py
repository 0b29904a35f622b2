"""The result of a scan, which every format renders, one snapshot after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.snapshot import Component, Skipped
from antivenom_client.report import STOP, fails, title_of, with_findings

FAIL_ON = ("low", "medium", "high", "critical", "kev", "malware", "any", "stop")


class PolicyReason(NamedTuple):
    """Why a policy does not simply let a component pass: the words of a channel's reason (core/policy).

    `is_undecided`: the rule could not be evaluated.
    """

    rule_id: str
    gate: str
    trigger: str
    trigger_id: str
    action: str
    message: str
    recommendation: str = ""
    is_undecided: bool = False


class Judgement(NamedTuple):
    """What a policy decides for a component: "go", "warn" or "stop", and why, the worst first.

    `excepted`: reasons that an allowlist item puts aside, each with the item's id.
    """

    action: str
    reasons: tuple[PolicyReason, ...] = ()
    excepted: tuple[tuple[str, PolicyReason], ...] = ()


class Statement(NamedTuple):
    """What somebody says of a vulnerability of a component: a VEX document, or an allowlist item.

    `status`: a status of VEX, or "excepted" by an allowlist item. `source`: the document, or the policy and the item.
    """

    status: str
    source: str
    justification: str = ""
    text: str = ""

    @property
    def sentence(self) -> str:
        """All of it for people."""
        why = ": ".join(part for part in (self.justification.replace("_", " "), self.text) if part)
        return f"{self.status.replace('_', ' ')} ({self.source})" + (f": {why}" if why else "")


class AssessedComponent(NamedTuple):
    """A component and what is known of it. `assessed` False: no source covers it, and `reason` says why.

    `set_aside`: findings that a statement sets aside; they count nowhere. `statements`: what else is said of findings,
    by their first id. `judgement`: what a policy decides; None without one. `hints`: what stands in the way of a fix.
    """

    component: Component
    assessed: bool
    reason: str
    findings: tuple[Finding, ...]
    undecided: tuple[str, ...] = ()
    set_aside: tuple[tuple[Finding, Statement], ...] = ()
    statements: tuple[tuple[str, Statement], ...] = ()
    judgement: Judgement | None = None
    hints: tuple[str, ...] = ()

    @property
    def other_reasons(self) -> list[PolicyReason]:
        """The reasons of the policy that are about none of the findings, and were decided."""
        shown = {i.casefold() for finding in self.findings for i in finding.ids}
        return [
            r for r in reasons_of(self) if not r.is_undecided and r.trigger_id.partition("+")[0].casefold() not in shown
        ]

    @property
    def is_stopped(self) -> bool:
        return self.judgement is not None and self.judgement.action == STOP


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
        return title_of(self.target, self.environment, self.platform)


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
        for assessed in with_findings(snapshot.components):
            for finding in assessed.findings:
                yield Hit(snapshot, assessed, finding)


class Totals:
    """How much a scan has seen: taken while it streams.

    `left_out`: what was skipped, is wanted only, or could not be read. `actions`: how many components a policy lets
    pass, warns of and stops.
    """

    def __init__(self) -> None:
        self.snapshots = self.components = self.not_assessed = self.findings = self.left_out = self.set_aside = 0
        self.actions: Counter[str] = Counter()

    def add(self, snapshot: ScannedSnapshot) -> None:
        """Count one more snapshot; one that could not be read is none."""
        self.snapshots += not snapshot.error
        self.components += len(snapshot.components)
        self.not_assessed += sum(not assessed.assessed for assessed in snapshot.components)
        self.findings += sum(len(assessed.findings) for assessed in snapshot.components)
        self.set_aside += sum(len(assessed.set_aside) for assessed in snapshot.components)
        self.actions.update(assessed.judgement.action for assessed in snapshot.components if assessed.judgement)
        self.left_out += len(snapshot.skipped) + len(snapshot.wanted) + bool(snapshot.error)


def reasons_of(assessed: AssessedComponent) -> tuple[PolicyReason, ...]:
    """The reasons of the policy, the worst first; none without a policy."""
    return assessed.judgement.reasons if assessed.judgement else ()


def count_undecided(snapshot: ScannedSnapshot) -> Counter[tuple[str, str]]:
    """For how many components each rule could not be evaluated, by the rule and why."""
    return Counter(
        (reason.rule_id, reason.message.rpartition(": ")[2])
        for assessed in snapshot.components
        for reason in reasons_of(assessed)
        if reason.is_undecided
    )


def component_fails(assessed: AssessedComponent, limits: Sequence[str]) -> bool:
    """Whether a component is one of those for which a scan fails: by a finding, or because a policy stops it."""
    stopped = assessed.is_stopped and (STOP in limits or "any" in limits)
    return stopped or any(fails(finding, limits) for finding in assessed.findings)
