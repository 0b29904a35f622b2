"""A scan as SARIF 2.1.0, as code-scanning pages show it: a rule for each vulnerability, a result for each component.

Source: SARIF 2.1.0 (OASIS), sections 3.27 (result), 3.49 (reportingDescriptor); pages sort by `security-severity`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from antivenom.core.matching.advisories import Finding
from antivenom.core.reports.advice import advise
from antivenom.core.reports.result import Hit, ScannedSnapshot, list_hits

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {
    "unknown": "warning",
    "low": "note",
    "medium": "warning",
    "high": "error",
    "critical": "error",
    "malware": "error",
}
_SCORES = {"unknown": 0.0, "low": 2.0, "medium": 5.5, "high": 8.0, "critical": 9.5, "malware": 10.0}


def render(snapshots: Sequence[ScannedSnapshot], *, version: str) -> str:
    """The scan as one SARIF log with one run.

    Args:
        version: Of this program.
    """
    hits = list(list_hits(snapshots))
    rules: dict[str, dict[str, Any]] = {}
    for hit in hits:
        rules.setdefault(hit.finding.ids[0], _rule(hit.finding))
    places = {rule_id: place for place, rule_id in enumerate(rules)}
    driver = {
        "name": "Antivenom",
        "semanticVersion": version,
        "rules": list(rules.values()),
    }
    results = [_result(hit, places[hit.finding.ids[0]]) for hit in hits]
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rule(finding: Finding) -> dict[str, Any]:
    name = finding.ids[0]
    title = finding.summary or f"{name} ({finding.severity})"
    score = finding.cvss if finding.cvss is not None else _SCORES[finding.severity]
    return {
        "id": name,
        "shortDescription": {"text": title[:1000]},
        "help": {"text": "Also known as " + ", ".join(finding.ids[1:]) if finding.ids[1:] else title[:1000]},
        "defaultConfiguration": {"level": _LEVELS[finding.severity]},
        "properties": {"security-severity": f"{score:.1f}", "tags": ["security", finding.kind, finding.severity]},
    }


def _result(hit: Hit, rule_index: int) -> dict[str, Any]:
    component, finding = hit.component, hit.finding
    text = f"{component.name} {component.version} has {finding.ids[0]} ({finding.severity}): {advise([finding])}"
    parts = (finding.ids[0], hit.snapshot.environment, hit.snapshot.platform, component.type, component.name)
    return {
        "ruleId": finding.ids[0],
        "ruleIndex": rule_index,
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": _uri(hit.snapshot.target)}, "region": {"startLine": 1}}}
        ],
        "partialFingerprints": {"component/v1": hashlib.sha256("\0".join(parts).encode()).hexdigest()},
    }


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path.replace("\\", "/").removeprefix("./")) or "-"
