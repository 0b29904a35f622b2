"""Lists what is in a publication: packages, withheld records, findings, and the reasons for each. Read-only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from antivenom.core.errors import InvalidInputError, NotFoundError
from antivenom.core.matching.advisories import FindingStatus, Kind, Severity
from antivenom.core.policy.compile import Action
from antivenom.core.publication.publication_map import Decision
from antivenom.server.catalog.artifact_words import add_artifact_words
from antivenom.server.catalog.build_words import add_build_words
from antivenom.server.catalog.contents import PublicationContents, load_contents
from antivenom.server.catalog.decisions import DecisionCounts, DecisionFilter
from antivenom.server.catalog.finding_groups import page_merged_versions
from antivenom.server.catalog.rows import (
    ChannelFinding,
    ExceptedReason,
    MergedFinding,
    PackageDetails,
    PackageOverview,
    RecordDecision,
    RecordFinding,
    WithheldRecord,
    rank_of,
)
from antivenom.server.channels.models import Channel
from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page, check_paging, check_sort, slice_page
from antivenom.server.publications.reasons import ReasonView
from antivenom.server.publications.service import get_served_publication

EXPLAIN_AT_MOST = 500
IDS_SHOWN = 5
SEVERITY_RANKS = {severity.name: int(severity) for severity in Severity}
PACKAGE_SORTS: dict[str, Callable[[PackageOverview], Any]] = {
    "name": lambda p: p.name,
    "records": lambda p: p.records,
    "versions": lambda p: p.versions,
    "withheld": lambda p: p.withheld,
    "severity": lambda p: (Severity[p.severity], p.risk),
    "vulnerabilities": lambda p: p.vulnerabilities,
    "risk": lambda p: p.risk,
}
FINDING_SORTS: dict[str, Callable[[ChannelFinding], Any]] = {
    "risk": rank_of,
    "severity": lambda row: (SEVERITY_RANKS[row.severity], *rank_of(row)),
    "cvss": lambda row: row.cvss or 0.0,
    "epss": lambda row: row.epss or 0.0,
    "name": lambda row: row.name,
    "id": lambda row: row.ids[0],
    "published": lambda row: row.published,
}


async def _load_served(ctx: Context, channel: str) -> PublicationContents:
    return (await _load_channel(ctx, channel))[1]


async def _load_channel(ctx: Context, channel: str) -> tuple[Channel, PublicationContents]:
    row, publication = await get_served_publication(ctx, channel)
    return row, await load_contents(ctx, publication)


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
    """Packages of a channel. `severity` is the lowest to show; `withheld` True keeps names with withheld records.

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


async def get_package(ctx: Context, channel: str, name: str) -> PackageDetails:
    """One package: its overview, every record with its decision, its findings by version.

    Raises:
        NotFoundError: The channel has no record of that name, not even a withheld one.
    """
    row, contents = await _load_channel(ctx, channel)
    records = await asyncio.to_thread(contents.records_of, name)
    if not records:
        raise NotFoundError(
            f"channel {channel!r} has no package {name!r}",
            hint=f"search with: antivenom channel packages {channel} TEXT",
        )
    decided = await asyncio.to_thread(_record_decisions, contents, records)
    packages = await asyncio.to_thread(contents.packages)
    return PackageDetails(
        package=next(p for p in packages if p.name == name),
        records=await _add_words(ctx, row, contents, decided),
        findings=await asyncio.to_thread(contents.finding_rows_of, name),
        ignored=await asyncio.to_thread(contents.ignored_rows_of, name),
        allowed_version=await asyncio.to_thread(contents.allowed_version, name),
        mapping_channel=contents.findings.basis.mapping_channel if contents.findings.basis else "",
    )


# -- withheld, explain ----------------------------------------


def withheld_record(subdir: str, decision: Decision) -> WithheldRecord:
    """A withheld (or warned) record as lists show it."""
    return WithheldRecord(
        subdir,
        decision.fn,
        decision.name,
        decision.version,
        decision.build,
        Severity(decision.severity).name,
        [ReasonView.of(reason) for reason in decision.reasons],
    )


