"""`antivenom scan` of installed environments by an advisory file: the quick way, for what people and pipelines do most.

It prints what the command line prints, byte for byte, with the standard library alone, in the time that Python
takes to start. What it does not know (options, kinds of targets, unusual files, a server) is left to the whole command
line.

Source: docs/guides/scan.md.
"""

from __future__ import annotations

import os
import sys
import time

from antivenom_client.advisory_file import AdvisoryFile, UnusableFile
from antivenom_client.age import tell_age
from antivenom_client.environments import NoEnvironmentError, active_environment, find_environment
from antivenom_client.names import channel_name
from antivenom_client.places import default_advisories
from antivenom_client.plans import Answer, BeyondPlans, Plans, Query, python_purl
from antivenom_client.prefix import Package, UnusualPrefix, read_prefix
from antivenom_client.report import (
    COLUMNS,
    advise,
    fails,
    not_assessed_line,
    rows_of,
    title_of,
    totals_line,
    with_findings,
)
from antivenom_client.terminal import note, print_table

LIMITS = ("low", "medium", "high", "critical", "kev", "malware", "any")
TARGETS_MAX = 500  # more are streamed by the whole command line
_WITH_VALUE = {"-n": "name", "--name": "name", "-p": "prefix", "--prefix": "prefix", "--fail-on": "fail_on",
               "-o": "output", "--output": "output", "--advisories": "advisories"}  # fmt: skip


class Assessed:
    """A package and what is known of it."""

    __slots__ = ("assessed", "component", "findings")

    def __init__(self, component: Package, answer: Answer) -> None:
        self.component = component
        self.assessed = answer.assessed
        self.findings = answer.findings


def scan(arguments: list[str]) -> int | None:
    """Scan what the arguments of `antivenom scan` name.

    Returns:
        The exit code; None for what is beyond the quick way. Then nothing was printed.
    """
    options = _read_options(arguments)
    if options is None or (os.environ.get("ANTIVENOM_URL") and not options["advisories"]):
        return None
    path = options["advisories"][-1] if options["advisories"] else default_advisories()
    try:
        file = AdvisoryFile.open(path)
        prefixes = [os.path.normpath(prefix) for prefix in _list_prefixes(options)]
        found = [(prefix, read_prefix(prefix)) for prefix in prefixes]
        plans = Plans(file)
        snapshots = [(prefix, packages, plans.assess(list(map(_query_of, packages)))) for prefix, packages in found]
        age = tell_age(path, plans.made_at(), time.time())
    except (UnusableFile, UnusualPrefix, BeyondPlans, NoEnvironmentError, OSError, UnicodeError):
        return None
    for line in age:
        note(line)
    return _print(snapshots, options["fail_on"])


def _read_options(arguments: list[str]) -> dict[str, list[str]] | None:
    """The options that the quick way knows; None where there is another one."""
    found: dict[str, list[str]] = {name: [] for name in (*_WITH_VALUE.values(), "target")}
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if not argument.startswith("-"):
            found["target"].append(argument)
        elif argument in _WITH_VALUE:
            given = next(waiting, "")
            if not given or given.startswith("-"):
                return None
            found[_WITH_VALUE[argument]].append(given)
        elif equals and value and name.startswith("--") and name in _WITH_VALUE:
            found[_WITH_VALUE[name]].append(value)
        elif argument != "--strict":  # what is broken is beyond the quick way
            return None
    if any(output != "table" for output in found["output"]) or not set(LIMITS).issuperset(found["fail_on"]):
        return None
    return found if len(found["target"]) <= TARGETS_MAX else None


def _list_prefixes(options: dict[str, list[str]]) -> list[str]:
    """The prefixes that are to be scanned, in the command line's order.

    Raises:
        UnusualPrefix: One is no conda prefix, or is written in another way than its path is.
    """
    named = [find_environment(name) for name in options["name"][-1:]] + options["prefix"][-1:] + options["target"]
    if not named and (active := active_environment()):
        named.append(active)
    for path in named:
        is_plain = path == os.path.normpath(path) or path == os.path.normpath(path) + os.sep
        if not is_plain or path == os.curdir or not os.path.isdir(os.path.join(path, "conda-meta")):
            raise UnusualPrefix
    if not named:
        raise UnusualPrefix
    return named


def _query_of(package: Package) -> Query:
    if package.type == "pypi":
        return Query(package.name, package.version, purl=python_purl(package.name, package.version))
    return Query(package.name, package.version, channel=_channel_name(package.channel), subdir=package.subdir)


_channels: dict[str, str] = {}


def _channel_name(channel: str) -> str:
    known = _channels.get(channel)
    if known is None:
        known = _channels[channel] = channel_name(channel)
    return known


def _print(snapshots: list[tuple[str, list[Package], list[Answer]]], limits: list[str]) -> int:
    """Print tables and the lines beside them; the exit code."""
    findings = components = missing = 0
    missing_names = set()
    is_failed = False
    for prefix, packages, answers in snapshots:
        assessed = list(map(Assessed, packages, answers))
        components += len(assessed)
        for one in assessed:
            if not one.assessed:
                missing += 1
                missing_names.add(one.component.name)
        rows = []
        for one in with_findings(assessed):
            rows += rows_of(one, advise(one.findings))
            is_failed = is_failed or any(fails(finding, limits) for finding in one.findings)
        findings += len(rows)
        if rows:
            platform = next((p.subdir for p in packages if p.subdir not in ("", "noarch")), "")
            note(title_of(prefix, os.path.basename(prefix), platform), to_stdout=True)
            print_table(rows, COLUMNS)
            note("", to_stdout=True)
    sys.stdout.flush()
    note(totals_line(findings, components, len(snapshots)))
    if missing:
        note(not_assessed_line(missing, missing_names))
    return 1 if is_failed else 0
