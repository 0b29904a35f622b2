"""`antivenom scan --diff OLD NEW`: what differs between two targets."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from antivenom.cli.output import Output, count_of, emit, note
from antivenom.cli.scan_assessing import Ask, assess
from antivenom.cli.scan_output import Format, print_packages
from antivenom.cli.scan_targets import read_target
from antivenom.core.errors import InvalidInputError
from antivenom.core.reports import as_json, as_markdown
from antivenom.core.reports.changes import Changes, compare
from antivenom.core.reports.result import ScannedSnapshot
from antivenom_client.report import fails


def compare_targets(targets: Sequence[str], kind: str, output: Format, limits: Sequence[str], ask: Ask) -> None:
    """Print what differs between two targets; exit with 1 when a finding came that reaches a limit."""
    if len(targets) != 2:
        raise InvalidInputError("--diff compares two targets", hint="antivenom scan --diff old/pixi.lock pixi.lock")
    if output not in (Format.table, Format.json, Format.markdown):
        raise InvalidInputError(f"--diff cannot be printed as {output}", hint="one of: table, json, markdown")
    old, new = (_scan_one(text, kind, ask) for text in targets)
    changes = compare(old, new)
    if output is Format.json:
        sys.stdout.write(as_json.render_changes(changes))
    elif output is Format.markdown:
        sys.stdout.write(as_markdown.render_changes(changes))
    else:
        _print_changes(changes)
    if any(fails(change.finding, limits) for change in changes.came):
        raise typer.Exit(1)


def _scan_one(text: str, kind: str, ask: Ask) -> list[ScannedSnapshot]:
    """A target as a whole; nothing may be missing from it, or it would look as if that had changed."""
    snapshots = list(assess(read_target(text, kind), ask))
    for snapshot in snapshots:
        if snapshot.error:
            raise InvalidInputError(snapshot.error)
    return snapshots


def _print_changes(changes: Changes) -> None:
    print_packages(changes)
    rows = [
        {"": mark, "package": change.name, "version": change.version, "finding": change.finding.ids[0],
         "severity": change.finding.severity, "fixed": ", ".join(change.finding.fixed_versions[:2])}
        for mark, found in (("new", changes.came), ("gone", changes.went))
        for change in found
    ]  # fmt: skip
    if rows:
        emit(rows, ("", "package", "version", "finding", "severity", "fixed"), Output.table)
    note(
        f"{count_of(len(changes.packages), 'packages')} changed, {count_of(len(changes.came), 'findings')} came, "
        f"{count_of(len(changes.went), 'findings')} went"
    )
