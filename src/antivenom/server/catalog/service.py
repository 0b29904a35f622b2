"""What is in a publication: packages, withheld records, findings, and the reasons for each. Reading only."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from antivenom.core.errors import InvalidInputError, NotFoundError
from antivenom.core.matching.advisories import Finding, Severity
from antivenom.core.policy.compile import Action
from antivenom.core.publication.publication_map import Decision
from antivenom.server.catalog.contents import PackageOverview, PublicationContents, load_contents
from antivenom.server.catalog.decisions import DecisionCounts, DecisionFilter
from antivenom.server.catalog.finding_groups import newest_first, page_merged_versions
from antivenom.server.catalog.schemas import finding_row
from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page, check_paging, check_sort, slice_page
from antivenom.server.findings import service as findings_service
from antivenom.server.publications.schemas import reason_row
from antivenom.server.publications.service import get_served_publication

Row = dict[str, Any]
EXPLAIN_AT_MOST = 500
IDS_SHOWN = 5
PACKAGE_SORTS: dict[str, Callable[[PackageOverview], Any]] = {
    "name": lambda p: p.name,
    "records": lambda p: p.records,
    "versions": lambda p: p.versions,
    "withheld": lambda p: p.withheld,
    "severity": lambda p: (Severity[p.severity], p.risk),
    "vulnerabilities": lambda p: p.vulnerabilities,
    "risk": lambda p: p.risk,
}
FINDING_SORTS: dict[str, Callable[[Row], Any]] = {
    "risk": lambda r: r["risk"],
    "severity": lambda r: (Severity[r["severity"]], r["risk"]),
    "cvss": lambda r: r["cvss"] or 0.0,
    "epss": lambda r: r["epss"] or 0.0,
    "name": lambda r: r["name"],
    "id": lambda r: r["ids"][0],
    "published": lambda r: r["published"],
}


async def _load_served(ctx: Context, channel: str) -> PublicationContents:
    _, publication = await get_served_publication(ctx, channel)
    return await load_contents(ctx, publication)


# -- packages ----------------------------------------


async def list_packages(
    ctx: Context,
    channel: str,
    *,
    q: str = "",
    severity: str = "",
    withheld: bool | None = None,
    sort: str = "name",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[PackageOverview]:
    """Package names of a channel. `severity` is the least; `withheld` True keeps names with withheld records.

    Raises:
        InvalidInputError: An unknown sort or severity, or a page that cannot be.
    """
    check_paging(page, page_size)
    least = _severity(severity)
    key, reverse = _sort(sort, PACKAGE_SORTS)
    contents = await _load_served(ctx, channel)
    packages = await asyncio.to_thread(contents.packages)
    wanted = q.lower()
    found = [
        p
        for p in packages
        if wanted in p.name
        and (least is None or (p.vulnerabilities and Severity[p.severity] >= least))
        and (withheld is None or bool(p.withheld) == withheld)
    ]
    if sort != "name":
        found.sort(key=key, reverse=reverse)
    return slice_page(found, page, page_size)


async def get_package(ctx: Context, channel: str, name: str) -> Row:
    """One package: its overview, every record with its decision, its findings by version.

    Raises:
        NotFoundError: The channel has no record of that name, not even a withheld one.
    """
    contents = await _load_served(ctx, channel)
    records = await asyncio.to_thread(_records_of, contents, name)
    if not records:
        raise NotFoundError(
            f"channel {channel!r} has no package {name!r}",
            hint=f"search with: antivenom channel packages {channel} TEXT",
        )
    overview = next(p for p in contents.packages() if p.name == name)
    return {
        "package": overview,
        "records": await asyncio.to_thread(_decision_rows, contents, records),
        "findings": await asyncio.to_thread(_finding_rows, contents, name),
        "allowed_version": _allowed_version(contents, name),
    }


def _records_of(contents: PublicationContents, name: str) -> list[tuple[str, Decision]]:
    return [(subdir, decision) for subdir, index in contents.maps.items() for decision in index.records(name)]


def _allowed_version(contents: PublicationContents, name: str) -> str | None:
    """The newest version that any subdir serves."""
    versions = {v for index in contents.maps.values() if (v := index.allowed_version(name))}
    return newest_first(versions)[0] if versions else None


# -- withheld, explain ----------------------------------------


def withheld_row(subdir: str, decision: Decision) -> Row:
    """A withheld record as listings show it."""
    return {
        "subdir": subdir,
        "fn": decision.fn,
        "name": decision.name,
        "version": decision.version,
        "build": decision.build,
        "severity": Severity(decision.severity).name,
        "reasons": [reason_row(reason) for reason in decision.reasons],
    }


async def list_withheld(
    ctx: Context,
    channel: str,
    wanted: DecisionFilter | None = None,
    *,
    sort: str = "subdir",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[Row]:
    """Withheld (or warned) records with their reasons, by subdir and file name or as `sort` (decisions.SORTS) says.

    Raises:
        InvalidInputError: The spec does not parse, an unknown sort, or a page that cannot be.
    """
    check_paging(page, page_size)
    contents = await _load_served(ctx, channel)

    def take() -> Page[Row]:
        decisions = contents.decisions()
        found = slice_page(decisions.select(wanted or DecisionFilter(), sort=sort), page, page_size)
        return Page([withheld_row(*decisions.row(number)) for number in found.items], found.total, page, page_size)

    return await asyncio.to_thread(take)


async def iterate_withheld(
    ctx: Context, channel: str, wanted: DecisionFilter | None = None, *, sort: str = "subdir"
) -> Iterator[Row]:
    """The same rows, one after the other; iterate in a thread."""
    contents = await _load_served(ctx, channel)

    def select() -> Sequence[int]:
        return contents.decisions().select(wanted or DecisionFilter(), sort=sort)

    numbers = await asyncio.to_thread(select)
    return (withheld_row(*contents.decisions().row(number)) for number in numbers)


async def count_withheld(ctx: Context, channel: str, wanted: DecisionFilter) -> DecisionCounts:
    """How many withheld and warned records each rule, gate and subdir has under the other filters."""
    contents = await _load_served(ctx, channel)
    return await asyncio.to_thread(lambda: contents.decisions().count(wanted))


async def explain(ctx: Context, channel: str, what: str) -> list[Row]:
    """What was decided for a file name (or SUBDIR/FILE) or every record of a match spec, and why; 500 rows at most.

    Raises:
        InvalidInputError: `what` is neither a file name nor a match spec.
        NotFoundError: No record of the channel's upstream is meant by it.
    """
    contents = await _load_served(ctx, channel)
    maps, meant = contents.maps, what
    subdir, _, fn = what.partition("/")
    if fn and subdir in maps:
        maps, meant = {subdir: maps[subdir]}, fn

    def look() -> list[Row]:
        return [
            _decision_row(contents, subdir, decision)
            for subdir, index in maps.items()
            for decision in islice(index.explain(meant), EXPLAIN_AT_MOST)
        ]

    rows = await asyncio.to_thread(look)
    if not rows:
        raise NotFoundError(
            f"channel {channel!r} has no record that {what!r} names",
            hint="it may not exist upstream, or be outside the mirror's subdirs and specs",
        )
    return rows[:EXPLAIN_AT_MOST]


DECISIONS = {Action.stop: "withheld", Action.warn: "warned", Action.go: "admitted"}


def _decision_row(
    contents: PublicationContents, subdir: str, decision: Decision, findings: list[Row] | None = None
) -> Row:
    component = contents.assessment_of(decision.name, decision.version)
    found = component.assessment.findings if component else ()
    return {
        "subdir": subdir,
        "fn": decision.fn,
        "name": decision.name,
        "version": decision.version,
        "build": decision.build,
        "size": decision.size_bytes,
        "sha256": decision.sha256,
        "decision": DECISIONS[Action(decision.action)],
        "reasons": [reason_row(reason) for reason in decision.reasons],
        "excepted": [{"allowlist_id": item, **reason_row(reason)} for item, reason in decision.excepted],
        "assessment": _assessment_text(contents, decision.name, found),
        "findings": [finding_row(finding) for finding in found] if findings is None else findings,
    }


def _decision_rows(contents: PublicationContents, records: list[tuple[str, Decision]]) -> list[Row]:
    """The rows of many records of one name; those of one version share their findings."""
    findings: dict[str, list[Row]] = {}
    rows = []
    for subdir, decision in records:
        row = _decision_row(contents, subdir, decision, findings.get(decision.version))
        findings[decision.version] = row["findings"]
        rows.append(row)
    return rows


def _assessment_text(contents: PublicationContents, name: str, found: tuple[Finding, ...]) -> str:
    if found:
        more = f" and {len(found) - IDS_SHOWN} more" if len(found) > IDS_SHOWN else ""
        noun = "vulnerability" if len(found) == 1 else "vulnerabilities"
        return f"{len(found)} known {noun}: {', '.join(f.ids[0] for f in found[:IDS_SHOWN])}{more}"
    if reason := contents.unassessed.get(name):
        return f"not assessed: {reason}"
    return "no known vulnerability"


# -- findings of a channel ----------------------------------------


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings: every given part must hold.

    `q` is found in the name or in an id; `severity` and `epss_min` are the least; `served` is whether a record of the
    component is served.
    """

    q: str = ""
    severity: str = ""
    kev: bool | None = None
    epss_min: float | None = None
    status: str = ""
    served: bool | None = None

    def select(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that it leaves.

        Raises:
            InvalidInputError: An unknown severity.
        """
        least, wanted = _severity(self.severity), self.q.lower()
        return [
            row
            for row in rows
            if (not wanted or wanted in row["name"] or any(wanted in i.lower() for i in row["ids"]))
            and (least is None or Severity[row["severity"]] >= least)
            and (self.kev is None or row["kev"] == self.kev)
            and (self.epss_min is None or (row["epss"] or 0.0) >= self.epss_min)
            and (not self.status or row["status"] == self.status)
            and (self.served is None or (row["records"] > row["withheld"]) == self.served)
        ]


async def list_channel_findings(
    ctx: Context,
    channel: str,
    wanted: FindingFilter | None = None,
    *,
    sort: str = "-risk",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[Row]:
    """Findings of a channel's components, one row a (component, vulnerability), the riskiest first."""
    check_paging(page, page_size)
    return slice_page(await filter_channel_findings(ctx, channel, wanted, sort=sort), page, page_size)


async def filter_channel_findings(
    ctx: Context, channel: str, wanted: FindingFilter | None = None, *, sort: str = "-risk"
) -> list[Row]:
    """Every row that the filter leaves.

    Raises:
        InvalidInputError: An unknown severity or sort.
    """
    key, reverse = _sort(sort, FINDING_SORTS)
    contents = await _load_served(ctx, channel)

    def look() -> list[Row]:
        rows = (wanted or FindingFilter()).select(contents.finding_rows(_finding_rows))
        rows.sort(key=key, reverse=reverse)
        return rows

    return await asyncio.to_thread(look)


async def list_channel_vulnerabilities(
    ctx: Context,
    channel: str,
    wanted: FindingFilter | None = None,
    *,
    sort: str = "-risk",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[Row]:
    """The same findings, one row a (package, vulnerability); see finding_groups.page_merged_versions."""
    check_paging(page, page_size)
    rows = await filter_channel_findings(ctx, channel, wanted, sort=sort)
    return await asyncio.to_thread(page_merged_versions, rows, page, page_size)


def _finding_rows(contents: PublicationContents, name: str) -> list[Row]:
    """One row a (component, vulnerability) of one package name."""
    records = _records_of(contents, name)
    kept_versions = sorted({d.version for _, d in records if d.action != Action.stop})
    in_channel: dict[tuple[str, ...], bool | None] = {}  # by fixed versions: many versions of a name share theirs
    rows = []
    by_version: dict[str, list[tuple[str, Decision]]] = defaultdict(list)
    for subdir, decision in records:
        by_version[decision.version].append((subdir, decision))
    for component in contents.by_name.get(name, ()):
        mine = by_version.get(component.version, [])
        place = {
            "name": name,
            "version": component.version,
            "subdirs": sorted({subdir for subdir, _ in mine}),
            "records": len(mine),
            "withheld": sum(d.action == Action.stop for _, d in mine),
        }
        for finding in component.assessment.findings:
            fixed = tuple(finding.fixed_versions)
            if fixed not in in_channel:
                in_channel[fixed] = findings_service.fix_in_channel(finding, kept_versions)
            rows.append({**place, **finding_row(finding), "fix_in_channel": in_channel[fixed]})
    return rows


def _severity(text: str) -> Severity | None:
    if not text:
        return None
    if text not in Severity.__members__:
        raise InvalidInputError(
            f"severity {text!r} is not known", hint=f"one of {', '.join(s.name for s in Severity)}", field="severity"
        )
    return Severity[text]


def _sort(sort: str, keys: dict[str, Callable[[Any], Any]]) -> tuple[Callable[[Any], Any], bool]:
    return keys[check_sort(sort, keys)], sort.startswith("-")
