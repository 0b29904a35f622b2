"""Feeds (add, list, sync, remove) and their advisories (search, one advisory, how fresh they are)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from antivenom.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from antivenom.core.feeds.registry import find_source, identify, wrong_kind
from antivenom.core.matching.advisories import Severity
from antivenom.feeds import files as feed_files
from antivenom.server.advisories import queries, storing
from antivenom.server.advisories.advisory_view import AdvisoryView, view_of_exploitation, view_vulnerability
from antivenom.server.advisories.feed_state import FeedCounts, FeedCursor, PendingChanges
from antivenom.server.advisories.fetching import fingerprint
from antivenom.server.advisories.locations import Location, parse_location
from antivenom.server.advisories.models import Feed, SetAsideEntry, Vulnerability
from antivenom.server.advisories.syncing import publish_knowledge
from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page, check_sort
from antivenom.server.events.freshness import FRESH, Freshness, judge_freshness
from antivenom.server.events.jobs import defer
from antivenom.server.events.progress import LEASE, WAITING, JobProgress, has_lapsed
from antivenom.server.events.service import record
from antivenom.server.members.authorization import require

EVERY_MIN_S = 60
EVERY_MAX_S = 366 * 86_400
FILES_LOOKED_AT = 50  # of an archive, before it is accepted as a feed
STALE_AFTER = timedelta(days=3)  # a feed without a schedule


async def add_feed(
    ctx: Context, kind: str, location: str, *, every_s: int | None = None, is_demo: bool = False
) -> Feed:
    """A new feed; its first sync is due at once.

    A path is read by the server, so only its own administrator (the command line on the same machine) may name one.

    Args:
        every_s: Sync again this often; None: only when asked.

    Raises:
        InvalidInputError: An argument is wrong, or the file at a path is not of that kind. Nothing was changed.
        ForbiddenError: A path, from somebody on another machine.
        OutboundRefusedError: A URL that the server may not read.
        ConflictError: There is such a feed already.
    """
    require(ctx, "advisories:write", subject="feed:*")
    source = find_source(kind)
    if every_s is not None and not EVERY_MIN_S <= every_s <= EVERY_MAX_S:
        raise InvalidInputError(f"an interval of {every_s} s is outside one minute to one year", field="every_s")
    where = parse_location(location)
    if where.is_path:
        await _check_path(ctx, source.KIND, where)
    else:
        ctx.resources.outbound.check_address(where.text)
    if known := await _find_feed_at(ctx, kind, where):
        raise ConflictError(
            f"feed {known.id} reads {kind} from {where.text} already",
            hint=f"sync it with: antivenom feed sync {known.id}",
        )
    feed = Feed(
        kind=kind,
        location=where.text,
        location_auth=where.auth,
        every_s=every_s,
        created_at=ctx.now,
        created_by=ctx.actor.name,
        asked_at=ctx.now,
        is_demo=is_demo,
        state="new",
        cursor=FeedCursor(),
        progress=JobProgress(),
        counts=FeedCounts(),
        last_error="",
        failures=0,
    )
    ctx.session.add(feed)
    await ctx.session.flush()
    await record(ctx, "feed.added", subject=f"feed:{feed.id}", feed_kind=kind, location=where.text)
    await defer_sync(ctx, feed)
    return feed


async def _find_feed_at(ctx: Context, kind: str, where: Location) -> Feed | None:
    """The feed that reads the same already, with whatever user and password."""
    known = await queries.list_feeds_at(ctx.session, kind, where.text)
    return next(
        (feed for feed in known if Location(feed.location, feed.location_auth).request.url == where.request.url), None
    )


async def _check_path(ctx: Context, kind: str, where: Location) -> None:
    if ctx.actor.kind not in ("local", "system"):
        raise ForbiddenError(
            "a path is read by the server itself, so only the command line on the server's machine may name one",
            hint="serve the file over http(s) and give its URL, or run the command on the server's machine",
        )
    path = Path(where.text)
    await asyncio.to_thread(fingerprint, path)
    await asyncio.to_thread(check_kind, kind, path)


def check_kind(kind: str, path: Path) -> None:
    """Refuse a file of which no beginning is of the kind, and any of another; a folder is checked when it is read.

    Raises:
        InvalidInputError: Another kind, damaged or unreadable.
    """
    if path.is_dir():
        return
    wrong: InvalidInputError | None = None
    member = None
    with contextlib.closing(feed_files.members(path)) as opened:
        for member in itertools.islice(opened, FILES_LOOKED_AT):
            head = member.head()
            guess = identify(head)
            if guess.kind == kind or not guess.words:
                return
            wrong = wrong or wrong_kind(kind, member.name, head)
    if member is None:
        raise InvalidInputError(f"{path.name} holds no data file", hint="a zip of JSON files, for example")
    if wrong is not None:
        raise wrong


async def list_feeds(
    ctx: Context,
    *,
    kind: str = "",
    state: str = "",
    q: str = "",
    sort: str = "added",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[Feed]:
    """Feeds in the order in which they were added, or by another `sort` of queries.FEED_SORTS.

    Raises:
        InvalidInputError: An unknown sort, or a page that cannot be.
    """
    require(ctx, "advisories:read", subject="feed:*")
    return await queries.page_feeds(ctx.session, kind=kind, state=state, q=q, sort=sort, page=page, page_size=page_size)


async def get_feed(ctx: Context, feed_id: int, *, permission: str = "advisories:read", lock: bool = False) -> Feed:
    """One feed.

    Raises:
        NotFoundError: There is none of that number.
    """
    require(ctx, permission, subject=f"feed:{feed_id}")
    feed = await queries.find_feed(ctx.session, feed_id, lock=lock) if 0 <= feed_id < 2**63 else None
    if feed is None:
        raise NotFoundError(f"there is no feed {feed_id}", hint="list them with: antivenom feed list")
    return feed


async def request_feed_sync(ctx: Context, feed_id: int | None = None, *, kind: str | None = None) -> list[Feed]:
    """Request a sync now: of one feed, of a kind's feeds, or of all. Does nothing for a feed whose sync is queued.

    Raises:
        NotFoundError: There is no such feed.
        ConflictError: It is built in.
    """
    if feed_id is not None:
        feeds = [await _get_own_feed(ctx, feed_id)]
    else:
        require(ctx, "advisories:write", subject="feed:*")
        if kind is not None:
            find_source(kind)
        feeds = (
            await queries.list_feeds_of_kind(ctx.session, kind) if kind else await queries.list_all_feeds(ctx.session)
        )
    for feed in feeds:
        feed.asked_at = ctx.now
        await defer_sync(ctx, feed)
    return feeds


async def _get_own_feed(ctx: Context, feed_id: int) -> Feed:
    """A feed that somebody added, locked; see `get_feed`.

    Raises:
        ConflictError: It is built in.
    """
    feed = await get_feed(ctx, feed_id, permission="advisories:write", lock=True)
    if feed.is_built_in:
        raise ConflictError(
            f"feed {feed_id} comes with the release: it is neither synced nor removed",
            hint="add a feed of kind knowledge: its rows go before the built-in ones, and `remove` switches one off",
        )
    return feed


async def defer_sync(ctx: Context, feed: Feed) -> None:
    """Queue a sync as part of the caller's transaction."""
    feed.next_sync_at = None
    if feed.state != "syncing" or has_lapsed(feed.lease_until, ctx.now):
        feed.state = "queued"
        feed.progress = WAITING
        feed.lease_until = ctx.now + LEASE
    await defer(ctx, "feed.sync", lock=f"feed:{feed.id}", queueing_lock=f"feed:{feed.id}", feed_id=feed.id)


