"""A scan as SARIF 2.1.0, as code-scanning pages show it: a rule for each vulnerability, a result for each component.

Source: SARIF 2.1.0 (OASIS), sections 3.27 (result), 3.49 (reportingDescriptor); pages sort by `security-severity`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from antivenom.core.matching.advisories import Finding
from antivenom.core.reports.advice import advise
from antivenom.core.reports.result import Hit, ScannedSnapshot, list_hits

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
NOTES_MAX = 1000
_LEVELS = {
    "unknown": "warning",
    "low": "note",
    "medium": "warning",
    "high": "error",
    "critical": "error",
    "malware": "error",
}
_SCORES = {"unknown": 0.0, "low": 2.0, "medium": 5.5, "high": 8.0, "critical": 9.5, "malware": 10.0}


class SarifReport:
    """One SARIF log with one run: its results as they come, then the tool with the rules that they name.

    Args:
        version: Of this program.
    """

    def __init__(self, *, version: str) -> None:
        self._version = version
        self._rules: dict[str, tuple[int, dict[str, Any]]] = {}
        self._notes: list[dict[str, Any]] = []
        self._all_read = True
        self._next = f'{{\n  "$schema": "{SCHEMA}",\n  "version": "2.1.0",\n  "runs": [\n    {{\n      "results": ['

    def add(self, snapshot: ScannedSnapshot) -> str:
        self._note(snapshot)
        parts = []
        for hit in list_hits([snapshot]):
            name = hit.finding.ids[0]
            place, _ = self._rules.get(name) or self._rules.setdefault(name, (len(self._rules), _rule(hit.finding)))
            before, self._next = self._next, ","
            parts.append(f"{before}\n        {_dumps(_result(hit, place))}")
        return "".join(parts)

    def _note(self, snapshot: ScannedSnapshot) -> None:
        """Keep what could not be assessed, as far as people read."""
        self._all_read &= not snapshot.error
        left_out = [f"{snapshot.title}: {what} is left out: {why}" for what, why in snapshot.skipped]
        for text in (*((snapshot.error,) if snapshot.error else ()), *left_out):
            if len(self._notes) < NOTES_MAX:
                level = "error" if snapshot.error else "warning"
                self._notes.append({"level": level, "message": {"text": text}})

    def end(self) -> str:
        begun = "" if self._next == "," else self._next
        driver = {
            "name": "Antivenom",
            "semanticVersion": self._version,
            "rules": [rule for _, rule in self._rules.values()],
        }
        invocation = {"executionSuccessful": self._all_read, "toolExecutionNotifications": self._notes}
        rest = {"tool": {"driver": driver}, "invocations": [invocation]}
        members = ",\n".join(f'      "{name}": {_dumps(value)}' for name, value in rest.items())
        return f"{begun}\n      ],\n{members}\n    }}\n  ]\n}}\n"


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


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
