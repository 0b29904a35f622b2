"""A scan as a CycloneDX 1.6 document: what was found to be installed, and its vulnerabilities (a VDR).

Source: CycloneDX 1.6 JSON; the conda type of package-url (build, channel, subdir).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from antivenom.core.conda.licenses import read_license
from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.purls import purl_of
from antivenom.core.readers.snapshot import Component, list_digests
from antivenom.core.reports.needs import add_needs
from antivenom.core.reports.result import AssessedComponent, Judgement, ScannedSnapshot, Statement
from antivenom_client.report import advise

_SEVERITIES = {"malware": "critical"}
_STATES = {
    "not_affected": "not_affected",
    "fixed": "resolved",
    "affected": "exploitable",
    "under_investigation": "in_triage",
    "excepted": "exploitable",
}
TITLE_CHARACTERS = 500


class CycloneDxReport:
    """One document, written at the end: each component once, what it needs in any environment, what affects it.

    Args:
        version: Of this program.
        now: RFC 3339 UTC.
        with_findings: False leaves an SBOM.
    """

    def __init__(self, *, version: str, now: str, with_findings: bool = True) -> None:
        self._version, self._now, self._with_findings = version, now, with_findings
        self._title = ""
        self._refs: dict[Component, str] = {}
        self._needs: dict[str, dict[str, None]] = {}
        self._found: dict[tuple[str, Statement | None], tuple[Finding, dict[str, str]]] = {}
        self._judged: dict[str, Judgement] = {}

    def add(self, snapshot: ScannedSnapshot) -> str:
        if len(self._title) < TITLE_CHARACTERS:
            self._title += f"{', ' if self._title else ''}{snapshot.title}"
        for assessed in snapshot.components:
            self._refs.setdefault(assessed.component, _ref(assessed.component, len(self._refs)))
        add_needs(self._needs, snapshot, self._refs)
        if self._with_findings:
            for assessed in snapshot.components:
                self._add_findings(assessed)
        return ""

    def _add_findings(self, assessed: AssessedComponent) -> None:
        ref = self._refs[assessed.component]
        said = dict(assessed.statements)
        told = [(finding, said.get(finding.ids[0])) for finding in assessed.findings]
        for finding, statement in (*told, *assessed.set_aside):
            _, affected = self._found.setdefault((finding.ids[0], statement), (finding, {}))
            affected[ref] = assessed.component.version
        if assessed.judgement and _rank(assessed.judgement) > _rank(self._judged.get(ref)):
            self._judged[ref] = assessed.judgement

    def end(self) -> str:
        document: dict[str, Any] = {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "timestamp": self._now,
                "tools": {"components": [{"type": "application", "name": "antivenom", "version": self._version}]},
                "component": {
                    "type": "application",
                    "bom-ref": "scanned",
                    "name": self._title[:TITLE_CHARACTERS] or "-",
                },
            },
            "components": [_component(c, ref) | _policy(self._judged.get(ref)) for c, ref in self._refs.items()],
            "dependencies": _dependencies(self._needs),
        }
        if self._with_findings:
            document["vulnerabilities"] = [
                _vulnerability(finding, affected, statement, number)
                for number, ((_, statement), (finding, affected)) in enumerate(self._found.items())
            ]
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _ref(component: Component, number: int) -> str:
    return f"{number}-{purl_of(component)}"  # one package may be installed twice


def _component(component: Component, ref: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": ref,
        "name": component.name,
        "version": component.version,
        "purl": purl_of(component),
    }
    if hashes := [{"alg": name, "content": digest} for name, digest in list_digests(component)]:
        found["hashes"] = hashes
    if component.license:
        found["licenses"] = [_license(component.license)]
    if "://" in component.url:
        found["externalReferences"] = [{"type": "distribution", "url": component.url}]
    return found


def _license(text: str) -> dict[str, Any]:
    expression = read_license(text)
    if any(found.id == "NONE" for found in expression.licenses):
        return {"license": {"name": text}}
    return {"expression": expression.text, "acknowledgement": "declared"}


def _dependencies(needs: Mapping[str, Iterable[str]]) -> list[dict[str, Any]]:
    listed = [{"ref": ref, "dependsOn": list(found)} if found else {"ref": ref} for ref, found in needs.items()]
    return [{"ref": "scanned", "dependsOn": list(needs)}, *listed]


def _rank(judgement: Judgement | None) -> int:
    return ("", "go", "warn", "stop").index(judgement.action if judgement else "")


def _policy(judgement: Judgement | None) -> dict[str, Any]:
    """What the policy decides, as properties of a component; the worst of all environments."""
    if judgement is None:
        return {}
    told = [{"name": "antivenom:policy", "value": judgement.action}]
    told += [{"name": "antivenom:policy:reason", "value": reason.message} for reason in judgement.reasons]
    return {"properties": told}


def _analysis(statement: Statement) -> dict[str, Any]:
    """A statement in the words of CycloneDX. An exception of a policy accepts a risk: it does not say there is none."""
    found: dict[str, Any] = {"state": _STATES[statement.status], "detail": statement.sentence}
    return found | ({"response": ["will_not_fix"]} if statement.status == "excepted" else {})


def _vulnerability(
    finding: Finding, affected: dict[str, str], statement: Statement | None, number: int
) -> dict[str, Any]:
    rating: dict[str, Any] = {"severity": _SEVERITIES.get(finding.severity, finding.severity)}
    if finding.cvss is not None:
        rating["score"] = finding.cvss
    found: dict[str, Any] = {
        "bom-ref": f"vulnerability-{number}-{finding.ids[0]}",
        "id": finding.ids[0],
        "references": [{"id": other, "source": {"name": other.partition("-")[0]}} for other in finding.ids[1:]],
        "ratings": [rating],
        "description": finding.summary,
        "recommendation": advise([finding]),
        "affects": [
            {"ref": ref, "versions": [{"version": version, "status": "affected"}]} for ref, version in affected.items()
        ],
        "properties": [
            {"name": "antivenom:kev", "value": str(finding.kev).lower()},
            {"name": "antivenom:risk", "value": f"{finding.risk:g}"},
        ],
    }
    if statement is not None:
        found["analysis"] = _analysis(statement)
    if finding.published:
        found["published"] = finding.published
    if finding.modified:
        found["updated"] = finding.modified
    return found
