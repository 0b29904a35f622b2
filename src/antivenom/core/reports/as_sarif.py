"""A scan as SARIF 2.1.0, as code-scanning pages show it: a rule for each vulnerability, a result for each component.

Source: SARIF 2.1.0 (OASIS), sections 3.27 (result), 3.49 (reportingDescriptor); pages sort by `security-severity`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from antivenom.core.matching.advisories import Finding
from antivenom.core.reports.result import (
    AssessedComponent,
    Hit,
    PolicyReason,
    ScannedSnapshot,
    count_undecided,
    list_hits,
)
from antivenom_client.report import advise

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
_ACTIONS = {"go": "note", "warn": "warning", "stop": "error"}
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
        results = [
            *(_result(hit, self._place(hit.finding.ids[0], hit.finding)) for hit in list_hits([snapshot])),
            *self._set_aside(snapshot),
            *self._of_policy(snapshot),
        ]
        parts = []
        for result in results:
            before, self._next = self._next, ","
            parts.append(f"{before}\n        {_dumps(result)}")
        return "".join(parts)

    def _place(self, name: str, of: Finding | PolicyReason) -> int:
        """The place of a rule in the list of rules."""
        if name not in self._rules:
            self._rules[name] = (len(self._rules), _rule(of) if isinstance(of, Finding) else _policy_rule(name, of))
        return self._rules[name][0]

    def _set_aside(self, snapshot: ScannedSnapshot) -> Iterator[dict[str, Any]]:
        for assessed in snapshot.components:
            for finding, statement in assessed.set_aside:
                result = _result(Hit(snapshot, assessed, finding), self._place(finding.ids[0], finding))
                suppression = {"kind": "external", "status": "accepted", "justification": statement.sentence}
                yield {**result, "suppressions": [suppression]}

    def _of_policy(self, snapshot: ScannedSnapshot) -> Iterator[dict[str, Any]]:
        """What a policy says that is about no finding."""
        for assessed in snapshot.components:
            for reason in assessed.other_reasons:
                name = f"policy/{reason.rule_id}"
                told = {"ruleId": name, "ruleIndex": self._place(name, reason), "level": _ACTIONS[reason.action]}
                text = f"{reason.action}: {reason.message}"
                yield {**told, "message": {"text": text}, **_located(snapshot, assessed, reason.trigger_id)}

    def _note(self, snapshot: ScannedSnapshot) -> None:
        """Keep what could not be assessed, as far as people read."""
        self._all_read &= not snapshot.error
        left_out = [f"{snapshot.title}: {what} is left out: {why}" for what, why in snapshot.skipped]
        left_out += [
            f"{snapshot.title}: rule {rule} could not be evaluated for {count:,} of the components: {why}"
            for (rule, why), count in count_undecided(snapshot).items()
        ]
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


def _policy_rule(name: str, reason: PolicyReason) -> dict[str, Any]:
    text = f"Rule {reason.rule_id} of the policy ({reason.gate} · {reason.trigger})"
    return {
        "id": name,
        "shortDescription": {"text": text},
        "help": {"text": reason.recommendation or text},
        "defaultConfiguration": {"level": _ACTIONS[reason.action]},
        "properties": {"tags": ["policy", reason.gate]},
    }


def _result(hit: Hit, rule_index: int) -> dict[str, Any]:
    component, finding = hit.component, hit.finding
    text = f"{component.name} {component.version} has {finding.ids[0]} ({finding.severity}): {advise([finding])}"
    said = [statement.sentence for name, statement in hit.assessed.statements if name == finding.ids[0]]
    found = {
        "ruleId": finding.ids[0],
        "ruleIndex": rule_index,
        "level": _LEVELS[finding.severity],
        "message": {"text": "; ".join((text, *said))},
        **_located(hit.snapshot, hit.assessed, finding.ids[0]),
    }
    if hit.assessed.judgement is not None:
        found["properties"] = {"policy": hit.assessed.judgement.action}
    return found


def _located(snapshot: ScannedSnapshot, assessed: AssessedComponent, name: str) -> dict[str, Any]:
    """Where it is, and what makes it the same one in the next scan."""
    component = assessed.component
    parts = (name, snapshot.environment, snapshot.platform, component.type, component.name)
    place = {"artifactLocation": {"uri": _uri(snapshot.target)}, "region": {"startLine": 1}}
    return {
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"component/v1": hashlib.sha256("\0".join(parts).encode()).hexdigest()},
    }


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path.replace("\\", "/").removeprefix("./")) or "-"
