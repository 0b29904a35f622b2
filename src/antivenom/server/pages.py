"""Pages that belong to no room: the dashboard, and the search in packages and advisories."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.matching.advisories import Severity
from antivenom.core.policy.compile import Action
from antivenom.server.advisories import service as advisories
from antivenom.server.advisories.schemas import AdvisorySummary
from antivenom.server.catalog import service as catalog
from antivenom.server.catalog.rows import ChannelFinding, PackageOverview, rank_of
from antivenom.server.channel_policies import service as channel_policies
from antivenom.server.context import Context
from antivenom.server.members.authorization import is_allowed
from antivenom.server.mirrors import service as mirrors
from antivenom.server.mirrors.models import Mirror
from antivenom.server.mirrors.subdir_state import describe_losses
from antivenom.server.policies import service as policies
from antivenom.server.publications import service as publications
from antivenom.server.publications.summaries import ChannelSummary, TrendPoint
from antivenom.server.storage import service as storage
from antivenom.server.web.rendering import ChartRow, ago, count, page, redirect, render

CHANNELS_COUNTED = 200
CHANNELS_SEARCHED = 20
DAYS_IN_CHART = 30
RULES_IN_CHART = 8
RECENT = 8
FINDINGS_LOOKED_AT = 200  # many of them are the same vulnerability in other versions, which is shown once
HITS = 8
ADVISORY_ID = re.compile(r"(CVE-\d{4}-\d{4,}|GHSA(-[23456789cfghjmpqrvwx]{4}){3}|(PYSEC|MAL)-\d{4}-\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that needs a person's attention, with the page that helps."""

    tone: str  # critical | medium | low
    title: str
    text: str
    href: str
    link: str


async def show_dashboard(request: Request, ctx: Context) -> Response:
    channels = list((await publications.list_channel_summaries(ctx, page_size=CHANNELS_COUNTED)).items)
    filled = dict(await mirrors.list_mirrors(ctx))
    knowledge = await advisories.current_knowledge(ctx) if is_allowed(ctx.actor, "advisories:read") else None
    trends = [
        (c.name, await publications.get_trend(ctx, c.name, days=DAYS_IN_CHART)) for c in channels if c.publication
    ]
    published = sorted(
        ((name, point) for name, points in trends for point in points), key=lambda found: found[1].at, reverse=True
    )
    served_exploited = await _count_served_exploited(ctx, channels)
    served_malware = await _count_served_malware(ctx, channels)
    return render(
        request,
        ctx,
        "dashboard.html",
        channels=channels,
        concerns=[
            *await _lost_blobs(ctx),
            *_concerns(ctx, channels, filled, knowledge, served_exploited, served_malware),
        ],
        totals={key: sum(getattr(c, key) for c in channels) for key in ("records", "kept", "withheld", "warned")},
        exploited=sum(c.counts.exploited for c in channels if c.counts),
        served_exploited=sum(served_exploited.values()),
        severities=_severity_rows(channels),
        rules=await _rule_rows(ctx, channels),
        rule_links=_rule_links(channels),
        days=_day_rows(ctx, trends),
        riskiest=await _riskiest_served(ctx, channels),
        recent=published[:RECENT],
        knowledge=knowledge,
        is_demo=any(c.demo for c in channels),
    )


async def _count_served_exploited(ctx: Context, channels: list[ChannelSummary]) -> dict[str, int]:
    """By channel: how many records with an exploited vulnerability it serves."""
    having = [channel for channel in channels if channel.counts and channel.counts.exploited]
    return await _count_served(ctx, having, catalog.FindingFilter(kev=True))


async def _count_served_malware(ctx: Context, channels: list[ChannelSummary]) -> dict[str, int]:
    """By channel: how many records that are malware it serves."""
    malware = Severity.malware.name
    having = [channel for channel in channels if channel.counts and channel.counts.vulnerabilities.get(malware)]
    return await _count_served(ctx, having, catalog.FindingFilter(severity=malware))


async def _count_served(ctx: Context, channels: list[ChannelSummary], wanted: catalog.FindingFilter) -> dict[str, int]:
    served = {}
    for channel in channels:
        rows = await catalog.filter_channel_findings(ctx, channel.name, wanted)
        components = {(row.name, row.version): row.records - row.withheld for row in rows}
        served[channel.name] = sum(components.values())
    return served


