"""A scan as Markdown, for a pull request or a summary of a job."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from antivenom.core.reports.advice import advise
from antivenom.core.reports.changes import Changes
from antivenom.core.reports.result import Hit, ScannedSnapshot, count_components, list_hits

ROWS_MAX = 500
_ESCAPED = re.compile(r"([\\`*_{}\[\]<>|~#])")


def render(snapshots: Sequence[ScannedSnapshot]) -> str:
    """A heading with the counts, then a table for each snapshot with findings."""
    components, not_assessed, left_out = count_components(snapshots)
    hits = list(list_hits(snapshots))
    lines = [f"## Antivenom: {_count(len(hits), 'finding')} in {_count(components, 'component')}", ""]
    if not_assessed or left_out:
        lines += [
            f"{_count(not_assessed, 'component')} not assessed, {_count(left_out, 'entry', 'entries')} left out.",
            "",
        ]
    shown = 0
    for title, of_snapshot in groupby(hits, key=lambda hit: hit.snapshot.title):
        lines += [
            f"### {_escape(title)}",
            "",
            "| Package | Finding | Severity | Fixed in | What to do |",
            "|---|---|---|---|---|",
        ]
        for _, group in groupby(of_snapshot, key=lambda hit: id(hit.assessed)):
            lines += _rows(list(group))
            shown += 1
            if shown >= ROWS_MAX:
                return "\n".join([*lines, "", f"… and more: the first {ROWS_MAX} packages are shown.", ""])
        lines.append("")
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
    if changes.packages:
        lines += ["### Packages", "", "| Package | Old | New |", "|---|---|---|"]
        lines += [
            f"| {_escape(change.name)} | {_escape(change.old) or '–'} | {_escape(change.new) or '–'} |"
            for change in changes.packages[:ROWS_MAX]
        ]
        lines.append("")
    return "\n".join(lines)


def _rows(hits: list[Hit]) -> list[str]:
    component, rows = hits[0].component, []
    for number, hit in enumerate(hits):
        finding = hit.finding
        package = f"**{_escape(component.name)}** {_escape(component.version)}" if not number else ""
        severity = f"{finding.severity}{' (exploited)' if finding.kev else ''}"
        fixed = ", ".join(map(_escape, finding.fixed_versions[:2])) or "–"
        advice = _escape(advise([h.finding for h in hits])) if not number else ""
        rows.append(f"| {package} | {_escape(finding.ids[0])} | {severity} | {fixed} | {advice} |")
    return rows


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _escape(text: str) -> str:
    """Text of somebody else, as text: no markup, no line of its own."""
    return _ESCAPED.sub(r"\\\1", " ".join(text.split()))
