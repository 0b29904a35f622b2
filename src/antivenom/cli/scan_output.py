"""How a scan is printed while it streams: the result to stdout, what people should know beside it to stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from antivenom import __version__
from antivenom.cli.output import Output, count_of, emit, note
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Finding
from antivenom.core.reports.advice import advise_component
from antivenom.core.reports.as_cyclonedx import CycloneDxReport
from antivenom.core.reports.as_html import HtmlReport
from antivenom.core.reports.as_json import JsonReport
from antivenom.core.reports.as_junit import JunitReport
from antivenom.core.reports.as_markdown import MarkdownReport, render_packages
from antivenom.core.reports.as_openvex import OpenVexReport
from antivenom.core.reports.as_sarif import SarifReport
from antivenom.core.reports.as_spdx import SpdxReport
from antivenom.core.reports.changes import Changes, compare
from antivenom.core.reports.result import (
    AssessedComponent,
    Report,
    ScannedSnapshot,
    Totals,
    count_undecided,
    reasons_of,
)
from antivenom_client.report import COLUMNS, SHOWN_NAMES, not_assessed_line, rows_of, totals_line, with_findings

JUDGED_COLUMNS = (*COLUMNS[:-2], "policy", *COLUMNS[-2:])
REASON_COLUMNS = ("policy", "package", "version", "rule", "why")
SHOWN_NOTES = 100


class Format(StrEnum):
    """How a scan is printed."""

    table = "table"
    json = "json"
    sarif = "sarif"
    cyclonedx = "cyclonedx"
    markdown = "markdown"
    junit = "junit"
    spdx = "spdx"
    openvex = "openvex"
    html = "html"


class SbomFormat(StrEnum):
    """How an SBOM is written."""

    cyclonedx = "cyclonedx"
    spdx = "spdx"


class TableReport:
    """Tables for people, a snapshot after another."""

    def add(self, snapshot: ScannedSnapshot) -> str:
        """Print a snapshot's table itself: its columns are as wide as the terminal allows."""
        rows, reasons = _rows(snapshot), _reason_rows(snapshot)
        if rows or reasons:
            note(snapshot.title, to_stdout=True)
        if rows:
            is_judged = any(assessed.judgement for assessed in snapshot.components)
            emit(rows, JUDGED_COLUMNS if is_judged else COLUMNS, Output.table)
            print()
        if reasons:
            emit(reasons, REASON_COLUMNS, Output.table)
            print()
        return ""

    def end(self) -> str:
        return ""


def _rows(snapshot: ScannedSnapshot) -> list[dict[str, str]]:
    return [
        row | {"policy": _action_on(assessed, finding)}
        for assessed in with_findings(snapshot.components)
        for row, finding in zip(rows_of(assessed, advise_component(assessed)), assessed.findings, strict=True)
    ]


def _action_on(assessed: AssessedComponent, finding: Finding) -> str:
    """What the policy says of one finding."""
    ids = {i.casefold() for i in finding.ids}
    actions = (r.action for r in reasons_of(assessed) if r.trigger_id.partition("+")[0].casefold() in ids)
    return next(actions, "go") if assessed.judgement else ""


def _reason_rows(snapshot: ScannedSnapshot) -> list[dict[str, str]]:
    """What the policy says that is about no finding, what it stops first."""
    told = [(a.component, reason) for a in snapshot.components for reason in a.other_reasons]
    told.sort(key=lambda one: one[1].action != "stop")
    return [
        {"policy": r.action, "package": c.name, "version": c.version, "rule": r.rule_id, "why": r.message}
        for c, r in told
    ]


def make_report(output: Format, limits: Sequence[str]) -> Report:
    """The report of a format.

    Args:
        limits: With which findings the scan fails.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    makers: dict[Format, Callable[[], Report]] = {
        Format.table: TableReport,
        Format.json: JsonReport,
        Format.sarif: lambda: SarifReport(version=__version__),
        Format.cyclonedx: lambda: CycloneDxReport(version=__version__, now=now),
        Format.markdown: MarkdownReport,
        Format.junit: lambda: JunitReport(fail_on=limits or ("any",)),
        Format.spdx: lambda: SpdxReport(version=__version__, now=now),
        Format.openvex: lambda: OpenVexReport(version=__version__, now=now),
        Format.html: lambda: HtmlReport(version=__version__, now=now),
    }
    return makers[output]()


def make_sbom(path: str, kind: SbomFormat | None) -> Report:
    """The report of what was scanned, without what is known of it.

    Args:
        kind: None goes by the file's name.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    of_spdx = kind is SbomFormat.spdx or (kind is None and path.lower().endswith((".spdx.json", ".spdx")))
    return (SpdxReport if of_spdx else CycloneDxReport)(version=__version__, now=now, with_findings=False)


def print_packages(changes: Changes) -> str:
    """Print the packages that changed as a table itself."""
    if changes.packages:
        rows = [{"package": p.name, "type": p.type, "old": p.old, "new": p.new} for p in changes.packages]
        emit(rows, ("package", "type", "old", "new"), Output.table)
        print()
    return ""


class WithPackageChanges:
    """A report that ends with the packages that changed."""

    def __init__(self, report: Report, old: Sequence[ScannedSnapshot], show: Callable[[Changes], str]) -> None:
        self._report, self._old, self._show = report, old, show
        self._new: list[ScannedSnapshot] = []

    def add(self, snapshot: ScannedSnapshot) -> str:
        self._new.append(snapshot)
        return self._report.add(snapshot)

    def end(self) -> str:
        return self._report.end() + self._show(compare(self._old, self._new))


