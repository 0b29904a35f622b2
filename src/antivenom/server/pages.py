"""Pages that belong to no room: the dashboard and the search over everything."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.advisories import Severity
from antivenom.server.advisories import service as advisories
from antivenom.server.advisories.schemas import AdvisorySummary
from antivenom.server.context import Context
from antivenom.server.mirrors import service as mirrors
from antivenom.server.mirrors.models import Mirror
from antivenom.server.publications import service as publications
from antivenom.server.publications.schemas import ChannelSummary
from antivenom.server.rendering import ago, count, page, redirect, render

CHANNELS_COUNTED = 200
CHANNELS_SEARCHED = 20
DAYS_IN_CHART = 30
RULES_IN_CHART = 8
RECENT = 8
HITS = 8
ADVISORY_ID = re.compile(r"(CVE-\d{4}-\d{4,}|GHSA(-[23456789cfghjmpqrvwx]{4}){3}|PYSEC-\d{4}-\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that needs a person, with the page that helps."""

    tone: str  # critical | medium | low
    title: str
    text: str
    href: str
    link: str


async def show_dashboard(request: Request, ctx: Context) -> Response:
    channels = list((await publications.list_channel_summaries(ctx, page_size=CHANNELS_COUNTED)).items)
    filled = dict(await mirrors.list_mirrors(ctx))
    knowledge = await advisories.current_knowledge(ctx)
    trends = [
        (c.name, await publications.get_trend(ctx, c.name, days=DAYS_IN_CHART)) for c in channels if c.publication
    ]
    published = sorted(
        ({**row, "channel": name} for name, rows in trends for row in rows), key=lambda row: row["at"], reverse=True
    )
    return render(
        request,
        ctx,
        "dashboard.html",
        channels=channels,
        concerns=list(_concerns(ctx, channels, filled, knowledge, await _count_served_exploited(ctx, channels))),
        totals={key: sum(getattr(c, key) for c in channels) for key in ("records", "kept", "withheld", "warned")},
        exploited=sum(c.counts.get("exploited", 0) for c in channels),
        severities=_severity_rows(channels),
        rules=_rule_rows(channels),
        days=_day_rows(ctx, published),
        recent=published[:RECENT],
        knowledge=knowledge,
        is_demo=any(c.demo for c in channels),
    )


async def _count_served_exploited(ctx: Context, channels: list[ChannelSummary]) -> dict[str, int]:
    """By channel: how many records it serves although a vulnerability of theirs is being exploited."""
    served = {}
    for channel in channels:
        if channel.counts.get("exploited"):
            rows = await publications.filter_channel_findings(ctx, channel.name, kev=True)
            components = {(row["name"], row["version"]): row["records"] - row["withheld"] for row in rows}
            served[channel.name] = sum(components.values())
    return served


def _concerns(
    ctx: Context,
    channels: list[ChannelSummary],
    filled: dict[str, Mirror],
    knowledge: advisories.Knowledge,
    exploited: dict[str, int],
) -> Iterator[Concern]:
    """What needs attention, the most urgent first."""
    for name, mirror in filled.items():
        if mirror.state == "failed":
            last = f"last success {ago(mirror.last_success_at, ctx.now)}"
            href = f"/channels/{name}/mirror"
            yield Concern("critical", f"The mirror {name} fails", f"{mirror.last_error} ({last})", href, "Look")
    for freshness in knowledge.feeds:
        feed = freshness.feed
        if feed.state == "failed":
            yield Concern("critical", f"The feed {feed.kind} fails", feed.last_error, f"/feeds/{feed.id}", "Look")
    for channel in channels:
        if served := exploited.get(channel.name, 0):
            text = "Vulnerabilities in them are being exploited now."
            href = f"/channels/{channel.name}/findings?kev=yes"
            title = f"{channel.name} serves {count(served)} exploited record{'s' if served != 1 else ''}"
            yield Concern("critical", title, text, href, "Show them")
    if not knowledge.feeds:
        text = "Without a feed no package can be assessed."
        yield Concern("medium", "No advisory feed", text, "/feeds", "Add a feed")
    stale = [f.feed.kind for f in knowledge.feeds if f.is_stale and f.feed.state == "ok"]
    if stale:
        text = f"{', '.join(sorted(set(stale)))}: newest sync {ago(knowledge.newest_sync_at, ctx.now)}."
        yield Concern("medium", "Knowledge is stale", text, "/feeds", "Sync")
    for channel in channels:
        if channel.publication and not channel.policy:
            text = "Everything that its upstream has is served."
            href = f"/channels/{channel.name}/policy"
            yield Concern("medium", f"No policy on {channel.name}", text, href, "Write one")


def _severity_rows(channels: list[ChannelSummary]) -> list[tuple[str, str, tuple[int]]]:
    """Rows of the chart: the worst severity first."""
    total: Counter[str] = Counter()
    for channel in channels:
        total.update(channel.counts.get("vulnerabilities", {}))
    names = [severity.name for severity in sorted(Severity, reverse=True)]
    return [(name.capitalize(), name, (total[name],)) for name in names if total[name]]


def _rule_rows(channels: list[ChannelSummary]) -> list[tuple[str, str, tuple[int]]]:
    """Rows of the chart: the rules that stop or warn of most records, and the rest as one."""
    total: Counter[str] = Counter()
    for channel in channels:
        total.update(channel.counts.get("by_rule", {}))
    most = total.most_common()
    rest = sum(number for _, number in most[RULES_IN_CHART:])
    rows = [(rule, "", (number,)) for rule, number in most[:RULES_IN_CHART]]
    return [*rows, ("other rules", "unknown", (rest,))] if rest else rows


def _day_rows(ctx: Context, published: list[dict[str, Any]]) -> list[tuple[str, str, tuple[int]]]:
    """Rows of the chart: publications a day, days without one too."""
    by_day = Counter(row["at"].date() for row in published)
    days = [ctx.now.date() - timedelta(days=back) for back in range(DAYS_IN_CHART - 1, -1, -1)]
    return [(f"{day:%b} {day.day}", "", (by_day[day],)) for day in days]


async def search(request: Request, ctx: Context) -> Response:
    """Packages of every channel and advisories; an advisory's own id leads straight to it."""
    q = request.query_params.get("q", "").strip()[:200]
    if ADVISORY_ID.fullmatch(q):
        return redirect(f"/advisories/{quote(q, safe='')}")
    packages: list[tuple[str, Any]] = []
    found: list[AdvisorySummary] = []
    total = 0
    if q:
        summaries = await publications.list_channel_summaries(ctx, page_size=CHANNELS_SEARCHED)
        for channel in summaries.items:
            if channel.publication:
                hits = await publications.list_packages(ctx, channel.name, q=q, page_size=HITS)
                packages += [(channel.name, package) for package in hits.items]
        advisory_page = await advisories.search_advisories(ctx, q=q, page_size=HITS)
        total = advisory_page.total
        found = [AdvisorySummary.of(row) for row in advisory_page.items]
    packages.sort(key=lambda item: (item[1].name != q.lower(), len(item[1].name), item[1].name, item[0]))
    return render(
        request, ctx, "search.html", q=q, packages=packages[: 3 * HITS], advisories=found, advisories_total=total
    )


routes: list[Route] = [page("/", show_dashboard), page("/search", search)]
