"""A scan as an OpenVEX 0.2.0 document: which vulnerabilities affect which packages, and what sets others aside.

Source: OpenVEX specification 0.2.0 ("affected" needs an action statement, "not_affected" a justification or an impact).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.purls import purl_of
from antivenom.core.reports.links import advisory_url
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot, Statement
from antivenom_client.report import advise

CONTEXT = "https://openvex.dev/ns/v0.2.0"
_JUSTIFICATIONS = {
    "component_not_present": "component_not_present",
    "vulnerable_code_not_present": "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path": "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary": "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist": "inline_mitigations_already_exist",
    "code_not_present": "vulnerable_code_not_present",  # the words of CycloneDX
    "code_not_reachable": "vulnerable_code_not_in_execute_path",
    "protected_at_runtime": "inline_mitigations_already_exist",
    "protected_at_perimeter": "inline_mitigations_already_exist",
    "protected_by_mitigating_control": "inline_mitigations_already_exist",
}


class _Said(NamedTuple):
    """What is said of one vulnerability, of whichever packages."""

    id: str
    status: str
    justification: str = ""
    impact: str = ""
    action: str = ""
    notes: str = ""


class OpenVexReport:
    """One document, written at the end: a statement for each vulnerability and what is said of it.

    Args:
        version: Of this program.
        now: RFC 3339 UTC.
    """

    def __init__(self, *, version: str, now: str) -> None:
        self._version, self._now = version, now
        self._products: dict[_Said, dict[str, None]] = {}
        self._findings: dict[str, Finding] = {}

    def add(self, snapshot: ScannedSnapshot) -> str:
        for assessed in snapshot.components:
            if assessed.findings or assessed.set_aside or assessed.undecided:
                self._add(assessed)
        return ""

    def _add(self, assessed: AssessedComponent) -> None:
        purl = purl_of(assessed.component)
        said = dict(assessed.statements)
        found = [(finding, said.get(finding.ids[0])) for finding in assessed.findings]
        for finding, statement in (*found, *assessed.set_aside):
            self._findings.setdefault(finding.ids[0], finding)
            self._products.setdefault(_said(finding, statement), {})[purl] = None
        for name in assessed.undecided:
            notes = "nobody names a version that can be compared"
            self._products.setdefault(_Said(name, "under_investigation", notes=notes), {})[purl] = None

    def end(self) -> str:
        statements = [self._statement(said, products) for said, products in self._products.items()]
        digest = hashlib.sha256(json.dumps([self._now, statements]).encode()).hexdigest()
        document = {
            "@context": CONTEXT,
            "@id": f"https://openvex.dev/docs/public/vex-{digest}",
            "author": "antivenom scan",
            "role": "Scanner",
            "timestamp": self._now,
            "version": 1,
            "tooling": f"antivenom {self._version}",
            "statements": statements,
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def _statement(self, said: _Said, products: dict[str, None]) -> dict[str, Any]:
        vulnerability: dict[str, Any] = {"@id": advisory_url(said.id), "name": said.id}
        if finding := self._findings.get(said.id):
            vulnerability |= {"description": finding.summary} if finding.summary else {}
            vulnerability |= {"aliases": list(finding.ids[1:])} if finding.ids[1:] else {}
        texts = {
            "justification": said.justification,
            "impact_statement": said.impact,
            "action_statement": said.action,
            "status_notes": said.notes,
        }
        return {
            "vulnerability": vulnerability,
            "products": [{"@id": purl, "identifiers": {"purl": purl}} for purl in products],
            "status": said.status,
            **{name: text for name, text in texts.items() if text},
        }


def _said(finding: Finding, statement: Statement | None) -> _Said:
    """What is said of a finding: it affects, unless a statement says otherwise. An accepted risk still affects."""
    name, action = finding.ids[0], advise([finding])
    if statement is None or statement.status == "affected":
        return _Said(name, "affected", action=action, notes=statement.sentence if statement else "")
    if statement.status == "excepted":
        return _Said(name, "affected", action=f"accepted: {statement.text}", notes=statement.source)
    if statement.status == "not_affected":
        justification = _JUSTIFICATIONS.get(statement.justification, "")
        return _Said(name, "not_affected", justification, statement.text or statement.sentence)
    return _Said(name, statement.status, notes=statement.sentence)
