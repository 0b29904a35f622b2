"""How one component was assessed, and which feeds were heard about it: for the page, the API and the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from antivenom.core.errors import InvalidInputError, NotFoundError
from antivenom.core.feeds.registry import find_source
from antivenom.core.matching.compile_index import package_key
from antivenom.core.matching.component_request import MatchRequest
from antivenom.core.matching.explain import Considered, Explanation, explain
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import CURATED
from antivenom.server.advisories import queries as advisories
from antivenom.server.advisories.models import Feed
from antivenom.server.context import Context
from antivenom.server.findings.open_index import open_index
from antivenom.server.findings.service import current_knowledge, wait_for_new_feeds
from antivenom.server.members.authorization import require

ADVISORY_TABLE, NAME_TABLE, PRODUCT_TABLE = "advisory", "name", "product"


class FeedHeard(msgspec.Struct, frozen=True):
    """What one feed has to do with a component: whether it is heard, of how many advisories, and why (not)."""

    feed_id: int
    kind: str
    location: str
    is_heard: bool
    advisories: int
    why: str


class ComponentExplained(msgspec.Struct, frozen=True):
    """An explanation, the feeds behind it, and the revision of knowledge that it is made from (0 for none)."""

    explanation: Explanation
    feeds: tuple[FeedHeard, ...]
    revision: int


async def explain_component(ctx: Context, request: MatchRequest, *, advisory: str = "") -> ComponentExplained:
    """The whole way from one component to its findings, as matching goes it now.

    Args:
        advisory: Only the vulnerability of this id; its other ids will do.

    Raises:
        InvalidInputError: It is no component.
        NotFoundError: No source names the advisory for this component; the message says whether any knows it.
    """
    require(ctx, "advisories:read", subject="match")
    if request.key is None:
        raise InvalidInputError(request.error, hint="write conda:openssl=3.0.7 or a purl", field="component")
    await wait_for_new_feeds(ctx.resources)
    knowledge = await current_knowledge(ctx)
    if knowledge.index_key is None:
        raise NotFoundError(
            "no advisory feed has been compiled yet, so nothing can be explained",
            hint="add a feed with: antivenom feed add",
        )
    async with open_index(ctx.resources.blobs, knowledge.index_key) as index:
        found = await asyncio.to_thread(explain, index, request.key, request.channel)
        maps = index.maps
    feeds = await _feeds_heard(ctx, found, maps)
    if advisory:
        found = msgspec.structs.replace(found, considered=(await _find(ctx, found, advisory),))
    return ComponentExplained(found, feeds, knowledge.revision)


async def _find(ctx: Context, found: Explanation, advisory: str) -> Considered:
    wanted = advisory.strip().upper()
    for item in found.considered:
        if any(i.upper() == wanted for i in item.ids):
            return item
    advisory = advisory.strip()[:300]
    known = await advisories.find_vulnerability(ctx.session, advisory)
    listed = await advisories.list_advisories_of(ctx.session, list(known.ids) if known else [advisory.upper()])
    if not listed:
        raise NotFoundError(
            f"no feed that is read knows an advisory {advisory[:100]!r}",
            hint="a feed that has it would have to be added: antivenom feed add",
        )
    packages = sorted({package_key(affected) for row in listed for affected in row.advisory.affected})
    names = f"it names {', '.join(packages[:5])}" if packages else "it names no package"
    more = f" and {len(packages) - 5} more" if len(packages) > 5 else ""
    tried = ", ".join(f"{n.ecosystem}/{n.name}" for n in found.names[:5]) or "no name"
    raise NotFoundError(
        f"{listed[0].advisory.id} is not about {found.component}: {names}{more}, and {found.component} was looked up"
        f" as {tried}",
        hint=f"if it is affected: antivenom correction preview missing conda:{found.component}={found.version}"
        f" {advisory} --affected RANGES --reason WHY",
    )


async def _feeds_heard(ctx: Context, found: Explanation, maps: NameMaps) -> tuple[FeedHeard, ...]:
    named: dict[str, set[str]] = {}
    for item in found.considered:
        for comparison in item.comparisons:
            named.setdefault(comparison.source, set()).add(comparison.advisory)
    counts = await advisories.count_named_by_feed(ctx.session, named)
    rows = []
    if curated := len(named.get(CURATED, ())):
        why = f"{curated:,} rows of its releases are about it"
        rows.append(FeedHeard(0, "knowledge", "built in, and feeds of knowledge", True, curated, why))
    for feed in await advisories.list_all_feeds(ctx.session):
        table = find_source(feed.kind).TABLE
        if table == ADVISORY_TABLE:
            rows.append(_advisories_heard(feed, counts.get(feed.id, 0), found))
        elif table in (NAME_TABLE, PRODUCT_TABLE):
            rows.append(_map_heard(feed, table, found, maps))
    return tuple(sorted(rows, key=lambda row: (not row.is_heard, row.feed_id)))


def _advisories_heard(feed: Feed, count: int, found: Explanation) -> FeedHeard:
    if count:
        why = f"{count:,} of its advisories {'names' if count == 1 else 'name'} it"
    elif feed.last_success_at is None:
        why = f"not read yet: {feed.last_error}" if feed.last_error else "not read yet"
    elif found.depends_on:
        why = f"not asked: what is known is listed at {found.depends_on}"
    else:
        why = f"none of its {feed.counts.entries or 0:,} advisories names it"
    return FeedHeard(feed.id, feed.kind, feed.location, bool(count), count, why)


def _map_heard(feed: Feed, table: str, found: Explanation, maps: NameMaps) -> FeedHeard:
    if feed.last_success_at is None:
        return FeedHeard(feed.id, feed.kind, feed.location, False, 0, "not read yet")
    if table == PRODUCT_TABLE:
        told = [n.via for n in found.names if n.via.startswith("CPE map")]
        why = "; ".join(told[:3]) or "no line of it is about a name that was tried"
        return FeedHeard(feed.id, feed.kind, feed.location, bool(told), 0, why)
    rows = maps.conda.get(found.component.lower(), {})
    why = "; ".join(_map_lines(rows)[:3]) or f"no map has a line for {found.component}"
    return FeedHeard(feed.id, feed.kind, feed.location, bool(rows), 0, why)


def _map_lines(rows: Mapping[str, Mapping[str, Sequence[str]]]) -> list[str]:
    titles = {"pypi": "PyPI"}
    return [
        f"{channel or 'any channel'}: {titles.get(ecosystem, ecosystem)} {', '.join(names[:5])}"
        if names
        else f"{channel or 'any channel'}: not on {titles.get(ecosystem, ecosystem)}"
        for channel, by_ecosystem in rows.items()
        for ecosystem, names in by_ecosystem.items()
    ]
