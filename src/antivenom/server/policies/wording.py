"""A policy for people: each rule as a sentence, and its source text in coloured parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from antivenom.core.policy.compile import AllowlistItem, Policy, Rule

SUBJECTS = {
    ("vulnerabilities", "package"): "a known vulnerability",
    ("vulnerabilities", "malware"): "the package is known to be malware",
    ("vulnerabilities", "not_assessed"): "no advisory source covers the package",
    ("licenses", "license"): "the licence",
    ("packages", "match_spec"): "the record",
    ("packages", "names"): "the package name",
    ("packages", "required"): "the package",
    ("metadata", "subdir"): "the platform",
    ("metadata", "age"): "the record",
    ("metadata", "replaced"): "the file",
    ("metadata", "signed"): "the record",
    ("metadata", "size"): "the file",
    ("expression", "cel"): "the expression holds:",
}
"""What a rule looks at, by (gate, trigger); tests compare the keys with the registry of triggers."""


@dataclass(frozen=True, slots=True)
class RuleDescription:
    """A rule as "<action> when <subject> <condition> and <condition>"."""

    rule: Rule
    subject: str
    conditions: list[str]


@dataclass(frozen=True, slots=True)
class ExceptionDescription:
    """An allowlist item and the instant of its expiry."""

    item: AllowlistItem
    expires_at: datetime | None


def describe_rule(rule: Rule) -> RuleDescription:
    """The rule in words. A parameter that has no phrase is shown as it is written."""
    subject = SUBJECTS.get((rule.gate, rule.trigger), f"{rule.gate} {rule.trigger}")
    conditions = [_phrase(rule, name, value) for name, value in rule.params.items()]
    if rule.trigger == "signed" and not rule.params:
        conditions = ["is not signed"]
    if rule.trigger == "replaced":
        days = rule.params.get("less_than_days")
        conditions = ["was replaced under its name" + (f" less than {days} days ago" if days is not None else "")]
    return RuleDescription(rule, subject, conditions)


def describe_exceptions(policy: Policy) -> list[ExceptionDescription]:
    """The allowlist in the order in which it is written."""
    return [
        ExceptionDescription(item, datetime.fromtimestamp(item.expires_ms / 1000, UTC) if item.expires_ms else None)
        for item in policy.allowlist
    ]


def _listed(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


PHRASES: dict[tuple[str, str], Callable[[Any], str]] = {
    ("vulnerabilities", "severity"): lambda v: f"has severity {v}",
    ("vulnerabilities", "cvss"): lambda v: f"has CVSS {v}",
    ("vulnerabilities", "epss"): lambda v: f"has EPSS {v}",
    ("vulnerabilities", "kev"): lambda v: "is known to be exploited" if v else "is not known to be exploited",
    ("vulnerabilities", "fix_available"): lambda v: "has a known fix" if v else "has no known fix",
    ("vulnerabilities", "max_days_since_fix"): lambda v: f"has been fixable for {v} days or more",
    ("vulnerabilities", "max_days_since_creation"): lambda v: f"has been public for {v} days or more",
    ("vulnerabilities", "status"): lambda v: f"has status {_listed(v)}",
    ("vulnerabilities", "ids"): lambda v: f"is {_listed(v)}",
    ("licenses", "families"): lambda v: f"is of family {_listed(v)}",
    ("licenses", "licenses"): lambda v: f"is {_listed(v)}",
    ("packages", "specs"): lambda v: f"does not meet {_listed(v)}",
    ("metadata", "less_than_days"): lambda v: f"was listed less than {v} days ago",
    ("metadata", "unless_fix"): lambda v: (
        "is not the fix: the first without a known vulnerability" if v else "is new, be it the fix"
    ),
    ("metadata", "older_than_days"): lambda v: f"was listed {v} days ago or earlier",
    ("metadata", "is"): lambda v: "is signed" if v else "is not signed",
    ("metadata", "more_than_mb"): lambda v: f"is larger than {v} MB",
    ("metadata", "less_than_mb"): lambda v: f"is smaller than {v} MB",
    ("expression", "expr"): str,
}


def _phrase(rule: Rule, name: str, value: Any) -> str:
    if phrase := PHRASES.get((rule.gate, name)):
        return phrase(value)
    refuses = any(key in rule.params for key in ("deny", "families", "licenses"))
    if name == "deny":
        return f"is or matches {_listed(value)}"
    if name in ("allow", "allow_families"):
        return f"is not excepted by {_listed(value)}" if refuses else f"is none of {_listed(value)}"
    return f"{name}: {_listed(value)}"


# -- the text in colours -----------------------------------------------------------------------------------------------

# Each character is looked at a few times at most: a line may be as long as somebody likes, and is coloured while others
# wait. Hence no way back into what was read (*+), and a string that never ends takes the rest of the line.
_TOKEN = re.compile(
    r"""(?P<comment>(?:^|(?<=\s))\#.*$)
      | (?P<string>(?<!\w)(?:"(?:[^"\\]|\\.)*+"|'(?:[^']|'')*+'))
      | (?P<open>(?<!\w)["'].*)
      | (?P<key>(?<![\w-])[A-Za-z_][\w-]*+(?=\s*:(?:\s|$)))
      | (?P<action>\b(?:stop|warn|go)\b(?=\s*[,}]|\s*$))
    """,
    re.VERBOSE,
)


def colour_line(line: str) -> Iterator[tuple[str, str]]:
    """(class, text) parts that together are the line; class "" is plain. Never fails."""
    end = 0
    for match in _TOKEN.finditer(line):
        if match.start() > end:
            yield "", line[end : match.start()]
        kind = str(match.lastgroup)
        yield {"action": f"tok-{match.group()}", "open": ""}.get(kind, f"tok-{kind}"), match.group()
        end = match.end()
    if end < len(line):
        yield "", line[end:]


@dataclass(frozen=True, slots=True)
class SourceLine:
    number: int
    parts: list[tuple[str, str]]
    problems: list[Mapping[str, Any]]


def colour_source(text: str, problems: list[Mapping[str, Any]] | None = None) -> list[SourceLine]:
    """The lines of a policy's text, each with its coloured parts and what is wrong on it."""
    by_line: dict[int, list[Mapping[str, Any]]] = {}
    for problem in problems or []:
        by_line.setdefault(int(problem["line"]), []).append(problem)
    return [
        SourceLine(number, list(colour_line(line)), by_line.get(number, []))
        for number, line in enumerate(text.splitlines(), start=1)
    ]
