"""Pages of what is published: the tabs of a channel, a package, an advisory with the packages that it affects."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import InvalidInputError, NotFoundError
from antivenom.core.matching.advisories import Severity
from antivenom.server.advisories import service as advisories
from antivenom.server.catalog import service
from antivenom.server.catalog.affected_packages import list_affected_packages
from antivenom.server.catalog.decisions import DecisionFilter
from antivenom.server.catalog.finding_groups import merge_versions, newest_first
from antivenom.server.catalog.rows import ChannelFinding, MergedFinding, PackageDetails, RecordDecision, rank_of
from antivenom.server.context import Context
from antivenom.server.db.paging import Page
from antivenom.server.publications import service as publications
from antivenom.server.publications.summaries import ChannelSummary
from antivenom.server.web.rendering import ListState, page, render

EMPTY: Page[Any] = Page([], 0)
YES = {"yes": True, "no": False}
VERSIONS_SHOWN = 25
FINDINGS_SHOWN = 10
PART_OF_NAME = re.compile(r"[A-Za-z0-9_.-]*(?<!\.conda)(?<!\.bz2)")


async def show_packages(request: Request, ctx: Context) -> Response:
    head = await publications.get_channel_summary(ctx, request.path_params["channel"])
    state = ListState.read(request, filters=("severity", "withheld"), sort="name")
    found = EMPTY
    if head.publication is not None:
        found = await service.list_packages(
            ctx,
            head.name,
            q=state.q,
            severity=state.filter("severity"),
            withheld=YES.get(state.filter("withheld")),
            sort=state.sort,
            page=state.page,
            page_size=state.page_size,
        )
    return _render_tab(request, ctx, "packages", head, state=state, found=found)


async def show_withheld(request: Request, ctx: Context) -> Response:
    head = await publications.get_channel_summary(ctx, request.path_params["channel"])
    state = ListState.read(request, filters=("show", "rule", "gate", "subdir"), sort="name")
    found, counts, problem = EMPTY, None, None
    if head.publication is not None:
        wanted = _decision_filter(state)
        try:
            counts = await service.count_withheld(ctx, head.name, wanted)
            found = await service.list_withheld(
                ctx, head.name, wanted, sort=state.sort, page=state.page, page_size=state.page_size
            )
        except InvalidInputError as error:  # while typing, a match spec is often incomplete
            problem = error
    return _render_tab(request, ctx, "withheld", head, state=state, found=found, counts=counts, problem=problem)


def _decision_filter(state: ListState) -> DecisionFilter:
    """The filter that the address gives. A single word is searched in names: typing "opens" already finds openssl."""
    is_word = PART_OF_NAME.fullmatch(state.q) is not None
    return DecisionFilter(
        decision="warned" if state.filter("show") == "warned" else "withheld",
        spec="" if is_word else state.q,
        name=state.q if is_word else "",
        subdir=state.filter("subdir"),
        gate=state.filter("gate"),
        rule_id=state.filter("rule"),
    )


async def show_findings(request: Request, ctx: Context) -> Response:
    head = await publications.get_channel_summary(ctx, request.path_params["channel"])
    state = ListState.read(request, filters=("severity", "kev", "served", "status"), sort="-risk")
    found = EMPTY
    if head.publication is not None:
        wanted = service.FindingFilter(
            state.q,
            state.filter("severity"),
            YES.get(state.filter("kev")),
            status=state.filter("status"),
            served=YES.get(state.filter("served")),
        )
        found = await service.list_channel_vulnerabilities(
            ctx, head.name, wanted, sort=state.sort, page=state.page, page_size=state.page_size
        )
    return _render_tab(request, ctx, "findings", head, state=state, found=found)


async def show_package(request: Request, ctx: Context) -> Response:
    head = await publications.get_channel_summary(ctx, request.path_params["channel"])
    if head.publication is None:
        raise NotFoundError(f"channel {head.name!r} has published nothing yet")
    found = await service.get_package(ctx, head.name, request.path_params["name"])
    state = ListState.read(request, filters=("versions", "findings"))
    versions = _version_rows(found)
    findings = _worst_first(found.findings)
    return render(
        request,
        ctx,
        "catalog/package.html",
        head=head,
        package=found.package,
        match_url=_match_url(found),
        correct_url=_correct_url(found),
        allowed_version=found.allowed_version,
        state=state,
        versions=versions if state.filter("versions") == "all" else versions[:VERSIONS_SHOWN],
        versions_total=len(versions),
        findings=findings if state.filter("findings") == "all" else findings[:FINDINGS_SHOWN],
        findings_total=len(findings),
        ignored=_worst_first(found.ignored),
        severities=Counter(finding.worst.severity for finding in findings),
        stopped_by=_count_rules(found.records),
    )


def _match_url(package: PackageDetails) -> Callable[[str, str], str]:
    """The page that explains how one version of a package is matched, with one advisory ("": with all)."""

    def url(version: str, advisory: str = "") -> str:
        return "/match?" + _query(package, version, advisory)

    return url


def _correct_url(package: PackageDetails) -> Callable[..., str]:
    """The form that says what is wrong about a finding, or about one that is set aside ("missing")."""

    def url(version: str, advisory: str, kind: str = "package") -> str:
        return "/corrections/new?" + _query(package, version, advisory, kind=kind)

    return url


def _query(package: PackageDetails, version: str, advisory: str, **more: str) -> str:
    """What tells another page which version of a package, and which advisory, it is about."""
    component = f"conda:{package.package.name}={version}"
    query = {**more, "component": component, "channel": package.mapping_channel, "advisory": advisory}
    return urlencode({name: value for name, value in query.items() if value})


def _worst_first(findings: list[ChannelFinding]) -> list[MergedFinding]:
    merged = sorted(merge_versions(findings), key=lambda row: row.worst.ids[0])
    return sorted(merged, key=lambda row: rank_of(row.worst), reverse=True)


def _count_rules(records: list[RecordDecision]) -> dict[str, int]:
    """How many withheld records each rule stops, the most frequent rule first."""
    rules: Counter[str] = Counter()
    for record in records:
        if record.decision == "withheld":
            rules.update({reason.rule_id for reason in record.reasons if reason.action == "stop"})
    return dict(rules.most_common())


async def show_advisory(request: Request, ctx: Context) -> Response:
    advisory = await advisories.get_advisory(ctx, request.path_params["advisory"])
    state = ListState.read(request, sort="-risk")
    affected = await list_affected_packages(
        ctx, advisory.ids, q=state.q, sort=state.sort, page=state.page, page_size=state.page_size
    )
    return render(
        request,
        ctx,
        "catalog/advisory.html",
        partial="results",
        advisory=advisory,
        state=state,
        found=affected,
    )


def _render_tab(request: Request, ctx: Context, tab: str, head: ChannelSummary, **values: Any) -> Response:
    return render(request, ctx, f"catalog/{tab}.html", partial="results", tab=tab, head=head, **values)


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of a package: its records, and for each subdir how many are admitted, warned and withheld."""

    version: str
    cells: list[Counter[str]]
    records: list[RecordDecision]
    withheld: int
    severity: str  # "" when no finding is known

    @property
    def anchor(self) -> str:
        return f"v-{self.version}"


def _version_rows(package: PackageDetails) -> list[VersionRow]:
    """One row for each version, the newest first."""
    by_version: dict[str, list[RecordDecision]] = defaultdict(list)
    for record in package.records:
        by_version[record.version].append(record)
    worst: dict[str, Severity] = {}
    for finding in package.findings:
        severity = Severity[finding.severity]
        worst[finding.version] = max(worst.get(finding.version, severity), severity)
    return [
        VersionRow(
            version=version,
            cells=[
                Counter(record.decision for record in by_version[version] if record.subdir == subdir)
                for subdir in package.package.subdirs
            ],
            records=sorted(by_version[version], key=lambda record: (record.subdir, record.fn)),
            withheld=sum(record.decision == "withheld" for record in by_version[version]),
            severity=worst[version].name if version in worst else "",
        )
        for version in newest_first(by_version.keys())
    ]


routes: list[Route] = [
    page("/channels/{channel}", show_packages),
    page("/channels/{channel}/withheld", show_withheld),
    page("/channels/{channel}/findings", show_findings),
    page("/channels/{channel}/packages/{name}", show_package),
    page("/advisories/{advisory}", show_advisory),
]