async def _lost_blobs(ctx: Context) -> list[Concern]:
    """What the blob store has lost, for administrators."""
    if not is_allowed(ctx.actor, "settings:read"):
        return []
    lost = await storage.list_lost(ctx)
    if not lost:
        return []
    beyond = [blob for blob in lost if not blob.plan]
    first = (beyond or lost)[0]
    title = f"{count(len(lost))} stored blob{'s are' if len(lost) != 1 else ' is'} missing or damaged"
    state = (
        f"{count(len(beyond))} cannot be mended: restore from a backup." if beyond else f"Being mended: {first.plan}."
    )
    text = f"{state} First: {first.needed_by} ({first.problem} since {ago(first.found_at, ctx.now)})."
    return [Concern("critical" if beyond else "medium", title, text, "/audit?kind=blob.found_lost", "Look")]


def _concerns(
    ctx: Context,
    channels: list[ChannelSummary],
    filled: dict[str, Mirror],
    knowledge: advisories.Knowledge | None,
    exploited: dict[str, int],
    malware: dict[str, int],
) -> Iterator[Concern]:
    """What needs attention, the most urgent first."""
    for name, served in malware.items():
        if served:
            text = "A rule of the gate vulnerabilities, trigger malware, withholds it."
            href = f"/channels/{name}/findings?severity=malware"
            title = f"{name} serves {count(served)} record{'s' if served != 1 else ''} with malware"
            yield Concern("critical", title, text, href, "Show them")
    for name, mirror in filled.items():
        if mirror.state == "failed":
            last = f"last success {ago(mirror.last_success_at, ctx.now)}"
            href = f"/channels/{name}/mirror"
            yield Concern("critical", f"The mirror {name} fails", f"{mirror.last_error} ({last})", href, "Look")
        if mirror.state == "ok" and mirror.mode == "active" and mirror.last_error:
            href = f"/channels/{name}/mirror"
            yield Concern("medium", f"The mirror {name} lacks artifacts", mirror.last_error, href, "Look")
        if mirror.state == "held":
            text, href = f"{describe_losses(mirror.held)}.", f"/channels/{name}/mirror"
            yield Concern("critical", f"The mirror {name} waits for you", text, href, "Decide")
    for channel in channels:
        if channel.behind and channel.behind.error:
            text = f"{channel.behind.error} (since {ago(channel.behind.since, ctx.now)})"
            title = f"{channel.name} does not serve what was decided"
            yield Concern("critical", title, text, f"/channels/{channel.name}", "Look")
    for feed, _ in knowledge.feeds if knowledge else ():
        if feed.state == "failed":
            yield Concern("critical", f"The feed {feed.kind} fails", feed.last_error, f"/feeds/{feed.id}", "Look")
    for channel in channels:
        if served := exploited.get(channel.name, 0):
            text = "Vulnerabilities in them are being exploited now."
            href = f"/channels/{channel.name}/findings?kev=yes"
            title = f"{channel.name} serves {count(served)} exploited record{'s' if served != 1 else ''}"
            yield Concern("critical", title, text, href, "Show them")
    if knowledge and not knowledge.feeds:
        text = "Without a feed no package can be assessed."
        yield Concern("medium", "No advisory feed", text, "/feeds", "Add a feed")
    yield from _freshness_concerns(ctx, filled, knowledge)
    for channel in channels:
        if channel.publication and not channel.policy:
            text = "It serves everything that its upstream has."
            href = f"/channels/{channel.name}/policy"
            yield Concern("medium", f"No policy on {channel.name}", text, href, "Write one")


def _freshness_concerns(
    ctx: Context, filled: dict[str, Mirror], knowledge: advisories.Knowledge | None
) -> Iterator[Concern]:
    """What is stale or frozen, and does not fail: that is said already."""
    feeds = knowledge.feeds if knowledge else ()
    found = [(f"The feed {feed.kind}", f"/feeds/{feed.id}", feed.state, fresh) for feed, fresh in feeds]
    found += [
        (f"The mirror {name}", f"/channels/{name}/mirror", mirror.state, mirrors.freshness_of(mirror, ctx.now))
        for name, mirror in filled.items()
    ]
    for what, href, state, freshness in found:
        if freshness.stale and state not in ("failed", "held"):
            yield Concern("medium", f"{what} is stale", f"{freshness.stale.capitalize()}.", href, "Look")
        if freshness.frozen:
            yield Concern("medium", f"{what} is frozen", f"{freshness.frozen.capitalize()}.", href, "Look")


