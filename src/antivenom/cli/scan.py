"""`antivenom scan`: what is known of environments, lock files and SBOMs on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import typer

from antivenom.cli import scan_options as options
from antivenom.cli.arguments import parse_name
from antivenom.cli.client import Client, client
from antivenom.cli.output import Output
from antivenom.cli.scan_assessing import Ask, assess
from antivenom.cli.scan_changes import find_changed, old_targets
from antivenom.cli.scan_comparing import compare_targets
from antivenom.cli.scan_explaining import print_explanations
from antivenom.cli.scan_fixes import Fixes, check_channel
from antivenom.cli.scan_judging import Judging, check_limits, read_judging
from antivenom.cli.scan_knowledge import choose_explainer, choose_knowledge, choose_server
from antivenom.cli.scan_output import Format, Progress, ReportFile, Summary, make_report, open_files, with_packages
from antivenom.cli.scan_solving import Solver
from antivenom.cli.scan_targets import Reading, Target, find_environment
from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.registry import check_kind
from antivenom.core.reports.result import Report, ScannedSnapshot, component_fails
from antivenom_client.environments import active_environment

commands = typer.Typer()


@commands.command("scan")
def scan(
    targets: options.Targets = None,
    name: options.Name = "",
    prefix: options.Prefix = "",
    kind: options.KindOfTargets = "",
    solve: options.Solve = "",
    platform: options.Platform = "",
    fail_on: options.FailOn = None,
    baseline: options.Baseline = "",
    diff: options.Diff = False,
    explain: options.Explain = "",
    since: options.Since = "",
    write: options.Write = None,
    sbom_out: options.SbomOut = "",
    sbom_format: options.SbomKind = None,
    advisories: options.Advisories = "",
    channel: options.FixChannel = "",
    server: options.Server = "",
    policy: options.PolicyName = "",
    vex: options.Vex = None,
    strict: options.Strict = False,
    output: options.OutputFormat = Format.table,
) -> None:
    """List the vulnerabilities of what is installed or locked, worst first."""
    limits = check_limits(fail_on or [], policy)
    check_kind(kind)
    changed = find_changed(_only_files(targets or [], name, prefix), since) if since else None
    named = _named(targets or [], name, prefix) if changed is None else [file.path for file in changed]
    ask = choose_knowledge(advisories=advisories, server=server)
    if diff:
        compare_targets(named, kind, output, limits, ask)
        return
    connect = choose_server(advisories=advisories, server=server)
    judging = read_judging(vex or [], policy, baseline, connect or client)
    old = judging.leave_out(assess(old_targets(changed, kind), ask), since) if changed is not None else None
    reading = Reading(named, kind, Solver(solve, platform).solve if solve else None)
    if explain:
        found = map(judging.judge, assess(reading, ask))
        explainer = choose_explainer(advisories=advisories, server=server)
        print_explanations(found, explain, explainer, Output.json if output is Format.json else Output.table)
        return
    fixes = _choose_fixes(connect, channel)
    report = with_packages(make_report(output, limits), old)
    files = open_files(write or [], sbom_out, sbom_format, limits, old)
    run = Run(ask, fixes, report, files, judging, limits)
    run.stream(reading)
    judging.show()
    if run.is_failed:
        raise typer.Exit(1)
    if reading.failed or (strict and run.is_incomplete):
        raise typer.Exit(2)


def _only_files(targets: Sequence[str], name: str, prefix: str) -> Sequence[str]:
    if name or prefix or "-" in targets:
        raise InvalidInputError("--since is for files of a git repository", hint="antivenom scan --since main .")
    return targets


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
        files: Sequence[ReportFile],
        judging: Judging,
        limits: Sequence[str],
    ) -> None:
        self._ask, self._fixes = ask, fixes
        self._report, self._files, self._judging, self._limits = report, files, judging, limits
        self._progress = Progress()
        self._summary = Summary()
        self.is_failed = self.is_incomplete = False

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
            for report_file in self._files:
                report_file.end()
        finally:
            self._progress.clear()
            for report_file in self._files:
                report_file.discard()
        sys.stdout.write(self._report.end())
        sys.stdout.flush()
        self._summary.show()

    def _watch(self, reading: Reading) -> Iterator[Target]:
        for target in reading:
            self._progress.show(target.path)
            yield target

    def _take(self, snapshot: ScannedSnapshot) -> None:
        snapshot = self._judging.judge(snapshot)
        if self._fixes is not None:
            snapshot = self._fixes.add(snapshot)
        self.is_incomplete |= bool(snapshot.skipped or snapshot.error)
        self.is_failed |= any(component_fails(assessed, self._limits) for assessed in snapshot.components)
        self._progress.clear()
        sys.stdout.write(self._report.add(snapshot))
        for report_file in self._files:
            report_file.add(snapshot)
        self._summary.add(snapshot)
