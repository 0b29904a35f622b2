"""A scan as one HTML page: what is worst and what to do about it first. It loads nothing, and prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

from antivenom.core.matching.advisories import Finding, Kind
from antivenom.core.reports.advice import advise_component
from antivenom.core.reports.html_style import STYLE
from antivenom.core.reports.links import advisory_url
from antivenom.core.reports.result import (
    AssessedComponent,
    PolicyReason,
    ScannedSnapshot,
    Statement,
    Totals,
    count_undecided,
)
from antivenom_client.report import worst_first

PACKAGES_MAX = 3_000
PLACES_MAX = 8
LISTED_MAX = 1_000
_KEEPS_OUT = "default-src 'none'; style-src 'unsafe-inline'"


class _Package:
    """One package in one version with all that is said of it, wherever it stands."""

    def __init__(self, assessed: AssessedComponent) -> None:
        self.assessed = assessed
        self.places: list[str] = []
        self.more = 0

    def add(self, place: str) -> None:
        if len(self.places) < PLACES_MAX:
            self.places.append(place)
        else:
            self.more += 1

    @property
    def order(self) -> tuple[object, ...]:
        of = self.assessed
        worst = worst_first(of.findings[0]) if of.findings else (True, True, 0.0, 0)
        is_harmless, *rest = worst
        return (is_harmless, not of.is_stopped, *rest, of.component.name, of.component.version)


class _Aside(NamedTuple):
    name: str
    finding: Finding
    statement: Statement


class HtmlReport:
    """One page, written at the end: each package and version once, however many targets have it.

    Args:
        version: Of this program.
        now: RFC 3339 UTC.
    """

    def __init__(self, *, version: str, now: str) -> None:
        self._version, self._now = version, now
        self._totals = Totals()
        self._packages: dict[tuple[str, str, str, tuple[str, ...]], _Package] = {}
        self._aside: dict[_Aside, None] = {}
        self._not_assessed: dict[str, str] = {}
        self._notes: list[str] = []

    def add(self, snapshot: ScannedSnapshot) -> str:
        self._totals.add(snapshot)
        self._note(snapshot)
        for assessed in snapshot.components:
            of = assessed.component
            label = f"{of.name} {of.version}"
            if assessed.findings or assessed.other_reasons:
                key = (of.type, of.name, of.version, tuple(finding.ids[0] for finding in assessed.findings))
                self._packages.setdefault(key, _Package(assessed)).add(snapshot.title)
            if len(self._aside) < LISTED_MAX:
                self._aside.update((_Aside(label, *one), None) for one in assessed.set_aside)
            if not assessed.assessed and len(self._not_assessed) < LISTED_MAX:
                self._not_assessed.setdefault(label, assessed.reason)
        return ""

    def _note(self, snapshot: ScannedSnapshot) -> None:
        told = [snapshot.error] if snapshot.error else []
        told += [f"{snapshot.title}: {what} is left out: {why}" for what, why in snapshot.skipped]
        told += [f"{snapshot.title}: {text} is not resolved" for text in snapshot.wanted]
        told += [
            f"{snapshot.title}: rule {rule} could not be evaluated for {_count(count, 'component')}: {why}"
            for (rule, why), count in count_undecided(snapshot).items()
        ]
        self._notes += told[: LISTED_MAX - len(self._notes)]

    def end(self) -> str:
        packages = sorted(self._packages.values(), key=lambda package: package.order)
        body = [*self._head(), *_packages(packages), *self._rest()]
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_KEEPS_OUT}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>Antivenom scan: {_count(self._totals.findings, 'finding')}</title>\n"
            f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
        )

    def _head(self) -> Iterator[str]:
        of = self._totals
        yield f"<h1>Antivenom scan</h1>\n<p class=when>{escape(self._now)}, antivenom {escape(self._version)}</p>"
        facts = [
            (of.findings, "findings" if of.findings != 1 else "finding"),
            (of.components, "components" if of.components != 1 else "component"),
            (of.snapshots, "environments" if of.snapshots != 1 else "environment"),
            (of.not_assessed, "not assessed"),
        ]
        facts += [(of.set_aside, "set aside")] if of.set_aside else []
        facts += (
            [(of.actions["stop"], "stopped by the policy"), (of.actions["warn"], "warned of")] if of.actions else []
        )
        numbers = "".join(f"<li><b>{number:,}</b> {word}</li>" for number, word in facts)
        yield f"<ul class=numbers>{numbers}</ul>"

    def _rest(self) -> Iterator[str]:
        if self._aside:
            rows = (
                f"<tr><th scope=row>{escape(one.name)}</th><td>{_link(one.finding)}</td>"
                f"<td>{escape(one.statement.sentence)}</td></tr>"
                for one in self._aside
            )
            yield "<h2>Set aside</h2>"
            yield _table("Findings that do not count, and who says so", ("Package", "Finding", "Why"), rows)
        if self._not_assessed:
            rows = (
                f"<tr><th scope=row>{escape(name)}</th><td>{escape(why)}</td></tr>"
                for name, why in sorted(self._not_assessed.items())
            )
            yield "<h2>Not assessed</h2>\n<p>No source covers these. Unknown is not clean.</p>"
            yield _table("Packages that no source covers", ("Package", "Why"), rows)
        if self._notes:
            items = "".join(f"<li>{escape(text)}</li>" for text in self._notes)
            yield f"<h2>Left out</h2>\n<ul>{items}</ul>"


def _packages(packages: list[_Package]) -> Iterator[str]:
    yield "<h2>What to do, worst first</h2>"
    if not packages:
        yield "<p>Nothing is found.</p>"
        return
    heads = ("Package", "Findings", "What to do", "Where")
    yield _table("Packages with findings", heads, map(_row, packages[:PACKAGES_MAX]))
    if len(packages) > PACKAGES_MAX:
        yield f"<p>{len(packages) - PACKAGES_MAX:,} more packages are not shown: the JSON output has all of them.</p>"


def _row(package: _Package) -> str:
    of = package.assessed
    name = f"{escape(of.component.name)}<br><span class=version>{escape(of.component.version)}</span>"
    verdict = f"<br>{_badge(of.judgement.action, of.judgement.action)}" if of.judgement else ""
    said = dict(of.statements)
    findings = "".join(f"<li>{_finding(finding, said.get(finding.ids[0]))}</li>" for finding in of.findings)
    reasons = "".join(f"<li>{_reason(reason)}</li>" for reason in of.other_reasons)
    advice = escape(advise_component(of)) or "see the reason"
    places = "".join(f"<li>{escape(place)}</li>" for place in package.places)
    places += f"<li>and {package.more:,} more</li>" if package.more else ""
    return (
        f"<tr><th scope=row>{name}{verdict}</th><td><ul>{findings}{reasons}</ul></td><td>{advice}</td>"
        f"<td><ul class=places>{places}</ul></td></tr>"
    )


def _finding(finding: Finding, statement: Statement | None) -> str:
    marks = _badge(finding.severity, finding.severity)
    marks += _badge("kev", "exploited") if finding.kev else ""
    fixed = f"fixed in {', '.join(finding.fixed_versions[:3])}" if finding.fixed_versions else "no fix is known"
    told = [] if finding.kind == Kind.malware else [fixed]
    told += [finding.summary[:200]] if finding.summary else []
    told += [statement.sentence] if statement else []
    return f"{_link(finding)} {marks}<br><span class=about>{escape('; '.join(told))}</span>"


def _reason(reason: PolicyReason) -> str:
    told = ": ".join(part for part in (reason.message, reason.recommendation) if part)
    return f"{_badge(reason.action, reason.action)} {escape(told)}"


def _link(finding: Finding) -> str:
    name = finding.ids[0]
    return f'<a href="{escape(advisory_url(name))}" rel="noreferrer">{escape(name)}</a>'


def _badge(kind: str, text: str) -> str:
    return f'<span class="badge {escape(kind)}">{escape(text)}</span>'


def _table(caption: str, heads: Iterable[str], rows: Iterable[str]) -> str:
    columns = "".join(f"<th scope=col>{escape(head)}</th>" for head in heads)
    return (
        f"<div class=wide><table><caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead>"
        f"<tbody>\n{chr(10).join(rows)}\n</tbody></table></div>"
    )


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