async def list_withheld(
    ctx: Context,
    channel: str,
    wanted: DecisionFilter | None = None,
    *,
    sort: str = "subdir",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[WithheldRecord]:
    """Withheld (or warned) records with their reasons, sorted by `sort` (one of decisions.SORTS), then file name.

    Raises:
        InvalidInputError: The spec does not parse, an unknown sort, or a page that cannot be.
    """
    check_paging(page, page_size)
    contents = await _load_served(ctx, channel)

    def take() -> Page[WithheldRecord]:
        decisions = contents.decisions()
        found = slice_page(decisions.select(wanted or DecisionFilter(), sort=sort), page, page_size)
        return Page([withheld_record(*decisions.row(number)) for number in found.items], found.total, page, page_size)

    return await asyncio.to_thread(take)


async def iterate_withheld(
    ctx: Context, channel: str, wanted: DecisionFilter | None = None, *, sort: str = "subdir"
) -> Iterator[WithheldRecord]:
    """The same rows as an iterator, each read when it is asked for: iterate in a thread."""
    contents = await _load_served(ctx, channel)

    def select() -> Sequence[int]:
        return contents.decisions().select(wanted or DecisionFilter(), sort=sort)

    numbers = await asyncio.to_thread(select)
    return (withheld_record(*contents.decisions().row(number)) for number in numbers)


async def count_withheld(ctx: Context, channel: str, wanted: DecisionFilter) -> DecisionCounts:
    """How many withheld and warned records each rule, gate and subdir has under the other filters."""
    contents = await _load_served(ctx, channel)
    return await asyncio.to_thread(lambda: contents.decisions().count(wanted))


async def explain(ctx: Context, channel: str, what: str) -> list[RecordDecision]:
    """The decision about a file name (or SUBDIR/FILE) or about every record of a match spec; at most 500 rows.

    Raises:
        InvalidInputError: `what` is neither a file name nor a match spec.
        NotFoundError: No record of the channel's upstream matches it.
    """
    row, contents = await _load_channel(ctx, channel)
    maps, spec = contents.maps, what
    subdir, _, fn = what.partition("/")
    if fn and subdir in maps:
        maps, spec = {subdir: maps[subdir]}, fn

    def find() -> list[RecordDecision]:
        return [
            _record_decision(contents, subdir, decision, _finding_facts(contents, decision))
            for subdir, index in maps.items()
            for decision in islice(index.explain(spec), EXPLAIN_AT_MOST)
        ]

    rows = await asyncio.to_thread(find)
    if not rows:
        raise NotFoundError(
            f"channel {channel!r} has no record that matches {what!r}",
            hint="it may not exist upstream, or be outside the mirror's subdirs and specs",
        )
    return await _add_words(ctx, row, contents, rows[:EXPLAIN_AT_MOST])


async def _add_words(
    ctx: Context, channel: Channel, contents: PublicationContents, rows: list[RecordDecision]
) -> list[RecordDecision]:
    """The rows, with what the artifacts that were fetched here say themselves."""
    rows = await add_build_words(ctx, channel, contents, rows)
    return await add_artifact_words(ctx, contents, rows)


DECISIONS = {Action.stop: "withheld", Action.warn: "warned", Action.go: "admitted"}


def _record_decisions(contents: PublicationContents, records: list[tuple[str, Decision]]) -> list[RecordDecision]:
    """The rows of many records of one name; rows of the same version share their findings."""
    findings: dict[str, list[RecordFinding]] = {}
    rows = []
    for subdir, decision in records:
        if decision.version not in findings:
            findings[decision.version] = _finding_facts(contents, decision)
        rows.append(_record_decision(contents, subdir, decision, findings[decision.version]))
    return rows


def _finding_facts(contents: PublicationContents, decision: Decision) -> list[RecordFinding]:
    return [RecordFinding.of(finding) for finding in contents.findings_of(decision.name, decision.version)]


def _record_decision(
    contents: PublicationContents, subdir: str, decision: Decision, findings: list[RecordFinding]
) -> RecordDecision:
    return RecordDecision(
        subdir=subdir,
        fn=decision.fn,
        name=decision.name,
        version=decision.version,
        build=decision.build,
        size=decision.size_bytes,
        sha256=decision.sha256,
        decision=DECISIONS[Action(decision.action)],
        reasons=[ReasonView.of(reason) for reason in decision.reasons],
        excepted=[ExceptedReason.of_item(item, reason) for item, reason in decision.excepted],
        assessment=_assessment_text(contents, decision.name, findings),
        findings=findings,
        listed_at=_instant(decision.indexed_ms),
        replaced_at=_instant(decision.replaced_ms),
    )


def _instant(ms: int) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms > 0 else None


def _assessment_text(contents: PublicationContents, name: str, findings: list[RecordFinding]) -> str:
    if findings:
        more = f" and {len(findings) - IDS_SHOWN} more" if len(findings) > IDS_SHOWN else ""
        noun = "vulnerability" if len(findings) == 1 else "vulnerabilities"
        return f"{len(findings)} known {noun}: {', '.join(f.ids[0] for f in findings[:IDS_SHOWN])}{more}"
    if reason := contents.unassessed.get(name):
        return f"not assessed: {reason}"
    return "no known vulnerability"


# -- findings of a channel ----------------------------------------


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings to list: all given parts must hold.

    `q` is searched in the name and the ids; `severity` and `epss_min` are lower bounds, which malware is above;
    `served`: whether the channel serves a record of the component. Only the status "ignored" lists what knowledge and
    trusted builds set aside.
    """

    q: str = ""
    severity: str = ""
    kev: bool | None = None
    epss_min: float | None = None
    status: str = ""
    served: bool | None = None

    def select(self, rows: Iterable[ChannelFinding]) -> list[ChannelFinding]:
        """The rows that match.

        Raises:
            InvalidInputError: An unknown severity.
        """
        least, wanted = _severity(self.severity), self.q.lower()
        return [
            row
            for row in rows
            if (not wanted or wanted in row.name or any(wanted in i.lower() for i in row.ids))
            and (least is None or SEVERITY_RANKS[row.severity] >= least)
            and (self.kev is None or row.kev == self.kev)
            and (self.epss_min is None or row.kind == Kind.malware or (row.epss or 0.0) >= self.epss_min)
            and (not self.status or row.status == self.status)
            and (self.served is None or (row.records > row.withheld) == self.served)
        ]


async def list_channel_findings(
    ctx: Context,
    channel: str,
    wanted: FindingFilter | None = None,
    *,
    sort: str = "-risk",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[ChannelFinding]:
    """Findings of a channel: one row for each version of a package and vulnerability, riskiest first by default."""
    check_paging(page, page_size)
    return slice_page(await filter_channel_findings(ctx, channel, wanted, sort=sort), page, page_size)


async def filter_channel_findings(
    ctx: Context, channel: str, wanted: FindingFilter | None = None, *, sort: str = "-risk"
) -> list[ChannelFinding]:
    """Every row that matches the filter.

    Raises:
        InvalidInputError: An unknown severity or sort.
    """
    key, reverse = _sort(sort, FINDING_SORTS)
    contents = await _load_served(ctx, channel)

    def find() -> list[ChannelFinding]:
        chosen = wanted or FindingFilter()
        is_ignored = chosen.status == FindingStatus.ignored
        rows = chosen.select(contents.ignored_rows() if is_ignored else contents.finding_rows())
        rows.sort(key=key, reverse=reverse)
        return rows

    return await asyncio.to_thread(find)


async def list_channel_vulnerabilities(
    ctx: Context,
    channel: str,
    wanted: FindingFilter | None = None,
    *,
    sort: str = "-risk",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[MergedFinding]:
    """The same findings, one row for each package and vulnerability (finding_groups.merge_versions)."""
    check_paging(page, page_size)
    rows = await filter_channel_findings(ctx, channel, wanted, sort=sort)
    return await asyncio.to_thread(page_merged_versions, rows, page, page_size)


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