def with_packages(report: Report, old: Sequence[ScannedSnapshot] | None) -> Report:
    """A report for people ends with the packages that changed since `old`, if there is one; others stay as they are."""
    if old is not None and isinstance(report, TableReport):
        return WithPackageChanges(report, old, print_packages)
    if old is not None and isinstance(report, MarkdownReport):
        return WithPackageChanges(report, old, render_packages)
    return report


class ReportFile:
    """A report that goes to a file while a scan streams; the file is replaced when it is whole, and not before."""

    def __init__(self, path: str, report: Report) -> None:
        self._path, self.report = Path(path), report
        is_special = self._path.exists() and not self._path.is_file()
        self._part = self._path if is_special else Path(f"{path}.part")
        try:
            self._file = self._part.open("w", encoding="utf-8")
        except OSError as error:
            raise self._refusal(error) from None

    def add(self, snapshot: ScannedSnapshot) -> None:
        """Write what a snapshot adds."""
        self._write(self.report.add(snapshot))

    def end(self) -> None:
        """Write the rest."""
        self._write(self.report.end())
        try:
            self._file.close()
            if self._part != self._path:
                self._part.replace(self._path)
        except OSError as error:
            raise self._refusal(error) from None

    def discard(self) -> None:
        """Let go of what is not whole; does nothing after the end."""
        with contextlib.suppress(OSError):
            self._file.close()
        if self._part != self._path:
            self._part.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
        except OSError as error:
            raise self._refusal(error) from None

    def _refusal(self, error: OSError) -> InvalidInputError:
        return InvalidInputError(f"{self._path} cannot be written: {error.strerror}")


def open_files(
    written: Sequence[str],
    sbom_out: str,
    sbom: SbomFormat | None,
    limits: Sequence[str],
    old: Sequence[ScannedSnapshot] | None,
) -> list[ReportFile]:
    """The files that a scan also writes: of each FORMAT=FILE, and the SBOM.

    Raises:
        InvalidInputError: The format is not known, or is for terminals alone; a file cannot be written.
    """
    known = [kind for kind in Format if kind is not Format.table]
    files = []
    for text in written:
        name, _, path = text.partition("=")
        if name not in known or not path:
            raise InvalidInputError(f"--write {text} is not FORMAT=FILE", hint=f"FORMAT is one of: {', '.join(known)}")
        files.append((path, with_packages(make_report(Format(name), limits), old)))
    if sbom_out:
        files.append((sbom_out, make_sbom(sbom_out, sbom)))
    return [ReportFile(path, report) for path, report in files]


class Summary:
    """What people should know beside the result: counts, what is not assessed, what is left out and why."""

    def __init__(self) -> None:
        self._totals = Totals()
        self._not_assessed: set[str] = set()
        self._notes: list[str] = []
        self._more = 0

    def add(self, snapshot: ScannedSnapshot) -> None:
        """Take in one more snapshot."""
        self._totals.add(snapshot)
        if len(self._not_assessed) <= SHOWN_NAMES:
            self._not_assessed |= {a.component.name for a in snapshot.components if not a.assessed}
        for text in _notes(snapshot):
            if len(self._notes) < SHOWN_NOTES:
                self._notes.append(text)
            else:
                self._more += 1

    def show(self) -> None:
        """Print it."""
        of = self._totals
        note(totals_line(of.findings, of.components, of.snapshots))
        if of.not_assessed:
            note(not_assessed_line(of.not_assessed, self._not_assessed))
        if of.set_aside:
            note(f"{count_of(of.set_aside, 'findings')} set aside: --output json has them, and why")
        if of.actions:
            stopped, warned, go = (of.actions[action] for action in ("stop", "warn", "go"))
            note(f"policy: {stopped:,} stopped, {warned:,} with a warning, {go:,} go")
        for text in self._notes:
            note(text)
        if self._more:
            note(f"{self._more:,} more notes like these: --output json has all of them")


def _notes(snapshot: ScannedSnapshot) -> list[str]:
    """What is to be said of one snapshot: why nothing was read, what is left out, what nobody has resolved."""
    notes = [f"error: {snapshot.error}"] if snapshot.error else []
    notes += [f"{snapshot.title}: {what} is left out: {why}" for what, why in snapshot.skipped[:SHOWN_NAMES]]
    if len(snapshot.skipped) > SHOWN_NAMES:
        notes.append(f"{snapshot.title}: {len(snapshot.skipped) - SHOWN_NAMES} more are left out")
    notes += [
        f"{snapshot.title}: rule {rule} could not be evaluated for {count_of(count, 'components')}: {why}"
        for (rule, why), count in count_undecided(snapshot).items()
    ]
    if snapshot.wanted:
        asked = ", ".join(snapshot.wanted[:SHOWN_NAMES])
        notes.append(f"{snapshot.title}: {len(snapshot.wanted)} specs are not resolved ({asked}): scan the lock file")
    return notes


class Progress:
    """One line on stderr that is rewritten while targets are read; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._length = 0
        self._count = 0

    def show(self, path: str) -> None:
        """Say what is read now."""
        self._count += 1
        if self._is_shown:
            text = f"{self._count:,} read: {path[-60:]}"
            line = "".join(c if c.isprintable() else "?" for c in text)
            print(f"\r{line.ljust(self._length)}", end="", file=sys.stderr, flush=True)
            self._length = len(line)

    def clear(self) -> None:
        """Make room for something else."""
        if self._length:
            print(f"\r{' ' * self._length}\r", end="", file=sys.stderr, flush=True)
            self._length = 0
