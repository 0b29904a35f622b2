"""A scan as Markdown, for a pull request or a summary of a job."""

from __future__ import annotations

import re
from itertools import groupby

from antivenom.core.reports.advice import advise_component
from antivenom.core.reports.changes import Changes
from antivenom.core.reports.result import Hit, ScannedSnapshot, Totals, count_undecided, list_hits

ROWS_MAX = 500
ERRORS_MAX = 20
_HEAD = ("| Package | Finding | Severity | Fixed in | What to do |", "|---|---|---|---|---|")
_ESCAPED = re.compile(r"([\\`*_{}\[\]<>|~#])")


class MarkdownReport:
    """A heading with the counts, then a table for each snapshot with findings; the first `ROWS_MAX` packages."""

    def __init__(self) -> None:
        self._totals = Totals()
        self._lines: list[str] = []
        self._errors: list[str] = []
        self._packages = 0

    def add(self, snapshot: ScannedSnapshot) -> str:
        self._totals.add(snapshot)
        if snapshot.error and len(self._errors) < ERRORS_MAX:
            self._errors.append(f"* {_escape(snapshot.error)}")
        groups = [list(group) for _, group in groupby(list_hits([snapshot]), key=lambda hit: id(hit.assessed))]
        if shown := groups[: max(0, ROWS_MAX - self._packages)]:
            self._lines += [
                f"### {_escape(snapshot.title)}",
                "",
                *_HEAD,
                *(row for hits in shown for row in _rows(hits)),
                "",
            ]
        self._packages += len(groups)
        self._add_policy(snapshot)
        return ""

    def _add_policy(self, snapshot: ScannedSnapshot) -> None:
        """What the policy says beside the findings, as far as there is room."""
        told = [(a.component, reason) for a in snapshot.components for reason in a.other_reasons]
        told.sort(key=lambda one: one[1].action != "stop")
        if told and self._packages < ROWS_MAX:
            self._lines += [
                f"### Policy: {_escape(snapshot.title)}",
                "",
                "| Package | Action | Rule | Why |",
                "|---|---|---|---|",
            ]
            self._lines += [
                f"| **{_escape(c.name)}** {_escape(c.version)} | {r.action} "
                f"| {_escape(r.rule_id)} | {_escape(r.message)} |"
                for c, r in told[: ROWS_MAX - self._packages]
            ]
            self._lines.append("")
            self._packages += len(told)
        for (rule, why), count in count_undecided(snapshot).items():
            if len(self._errors) < ERRORS_MAX:
                told_of = f"{_escape(snapshot.title)}: rule {_escape(rule)} could not be evaluated"
                self._errors.append(f"* {told_of} for {_count(count, 'component')}: {_escape(why)}")

    def end(self) -> str:
        of = self._totals
        lines = [f"## Antivenom: {_count(of.findings, 'finding')} in {_count(of.components, 'component')}", ""]
        if of.not_assessed or of.left_out:
            left_out = _count(of.left_out, "entry", "entries")
            lines += [f"{_count(of.not_assessed, 'component')} not assessed, {left_out} left out.", ""]
        if of.set_aside:
            lines += [f"{_count(of.set_aside, 'finding')} set aside by VEX statements or the policy's allowlist.", ""]
        if of.actions:
            lines += [f"Policy: {of.actions['stop']:,} stopped, {of.actions['warn']:,} with a warning.", ""]
        lines += [*self._errors, ""] if self._errors else []
        lines += self._lines
        if self._packages > ROWS_MAX:
            lines += [f"… and more: the first {ROWS_MAX} packages are shown.", ""]
        return "\n".join(lines)


def render_changes(changes: Changes) -> str:
    """A heading with the counts, then the findings that came and went, and the packages that changed."""
    lines = [
        f"## Antivenom: {_count(len(changes.came), 'finding')} came, {_count(len(changes.went), 'finding')} went",
        "",
    ]
    for title, found in (("New", changes.came), ("Gone", changes.went)):
        if found:
            lines += [f"### {title}", "", "| Package | Finding | Severity | Fixed in |", "|---|---|---|---|"]
            lines += [
                f"| **{_escape(change.name)}** {_escape(change.version)} | {_escape(change.finding.ids[0])} "
                f"| {change.finding.severity} | {', '.join(map(_escape, change.finding.fixed_versions[:2])) or '–'} |"
                for change in found[:ROWS_MAX]
            ]
            lines += ["", *([f"… and {len(found) - ROWS_MAX} more.", ""] if len(found) > ROWS_MAX else [])]
    return "\n".join(lines) + ("\n" if changes.packages else "") + render_packages(changes)


def render_packages(changes: Changes) -> str:
    """The packages that changed; "" when none did."""
    if not changes.packages:
        return ""
    lines = ["### Packages that changed", "", "| Package | Old | New |", "|---|---|---|"]
    lines += [
        f"| {_escape(change.name)} | {_escape(change.old) or '–'} | {_escape(change.new) or '–'} |"
        for change in changes.packages[:ROWS_MAX]
    ]
    if len(changes.packages) > ROWS_MAX:
        lines += ["", f"… and {len(changes.packages) - ROWS_MAX} more."]
    return "\n".join([*lines, ""])


def _rows(hits: list[Hit]) -> list[str]:
    component, rows = hits[0].component, []
    for number, hit in enumerate(hits):
        finding = hit.finding
        package = f"**{_escape(component.name)}** {_escape(component.version)}" if not number else ""
        severity = f"{finding.severity}{' (exploited)' if finding.kev else ''}"
        fixed = ", ".join(map(_escape, finding.fixed_versions[:2])) or "–"
        advice = _escape(advise_component(hits[0].assessed)) if not number else ""
        rows.append(f"| {package} | {_escape(finding.ids[0])} | {severity} | {fixed} | {advice} |")
    return rows


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _escape(text: str) -> str:
    """Text of somebody else, as text: no markup, no line of its own."""
    return _ESCAPED.sub(r"\\\1", " ".join(text.split()))