async def remove_feed(ctx: Context, feed_id: int) -> None:
    """Remove a feed and everything that no other feed holds; its findings close.

    Raises:
        NotFoundError: There is none of that number.
        ConflictError: It is built in.
    """
    require(ctx, "advisories:write", subject=f"feed:{feed_id}")
    await storing.lock_knowledge(ctx.session)
    feed = await _get_own_feed(ctx, feed_id)
    table = find_source(feed.kind).TABLE
    feeds = await queries.list_all_feeds(ctx.session)
    others = [other for other in feeds if other.id != feed.id and table == find_source(other.kind).TABLE]
    if others and table in ("exploited", "score"):
        # Facts of several feeds are stored once. Another feed keeps all of them until every other feed was read again.
        await storing.hand_over_exploitation(ctx.session, feed.id, others[0].id)
        for other in others:
            other.cursor = FeedCursor(pending=other.cursor.pending)
            await defer_sync(ctx, other)
    changes = await storing.remove_all(ctx, table, feed.id)
    revision = None
    if changes.is_any:
        pending = PendingChanges().plus(changes.keys, ())
        revision = await publish_knowledge(ctx, f"feed:{feed.id} removed", pending)
    await ctx.session.delete(feed)
    await record(
        ctx, "feed.removed", subject=f"feed:{feed.id}", feed_kind=feed.kind, location=feed.location, revision=revision
    )