def _severity_rows(channels: list[ChannelSummary]) -> list[ChartRow]:
    """Rows of the chart: the worst severity first."""
    total: Counter[str] = Counter()
    for channel in channels:
        total.update(channel.counts.vulnerabilities if channel.counts else {})
    names = [severity.name for severity in sorted(Severity, reverse=True)]
    return [ChartRow(name.capitalize(), name, (total[name],)) for name in names if total[name]]


async def _rule_rows(ctx: Context, channels: list[ChannelSummary]) -> list[ChartRow]:
    """Rows of the chart: the rules with most records, coloured by their action; the rest as one row."""
    total: Counter[str] = Counter()
    warning: set[str] = set()
    for channel in channels:
        total.update(channel.counts.by_rule if channel.counts else {})
        attached = await channel_policies.get_channel_policy(ctx, channel.name)
        if attached:
            rules = policies.read_revision(attached[1]).rules
            warning |= {rule.id for rule in rules if rule.action is Action.warn}
    most = total.most_common()
    rest = sum(number for _, number in most[RULES_IN_CHART:])
    rows = [
        ChartRow(rule, "medium" if rule in warning else "critical", (number,)) for rule, number in most[:RULES_IN_CHART]
    ]
    return [*rows, ChartRow("other rules", "unknown", (rest,))] if rest else rows


def _rule_links(channels: list[ChannelSummary]) -> dict[str, str]:
    """The list of each rule's records; rules of several channels have no single list."""
    places: dict[str, list[str]] = {}
    for channel in channels:
        for rule in channel.counts.by_rule if channel.counts else {}:
            places.setdefault(rule, []).append(f"/channels/{channel.name}/withheld?rule={quote(rule, safe='')}")
    return {rule: found[0] for rule, found in places.items() if len(found) == 1}


def _day_rows(ctx: Context, trends: list[tuple[str, list[TrendPoint]]]) -> list[ChartRow]:
    """Rows of the chart: records served and withheld at the end of each day, all channels together."""
    rows = []
    for back in range(DAYS_IN_CHART - 1, -1, -1):
        day = ctx.now.date() - timedelta(days=back)
        before = ([point for point in points if point.at.date() <= day] for _, points in trends)
        last = [max(points, key=lambda point: point.at) for points in before if points]
        totals = (sum(point.kept for point in last), sum(point.withheld for point in last))
        rows.append(ChartRow(f"{day:%b} {day.day}", "", totals))
    return rows


async def _riskiest_served(ctx: Context, channels: list[ChannelSummary]) -> list[tuple[str, ChannelFinding]]:
    """(channel, finding) of the riskiest findings with served records, one for each vulnerability and package."""
    worst: dict[tuple[str, str], tuple[str, ChannelFinding]] = {}
    for channel in channels[:CHANNELS_SEARCHED]:
        if channel.publication:
            rows = await catalog.filter_channel_findings(ctx, channel.name, catalog.FindingFilter(severity="medium"))
            served = (row for row in rows if row.records > row.withheld and row.status not in ("cleared", "mitigated"))
            for row in islice(served, FINDINGS_LOOKED_AT):
                worst.setdefault((row.ids[0], row.name), (channel.name, row))
    return sorted(worst.values(), key=lambda found: rank_of(found[1]), reverse=True)[:RECENT]


async def search(request: Request, ctx: Context) -> Response:
    """Packages of every channel, and advisories; the id of an advisory leads straight to its page."""
    q = request.query_params.get("q", "").strip()[:200]
    if ADVISORY_ID.fullmatch(q):
        return redirect(f"/advisories/{quote(q, safe='')}")
    packages: list[tuple[str, PackageOverview]] = []
    found: list[AdvisorySummary] = []
    total = 0
    if q:
        summaries = await publications.list_channel_summaries(ctx, page_size=CHANNELS_SEARCHED)
        for channel in summaries.items:
            if channel.publication:
                hits = await catalog.list_packages(ctx, channel.name, q=q, page_size=HITS)
                packages += [(channel.name, package) for package in hits.items]
        if is_allowed(ctx.actor, "advisories:read"):
            advisory_page = await advisories.search_advisories(ctx, q=q, page_size=HITS)
            total = advisory_page.total
            found = [AdvisorySummary.of(row) for row in advisory_page.items]
    packages.sort(key=lambda item: (item[1].name != q.lower(), len(item[1].name), item[1].name, item[0]))
    return render(
        request, ctx, "search.html", q=q, packages=packages[: 3 * HITS], advisories=found, advisories_total=total
    )


routes: list[Route] = [page("/", show_dashboard), page("/search", search)]
