"""A scan as a CycloneDX 1.6 document: what was found to be installed, and its vulnerabilities (a VDR).

Source: CycloneDX 1.6 JSON; the conda type of package-url (build, channel, subdir).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from antivenom.core.conda.licenses import read_license
from antivenom.core.matching.advisories import Finding
from antivenom.core.matching.identity import normalize_python
from antivenom.core.readers.purls import purl_of
from antivenom.core.readers.snapshot import Component
from antivenom.core.reports.advice import advise
from antivenom.core.reports.result import Hit, ScannedSnapshot, list_hits

_SEVERITIES = {"malware": "critical"}
_NAME = re.compile(r"[^\s=<>!~\[;(,]+")


def render(snapshots: Sequence[ScannedSnapshot], *, version: str, now: str, with_findings: bool = True) -> str:
    """The scan as one document.

    Args:
        version: Of this program.
        now: RFC 3339 UTC.
        with_findings: False leaves an SBOM.
    """
    components = dict.fromkeys(assessed.component for snapshot in snapshots for assessed in snapshot.components)
    refs = {component: _ref(component, number) for number, component in enumerate(components)}
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": now,
            "tools": {"components": [{"type": "application", "name": "antivenom", "version": version}]},
            "component": {
                "type": "application",
                "bom-ref": "scanned",
                "name": ", ".join(s.title for s in snapshots)[:500] or "-",
            },
        },
        "components": [_component(component, ref) for component, ref in refs.items()],
        "dependencies": _dependencies(snapshots, refs),
    }
    if with_findings:
        document["vulnerabilities"] = _vulnerabilities(list_hits(snapshots), refs)
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
    digests = [("MD5", component.md5), ("SHA-256", component.sha256)]
    if hashes := [{"alg": name, "content": digest} for name, digest in digests if digest]:
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


def _dependencies(snapshots: Iterable[ScannedSnapshot], refs: dict[Component, str]) -> list[dict[str, Any]]:
    """What needs what, within each environment."""
    needs: dict[str, dict[str, None]] = {}
    for snapshot in snapshots:
        by_name = {(a.component.type, _normal(a.component)): refs[a.component] for a in snapshot.components}
        for assessed in snapshot.components:
            component = assessed.component
            found = needs.setdefault(refs[component], {})
            for text in component.depends:
                name = _NAME.match(text)
                wanted = by_name.get((component.type, _fold(component.type, name[0]))) if name else None
                if wanted and wanted != refs[component]:
                    found[wanted] = None
    listed = [{"ref": ref, "dependsOn": list(found)} if found else {"ref": ref} for ref, found in needs.items()]
    return [{"ref": "scanned", "dependsOn": list(needs)}, *listed]


def _normal(component: Component) -> str:
    return _fold(component.type, component.name)


def _fold(kind: str, name: str) -> str:
    return normalize_python(name) if kind == "pypi" else name.lower()


def _vulnerabilities(hits: Iterable[Hit], refs: dict[Component, str]) -> list[dict[str, Any]]:
    by_id: dict[str, tuple[Finding, dict[str, str]]] = {}
    for hit in hits:
        _, affected = by_id.setdefault(hit.finding.ids[0], (hit.finding, {}))
        affected[refs[hit.component]] = hit.component.version
    return [_vulnerability(finding, affected) for finding, affected in by_id.values()]


def _vulnerability(finding: Finding, affected: dict[str, str]) -> dict[str, Any]:
    rating: dict[str, Any] = {"severity": _SEVERITIES.get(finding.severity, finding.severity)}
    if finding.cvss is not None:
        rating["score"] = finding.cvss
    found: dict[str, Any] = {
        "bom-ref": f"vulnerability-{finding.ids[0]}",
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
    if finding.published:
        found["published"] = finding.published
    if finding.modified:
        found["updated"] = finding.modified
    return found
