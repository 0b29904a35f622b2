"""What an earlier scan found already: a later one may look at what is new only.

A finding is the same one while it is the same vulnerability of the same package, in whatever version and environment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from antivenom.core.readers.parsing import parse_json, refuse
from antivenom.core.reports.as_json import FORM_VERSION
from antivenom.core.reports.result import ScannedSnapshot, reasons_of


class _Finding(msgspec.Struct):
    ids: tuple[str, ...]


class _Reason(msgspec.Struct):
    trigger_id: str


class _Policy(msgspec.Struct):
    reasons: tuple[_Reason, ...] = ()


class _Component(msgspec.Struct):
    type: str
    name: str
    findings: tuple[_Finding, ...] = ()
    policy: _Policy | None = None


class _Snapshot(msgspec.Struct):
    components: tuple[_Component, ...] = ()


class _Scan(msgspec.Struct):
    version: int
    snapshots: tuple[_Snapshot, ...]


class KnownFinding(NamedTuple):
    """A vulnerability, by one of its ids, of a package; or a reason of a policy, by its trigger_id."""

    type: str
    name: str
    id: str


def read_baseline(data: bytes, name: str) -> frozenset[KnownFinding]:
    """The findings of an earlier scan, which `--output json` wrote.

    Raises:
        InvalidInputError: It is no such file, or of a later form.
    """
    scan = parse_json(data, name, _Scan)
    if scan.version != FORM_VERSION:
        raise refuse(
            name, f"it is of version {scan.version}; known is {FORM_VERSION}", hint="scan again to make it anew"
        )
    return frozenset(
        KnownFinding(component.type, component.name, finding_id)
        for snapshot in scan.snapshots
        for component in snapshot.components
        for finding_id in (
            *(i for finding in component.findings for i in finding.ids),
            *(reason.trigger_id for reason in (component.policy.reasons if component.policy else ())),
        )
    )


def known_findings(snapshots: Iterable[ScannedSnapshot]) -> frozenset[KnownFinding]:
    """The findings of a scan, and what its policy said."""
    return frozenset(
        KnownFinding(assessed.component.type, assessed.component.name, known_id)
        for snapshot in snapshots
        for assessed in snapshot.components
        for known_id in (
            *(i for finding in assessed.findings for i in finding.ids),
            *(reason.trigger_id for reason in reasons_of(assessed)),
        )
    )


def only_new(
    snapshots: Iterable[ScannedSnapshot], known: Collection[KnownFinding]
) -> tuple[list[ScannedSnapshot], int]:
    """The scan without what is known, and how many findings that leaves out. Ids may have come to a vulnerability."""
    left_out = 0
    found = []
    for snapshot in snapshots:
        components = []
        for assessed in snapshot.components:
            of = assessed.component
            new = tuple(
                finding
                for finding in assessed.findings
                if not any(KnownFinding(of.type, of.name, finding_id) in known for finding_id in finding.ids)
            )
            left_out += len(assessed.findings) - len(new)
            components.append(assessed._replace(findings=new))
        found.append(snapshot._replace(components=tuple(components)))
    return found, left_out


def without_known_reasons(snapshot: ScannedSnapshot, known: Collection[KnownFinding]) -> ScannedSnapshot:
    """The judged scan without the reasons of the policy that are known; what is left decides."""
    components = []
    for assessed in snapshot.components:
        of, judgement = assessed.component, assessed.judgement
        if judgement is not None and judgement.reasons:
            new = tuple(r for r in judgement.reasons if KnownFinding(of.type, of.name, r.trigger_id) not in known)
            judgement = judgement._replace(action=new[0].action if new else "go", reasons=new)
        components.append(assessed._replace(judgement=judgement))
    return snapshot._replace(components=tuple(components))
