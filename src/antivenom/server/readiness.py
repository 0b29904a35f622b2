"""Whether this process can do its work, and preparing the database for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from itertools import product

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from antivenom.core.errors import StorageError, UnavailableError
from antivenom.server.advisories.queries import list_all_feeds
from antivenom.server.advisories.service import freshness_of as feed_freshness
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.members.service import create_first_admin
from antivenom.server.migrations import HEAD, migrate
from antivenom.server.mirrors.queries import list_states
from antivenom.server.mirrors.service import freshness_of as mirror_freshness
from antivenom.server.publications.queries import count_behind
from antivenom.server.storage.queries import count_lost

log = logging.getLogger("antivenom.start")
DATABASE_PATIENCE_S = 60.0
BLOBS_PATIENCE_S = 5.0
QUIET_WAIT_S = 5.0  # after so long without a database, the log names what is waited for

BEHIND_FOR = timedelta(minutes=1)
CONDITIONS = ("failing", "held", "stale", "frozen")


async def check_readiness(resources: Resources) -> list[str]:
    """What is missing, in words; empty when everything is there."""
    problems = []
    try:
        async with asyncio.timeout(5), resources.context(SYSTEM) as ctx:
            revision = await ctx.session.scalar(text("SELECT version_num FROM alembic_version"))
            if revision != HEAD:
                problems.append("the database has another schema than this version")
    except (SQLAlchemyError, PoolTimeoutError, TimeoutError, OSError):
        problems.append("the database does not answer")
    try:
        await asyncio.wait_for(asyncio.to_thread(resources.blobs.check_sync), BLOBS_PATIENCE_S)
    except (StorageError, TimeoutError, OSError):
        problems.append("the blob store does not answer")  # its address is nobody's business who may not sign in
    return problems


async def list_behind(resources: Resources) -> list[str]:
    """What was accepted and is not served yet, in words without names: anybody may ask. It is no reason to send nobody.

    A change that was made in the last minute is not mentioned.
    """
    try:
        async with asyncio.timeout(5), resources.context(SYSTEM) as ctx:
            count, since = await count_behind(ctx.session)
            if since is None or ctx.now - since < BEHIND_FOR:
                return []
    except (SQLAlchemyError, PoolTimeoutError, TimeoutError, OSError):
        return []
    verb = "channel does" if count == 1 else "channels do"
    return [f"{count} {verb} not serve what was decided since {since:%Y-%m-%d %H:%M} UTC: antivenom channel list"]


async def count_sources(resources: Resources) -> dict[tuple[str, str], int]:
    """How many feeds and mirrors fail, are held, stale or frozen, by ("feed", "stale") and the like.

    Raises:
        SQLAlchemyError: The database does not answer.
    """
    async with resources.context(SYSTEM) as ctx:
        feeds = [("feed", feed.state, feed_freshness(feed, ctx.now)) for feed in await list_all_feeds(ctx.session)]
        found = await list_states(ctx.session)
        filled = [("mirror", mirror.state, mirror_freshness(mirror, ctx.now)) for mirror in found]
    counts = dict.fromkeys(product(("feed", "mirror"), CONDITIONS), 0)
    for what, state, freshness in [*feeds, *filled]:
        for condition, is_so in zip(
            CONDITIONS, (state == "failed", state == "held", freshness.stale, freshness.frozen), strict=True
        ):
            counts[what, condition] += bool(is_so)
    return counts


async def list_late(resources: Resources) -> list[str]:
    """Feeds and mirrors that are not as they should be, in words without names. It is no reason to send nobody."""
    try:
        async with asyncio.timeout(5):
            return describe_sources(await count_sources(resources))
    except (SQLAlchemyError, PoolTimeoutError, TimeoutError, OSError):
        return []


def describe_sources(counts: Mapping[tuple[str, str], int]) -> list[str]:
    """The counts that are not 0, in words without names: anybody may ask."""
    return [
        f"{count} {what}{'' if count == 1 else 's'} {condition}: antivenom {what} list"
        for (what, condition), count in counts.items()
        if count
    ]


async def list_lost(resources: Resources) -> list[str]:
    """Stored blobs that are missing or damaged, in words without names. It is no reason to send nobody."""
    try:
        async with asyncio.timeout(5), resources.context(SYSTEM) as ctx:
            count = await count_lost(ctx.session)
    except (SQLAlchemyError, PoolTimeoutError, TimeoutError, OSError):
        return []
    return [f"stored blobs that are missing or damaged: {count}; see antivenom admin verify"] if count else []


async def prepare(resources: Resources) -> None:
    """Wait for the database, bring it to the newest schema, and make the first member if there is none.

    Web and worker processes do this at the same time; an advisory lock lets one go first.

    Raises:
        UnavailableError: The database does not answer for a minute.
    """
    folder = resources.blobs.local_path("index")
    if folder is not None:
        folder.parent.mkdir(parents=True, exist_ok=True)
    await wait_for_database(resources)
    await asyncio.to_thread(migrate, resources.settings.database_url)
    if password := resources.settings.admin_password:
        async with resources.context(SYSTEM) as ctx:
            await ctx.session.execute(text("SELECT pg_advisory_xact_lock(hashtext('first admin'))"))
            if await create_first_admin(ctx, password):
                log.info("made the member admin")


async def wait_for_database(resources: Resources, patience_s: float = DATABASE_PATIENCE_S) -> None:
    """Return once a connection is accepted.

    Raises:
        UnavailableError: None was for so long, or the database refuses for good.
    """
    url = resources.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    started = time.monotonic()
    has_warned = False
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(url, connect_timeout=5):
                return
        except psycopg.OperationalError as error:
            reason = str(error).strip().splitlines()[-1][:300]
            waited_s = time.monotonic() - started
            if waited_s > patience_s or "authentication failed" in reason or "does not exist" in reason:
                raise UnavailableError(
                    f"the database does not answer: {reason}",
                    hint="check ANTIVENOM_DATABASE_URL, and that PostgreSQL runs",
                ) from None
            if waited_s > QUIET_WAIT_S and not has_warned:  # an embedded database answers by then
                has_warned = True
                log.warning("waiting for the database, %d s at most: %s", patience_s, reason)
        await asyncio.sleep(0.5 if has_warned else 0.02)
