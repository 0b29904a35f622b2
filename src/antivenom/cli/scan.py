"""`antivenom scan`: what is known of environments, lock files and SBOMs on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from antivenom import __version__
from antivenom.cli.client import JsonObject, client
from antivenom.cli.output import Output, count_of, emit, note, risk_text
from antivenom.cli.scan_targets import Target, find_environment, read_bytes, read_target
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.purls import purl_of
from antivenom.core.readers.registry import KINDS
from antivenom.core.readers.snapshot import Component
from antivenom.core.reports import as_cyclonedx, as_json, as_junit, as_markdown, as_sarif
from antivenom.core.reports.advice import advise
from antivenom.core.reports.baseline import only_new, read_baseline
from antivenom.core.reports.changes import Changes, compare
from antivenom.core.reports.result import (
    FAIL_ON,
    AssessedComponent,
    ScannedSnapshot,
    count_components,
    fails,
    list_hits,
)

commands = typer.Typer()

COMPONENTS_AT_ONCE = 10_000
COLUMNS = ("package", "version", "finding", "severity", "risk", "kev", "fixed", "what to do")
SHOWN_LEFT_OUT = 10


class Format(StrEnum):
    """How a scan is printed."""

    table = "table"
    json = "json"
    sarif = "sarif"
    cyclonedx = "cyclonedx"
    markdown = "markdown"
    junit = "junit"


@commands.command("scan")
def scan(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TARGET]...", help="Files, environments, folders of them, or - for standard input."),
    ] = None,
    name: Annotated[str, typer.Option("--name", "-n", help="A conda environment by its name.")] = "",
    prefix: Annotated[str, typer.Option("--prefix", "-p", help="An environment by its folder.")] = "",
    kind: Annotated[str, typer.Option("--as", help=f"What the targets are: {', '.join(KINDS)}.")] = "",
    fail_on: Annotated[
        list[str] | None, typer.Option("--fail-on", help=f"Exit with 1 on these findings: {', '.join(FAIL_ON)}.")
    ] = None,
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="FILE", help="Leave out what this earlier scan (json) found already.")
    ] = "",
    diff: Annotated[
        bool, typer.Option("--diff", help="Compare two targets, OLD NEW: packages, and findings that came and went.")
    ] = False,
    sbom_out: Annotated[
        str, typer.Option("--sbom-out", metavar="FILE", help="Also write what was scanned as a CycloneDX document.")
    ] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 if anything could not be read.")] = False,
    output: Annotated[
        Format, typer.Option("--output", "-o", help="table for people; the others for tools.")
    ] = Format.table,
) -> None:
    """List the vulnerabilities of what is installed or locked, worst first."""
    limits = _check_limits(fail_on or [])
    if diff:
        _compare(targets or [], kind, output, limits)
        return
    known = read_baseline(read_bytes(baseline), baseline) if baseline else frozenset()
    snapshots = [found for target in _read(targets or [], name, prefix, kind) for found in _assess(target)]
    if sbom_out:
        _write_sbom(sbom_out, snapshots)
    snapshots, left_out = only_new(snapshots, known)
    print_scan(snapshots, output, limits)
    if baseline:
        note(f"{count_of(left_out, 'findings')} of {baseline} are left out")
    if any(fails(hit.finding, limits) for hit in list_hits(snapshots)):
        raise typer.Exit(1)
    if strict and any(snapshot.skipped for snapshot in snapshots):
        raise typer.Exit(2)


def _check_limits(limits: list[str]) -> list[str]:
    for limit in limits:
        if limit not in FAIL_ON:
            raise InvalidInputError(f"--fail-on {limit} is not known", hint=f"one of: {', '.join(FAIL_ON)}")
    return limits


def _read(targets: Sequence[str], name: str, prefix: str, kind: str) -> Iterator[Target]:
    if name:
        yield from read_target(str(find_environment(name)))
    if prefix:
        yield from read_target(prefix, kind)
    if not targets and not name and not prefix:
        raise InvalidInputError(
            "there is nothing to scan",
            hint="antivenom scan .  or  antivenom scan -n base  or  antivenom scan pixi.lock",
        )
    for text in targets:
        yield from read_target(text, kind)


def _compare(targets: Sequence[str], kind: str, output: Format, limits: Sequence[str]) -> None:
    """Print what differs between two targets; exit with 1 when a finding came that reaches a limit."""
    if len(targets) != 2:
        raise InvalidInputError("--diff compares two targets", hint="antivenom scan --diff old/pixi.lock pixi.lock")
    if output not in (Format.table, Format.json, Format.markdown):
        raise InvalidInputError(f"--diff cannot be printed as {output}", hint="one of: table, json, markdown")
    old, new = ([found for target in read_target(text, kind) for found in _assess(target)] for text in targets)
    changes = compare(old, new)
    if output is Format.json:
        sys.stdout.write(as_json.render_changes(changes))
    elif output is Format.markdown:
        sys.stdout.write(as_markdown.render_changes(changes))
    else:
        _print_changes(changes)
    if any(fails(change.finding, limits) for change in changes.came):
        raise typer.Exit(1)


def _print_changes(changes: Changes) -> None:
    if changes.packages:
        rows = [{"package": p.name, "type": p.type, "old": p.old, "new": p.new} for p in changes.packages]
        emit(rows, ("package", "type", "old", "new"), Output.table)
        print()
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


# -- assessing ---------------------------------------------------------------------------------------------------------


def _assess(target: Target) -> Iterator[ScannedSnapshot]:
    """The snapshots of a target with what the server knows; equal components are asked for once."""
    distinct = list(dict.fromkeys(c for snapshot in target.snapshots for c in snapshot.components))
    known: dict[Component, AssessedComponent] = {}
    for start in range(0, len(distinct), COMPONENTS_AT_ONCE):
        part = distinct[start : start + COMPONENTS_AT_ONCE]
        answers: list[JsonObject] = client().post("/api/v1/match", json={"components": [_body(c) for c in part]})
        known.update(zip(part, map(_assessed, part, answers), strict=True))
    for snapshot in target.snapshots:
        yield ScannedSnapshot(
            target.path,
            target.kind,
            snapshot.environment,
            snapshot.platform,
            tuple(known[component] for component in snapshot.components),
            snapshot.skipped,
            snapshot.wanted,
        )


def _body(component: Component) -> dict[str, Any]:
    if component.type == "conda":
        fields = {"name": component.name, "version": component.version, "build": component.build,
                  "channel": component.channel, "subdir": component.subdir}  # fmt: skip
        return {"type": "conda", **{field: value for field, value in fields.items() if value}}
    return {"purl": purl_of(component)}


def _assessed(component: Component, answer: JsonObject) -> AssessedComponent:
    findings = msgspec.convert(answer["findings"], tuple[Finding, ...])
    return AssessedComponent(
        component, answer["assessed"], answer["reason"], findings, tuple(answer.get("undecided") or ())
    )


# -- printing ----------------------------------------------------------------------------------------------------------


def print_scan(snapshots: Sequence[ScannedSnapshot], output: Format, limits: Sequence[str]) -> None:
    """Print a scan: the result to stdout, what people should know beside it to stderr."""
    if output is Format.table:
        _print_tables(snapshots)
    else:
        sys.stdout.write(_render(snapshots, output, limits))
    _print_summary(snapshots)


def _render(snapshots: Sequence[ScannedSnapshot], output: Format, limits: Sequence[str]) -> str:
    if output is Format.sarif:
        return as_sarif.render(snapshots, version=__version__)
    if output is Format.cyclonedx:
        return as_cyclonedx.render(snapshots, version=__version__, now=_now())
    if output is Format.markdown:
        return as_markdown.render(snapshots)
    if output is Format.junit:
        return as_junit.render(snapshots, fail_on=limits or ("any",))
    return as_json.render(snapshots)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write_sbom(path: str, snapshots: Sequence[ScannedSnapshot]) -> None:
    text = as_cyclonedx.render(snapshots, version=__version__, now=_now(), with_findings=False)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror}") from None


def _print_tables(snapshots: Sequence[ScannedSnapshot]) -> None:
    for title, hits in groupby(list_hits(snapshots), key=lambda hit: hit.snapshot.title):
        note(title, to_stdout=True)
        rows = []
        for _, group in groupby(hits, key=lambda hit: id(hit.assessed)):
            of_component = list(group)
            for number, hit in enumerate(of_component):
                finding = hit.finding
                rows.append(
                    {
                        "package": " " if number else hit.component.name,
                        "version": " " if number else hit.component.version,
                        "finding": finding.ids[0],
                        "severity": finding.severity,
                        "risk": risk_text({"risk": finding.risk, "risk_estimated": finding.risk_estimated}),
                        "kev": "yes" if finding.kev else "",
                        "fixed": ", ".join(finding.fixed_versions[:2]),
                        "what to do": " " if number else advise(hit.assessed.findings),
                    }
                )
        emit(rows, COLUMNS, Output.table)
        print()


def _print_summary(snapshots: Sequence[ScannedSnapshot]) -> None:
    components, not_assessed, _ = count_components(snapshots)
    found = list(list_hits(snapshots))
    of = count_of(len(snapshots), "environments")
    note(f"{count_of(len(found), 'findings')} in {count_of(components, 'components')} of {of}")
    if not_assessed:
        names = sorted({a.component.name for s in snapshots for a in s.components if not a.assessed})
        shown = ", ".join(names[:SHOWN_LEFT_OUT]) + (" …" if len(names) > SHOWN_LEFT_OUT else "")
        note(f"{not_assessed} not assessed: {shown}")
    for snapshot in snapshots:
        for what, why in snapshot.skipped[:SHOWN_LEFT_OUT]:
            note(f"{snapshot.title}: {what} is left out: {why}")
        if len(snapshot.skipped) > SHOWN_LEFT_OUT:
            note(f"{snapshot.title}: {len(snapshot.skipped) - SHOWN_LEFT_OUT} more are left out")
        if snapshot.wanted:
            asked = ", ".join(snapshot.wanted[:SHOWN_LEFT_OUT])
            note(f"{snapshot.title}: {len(snapshot.wanted)} specs are not resolved ({asked}): scan the lock file")
