"""`antivenom scan`: what is known of environments, lock files and SBOMs on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from antivenom.cli.arguments import parse_name
from antivenom.cli.client import Client
from antivenom.cli.output import Output, count_of, emit, note
from antivenom.cli.scan_assessing import Ask, assess
from antivenom.cli.scan_explaining import print_explanations
from antivenom.cli.scan_fixes import Fixes, check_channel
from antivenom.cli.scan_judging import Judging, check_limits, read_judging
from antivenom.cli.scan_knowledge import choose_explainer, choose_knowledge, choose_server
from antivenom.cli.scan_output import Format, Progress, SbomFormat, Summary, make_report, make_sbom
from antivenom.cli.scan_targets import Reading, Target, find_environment, read_target
from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.registry import KINDS, check_kind
from antivenom.core.reports import as_json, as_markdown
from antivenom.core.reports.changes import Changes, compare
from antivenom.core.reports.result import FAIL_ON, Report, ScannedSnapshot, component_fails, fails
from antivenom_client.environments import active_environment

commands = typer.Typer()


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
    explain: Annotated[
        str, typer.Option("--explain", metavar="ID", help="Instead of the scan: why this vulnerability is found.")
    ] = "",
    sbom_out: Annotated[
        str, typer.Option("--sbom-out", metavar="FILE", help="Also write what was scanned as an SBOM.")
    ] = "",
    sbom_format: Annotated[
        SbomFormat | None, typer.Option("--sbom-format", help="Of --sbom-out; spdx for *.spdx.json, else cyclonedx.")
    ] = None,
    advisories: Annotated[
        str, typer.Option("--advisories", metavar="FILE", help="Ask this advisory file, and no server.")
    ] = "",
    channel: Annotated[
        str, typer.Option("--channel", "-c", metavar="NAME", help="The server's channel that shall have the fixes.")
    ] = "",
    server: Annotated[str, typer.Option("--server", metavar="URL", help="Ask this server, and no advisory file.")] = "",
    policy: Annotated[
        str, typer.Option("--policy", metavar="FILE|NAME", help="Judge by a policy: a file, or one of the server's.")
    ] = "",
    vex: Annotated[
        list[str] | None,
        typer.Option("--vex", metavar="FILE", help="What is known not to affect: OpenVEX, CycloneDX or CSAF."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 if anything could not be read.")] = False,
    output: Annotated[
        Format, typer.Option("--output", "-o", help="table for people; the others for tools.")
    ] = Format.table,
) -> None:
    """List the vulnerabilities of what is installed or locked, worst first."""
    limits = check_limits(fail_on or [], policy)
    check_kind(kind)
    named = _named(targets or [], name, prefix)
    ask = choose_knowledge(advisories=advisories, server=server)
    if diff:
        _compare(named, kind, output, limits, ask)
        return
    judging = read_judging(vex or [], policy, baseline)
    reading = Reading(named, kind)
    if explain:
        found = map(judging.judge, assess(reading, ask))
        explainer = choose_explainer(advisories=advisories, server=server)
        print_explanations(found, explain, explainer, Output.json if output is Format.json else Output.table)
        return
    fixes = _choose_fixes(choose_server(advisories=advisories, server=server), channel)
    sbom = make_sbom(sbom_out, sbom_format) if sbom_out else None
    run = Run(ask, fixes, make_report(output, limits), sbom, judging, limits)
    run.stream(reading)
    if sbom_out:
        _write(sbom_out, run.sbom_text)
    judging.show()
    if run.is_failed:
        raise typer.Exit(1)
    if reading.failed or (strict and run.is_incomplete):
        raise typer.Exit(2)


def _choose_fixes(connect: Callable[[], Client] | None, channel: str) -> Fixes | None:
    """What knows of fixes: the server that answers, if one does."""
    if channel and connect is None:
        raise InvalidInputError("--channel is a channel of a server", hint="name the server: --server URL")
    if channel and connect is not None:
        check_channel(connect, parse_name(channel))
    return Fixes(connect, channel) if connect is not None else None


def _named(targets: Sequence[str], name: str, prefix: str) -> list[str]:
    """The paths of everything that is to be scanned; the environment that is active where nothing is named."""
    named = [str(find_environment(name))] if name else []
    named += [prefix] if prefix else []
    named += targets
    if not named and (active := active_environment()):
        named.append(active)
    if not named:
        raise InvalidInputError(
            "there is nothing to scan",
            hint="antivenom scan .  or  antivenom scan -n base  or  antivenom scan pixi.lock",
        )
    return named


class Run:
    """One scan: snapshots are read, assessed and printed one after another, and none of them is kept.

    `is_failed`: a finding reached a limit, or the policy stops something. `is_incomplete`: something could not be read.
    """

    def __init__(
        self,
        ask: Ask,
        fixes: Fixes | None,
        report: Report,
        sbom: Report | None,
        judging: Judging,
        limits: Sequence[str],
    ) -> None:
        self._ask, self._fixes = ask, fixes
        self._report, self._sbom, self._judging, self._limits = report, sbom, judging, limits
        self._progress = Progress()
        self._summary = Summary()
        self.is_failed = self.is_incomplete = False
        self.sbom_text = ""

    def stream(self, reading: Reading) -> None:
        """Print the scan of everything that is read.

        Raises:
            InvalidInputError: There was one target, and it could not be read.
        """
        is_empty = True
        try:
            for snapshot in assess(self._watch(reading), self._ask):
                if is_empty and reading.is_lost:
                    raise reading.failed[0]
                is_empty = False
                self._take(snapshot)
        finally:
            self._progress.clear()
        sys.stdout.write(self._report.end())
        sys.stdout.flush()
        if self._sbom is not None:
            self.sbom_text += self._sbom.end()
        self._summary.show()

    def _watch(self, reading: Reading) -> Iterator[Target]:
        for target in reading:
            self._progress.show(target.path)
            yield target

    def _take(self, snapshot: ScannedSnapshot) -> None:
        if self._sbom is not None:
            self.sbom_text += self._sbom.add(snapshot)
        snapshot = self._judging.judge(snapshot)
        if self._fixes is not None:
            snapshot = self._fixes.add(snapshot)
        self.is_incomplete |= bool(snapshot.skipped or snapshot.error)
        self.is_failed |= any(component_fails(assessed, self._limits) for assessed in snapshot.components)
        self._progress.clear()
        sys.stdout.write(self._report.add(snapshot))
        self._summary.add(snapshot)


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror}") from None


# -- comparing ---------------------------------------------------------------------------------------------------------


def _compare(targets: Sequence[str], kind: str, output: Format, limits: Sequence[str], ask: Ask) -> None:
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