async def list_set_aside(
    ctx: Context, feed_id: int, *, q: str = "", sort: str = "entry", page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[SetAsideEntry]:
    """The entries of a feed's last sync that could not be used, with reasons; the first thousand.

    Raises:
        InvalidInputError: An unknown sort, or a page that cannot be.
        NotFoundError: There is no feed of that number.
    """
    feed = await get_feed(ctx, feed_id)
    return await queries.page_set_aside(ctx.session, feed.id, q=q, sort=sort, page=page, page_size=page_size)


async def search_advisories(
    ctx: Context,
    *,
    q: str = "",
    severity: str = "",
    kev: bool | None = None,
    epss_min: float | None = None,
    source: str = "",
    withdrawn: bool | None = None,
    sort: str = "-risk",
    page: int = 1,
    page_size: int = PAGE_SIZE_DEFAULT,
) -> Page[Vulnerability]:
    """Vulnerabilities, each once under all its ids.

    Args:
        q: Words that all have to occur in ids, package names or summary.
        severity: At least this one, by name.
        kev: Only those known to be exploited (True), or only the others (False).
        epss_min: At least this probability, 0-1; malware is above any.
        source: Only what a feed of this kind knows.
        withdrawn: Only withdrawn ones (True), or none of them (False).
        sort: One of risk, severity, cvss, epss, published, modified, id; `-` before it: from the highest.

    Raises:
        InvalidInputError: A filter or the order does not exist.
    """
    require(ctx, "advisories:read", subject="advisory:*")
    if severity and severity not in Severity.__members__:
        raise InvalidInputError(
            f"severity {severity[:40]!r} is not one of {', '.join(Severity.__members__)}", field="severity"
        )
    check_sort(sort, queries.SORTS)
    if epss_min is not None and not (math.isfinite(epss_min) and 0 <= epss_min <= 1):
        raise InvalidInputError("epss_min is a probability, from 0 to 1", field="epss_min")
    if source:
        find_source(source)
    return await queries.page_vulnerabilities(
        ctx.session,
        q=q.replace("\0", "")[:200],
        severity=int(Severity[severity]) if severity and severity != "unknown" else None,
        kev=kev,
        epss_min=epss_min,
        source=source,
        withdrawn=withdrawn,
        sort=sort,
        page=page,
        page_size=page_size,
    )


async def get_advisory(ctx: Context, any_id: str) -> AdvisoryView:
    """Everything known of one vulnerability, under any of its ids: every source, range and reference, merged.

    A CVE that only KEV or EPSS knows is answered too, without affected packages.

    Raises:
        NotFoundError: No source knows the id.
    """
    require(ctx, "advisories:read", subject=f"advisory:{any_id[:200]}")
    any_id = any_id.strip().replace("\0", "")[:300]
    found = await queries.find_vulnerability(ctx.session, any_id)
    ids = list(found.ids) if found else [any_id.upper()]
    exploitation = await queries.list_exploitation(ctx.session, ids)
    if found is not None:
        return view_vulnerability(found, await queries.list_advisories_of(ctx.session, ids), exploitation)
    if exploitation:
        return view_of_exploitation(exploitation[0])
    raise NotFoundError(
        f"no feed knows an advisory {any_id[:100]!r}", hint="search with: antivenom feed list, or the advisories page"
    )


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known at the moment and how fresh it is."""

    vulnerabilities: int  # without withdrawn ones
    newest_sync_at: datetime | None
    feeds: tuple[tuple[Feed, Freshness], ...]


async def current_knowledge(ctx: Context) -> Knowledge:
    """How much is known at the moment, and how fresh every feed is."""
    require(ctx, "advisories:read", subject="advisory:*")
    feeds = await queries.list_all_feeds(ctx.session)
    return Knowledge(
        vulnerabilities=await queries.count_vulnerabilities(ctx.session),
        newest_sync_at=max((f.last_success_at for f in feeds if f.last_success_at), default=None),
        feeds=tuple((feed, freshness_of(feed, ctx.now)) for feed in feeds),
    )


def freshness_of(feed: Feed, now: datetime) -> Freshness:
    """How fresh a feed is; demo feeds and the built-in one always are."""
    return FRESH if feed.is_demo or feed.is_built_in else judge_freshness(feed, now, unscheduled=STALE_AFTER)
