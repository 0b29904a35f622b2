# ruff: noqa: S608 - every name put into a statement is a constant of this file; values are parameters
"""Store a feed's entries: COPY to a staging table, then only the differences, in the caller's transaction.

Entries that are stored already write nothing. What a whole feed (a snapshot) no longer holds is removed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.matching.knowledge import MALWARE
from antivenom.server.advisories import vulnerabilities
from antivenom.server.advisories.copying import copy_in
from antivenom.server.advisories.feed_state import EXAMPLES_MAX, KEYS_MAX
from antivenom.server.context import Context

BULK_ROWS = 2_000  # from here on joins are over sets
STORE_LOCK = 0x616E7470
WORK_MEM = "32MB"  # sorts of 100,000 rows stay in memory

STAGING = {
    "advisory": (
        "id text, aliases text[], package_keys text[], summary text, severity int, cvss float8, "
        "published_at timestamptz, modified_at timestamptz, withdrawn_at timestamptz, disputed bool, flags text[], "
        "digest bytea, body bytea, prose bytea"
    ),
    "score": "cve text, score float8, percentile float8, date text",
    "exploited": "cve text, added text, due text, ransomware bool, name text",
    "name": "channel text, conda_name text, ecosystem text, names text[]",
    "product": "ecosystem text, name text, products text[]",
    "knowledge": "id text, body bytea",
}


@dataclass(frozen=True, slots=True)
class Changes:
    """What one stored part changed. `keys` None: more than `KEYS_MAX`, so everything."""

    entries: int
    added: int = 0
    changed: int = 0
    removed: int = 0
    withdrawn: int = 0
    keys: tuple[str, ...] | None = ()
    removed_examples: tuple[str, ...] = ()

    @property
    def is_any(self) -> bool:
        return bool(self.added or self.changed or self.removed)


async def store_part(
    ctx: Context,
    table: str,
    feed_id: int,
    rows: Path,
    *,
    is_snapshot: bool,
    protected: Iterable[str] = (),
) -> Changes:
    """Bring what is stored of a feed in step with a spooled file.

    Args:
        rows: COPY text of `STAGING[table]`.
        is_snapshot: The file is the whole feed: what is not in it is removed.
        protected: Ids that are not removed, because the feed still has them in a form that could not be read.
    """
    await stage(ctx.session, table, rows)
    await lock_knowledge(ctx.session)
    step = {
        "advisory": _store_advisories,
        "score": _store_scores,
        "exploited": _store_exploited,
        "name": _store_names,
        "product": _store_products,
        "knowledge": _store_knowledge,
    }[table]
    return await step(ctx, feed_id, is_snapshot, list(protected))


async def remove_all(ctx: Context, table: str, feed_id: int) -> Changes:
    """Remove all entries of a feed: store the snapshot of an empty one."""
    with tempfile.NamedTemporaryFile(prefix="antivenom-empty-") as nothing:
        return await store_part(ctx, table, feed_id, Path(nothing.name), is_snapshot=True)


async def lock_knowledge(session: AsyncSession) -> None:
    """Keep others from storing until the transaction ends.

    Two feeds with advisories of one vulnerability would each merge it without what the other is about to commit.
    """
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": STORE_LOCK})


async def hand_over_exploitation(session: AsyncSession, feed: int, heir: int) -> None:
    """Give a feed's KEV or EPSS facts to another of its kind, whose next sync drops what it does not hold itself."""
    for column in ("epss_feed_id", "kev_feed_id"):
        await _run(session, f"UPDATE exploitation SET {column} = :heir WHERE {column} = :feed", feed=feed, heir=heir)


async def stage(session: AsyncSession, table: str, rows: Path) -> None:
    """A temporary table `staging` with the file's rows; it lasts as long as the transaction."""
    await session.execute(text("DROP TABLE IF EXISTS staging, touched"))
    await session.execute(text(f"CREATE TEMP TABLE staging ({STAGING[table]}) ON COMMIT DROP"))
    await copy_in(session, "COPY staging FROM STDIN", rows)
    await session.execute(text(f"ANALYZE staging ({STAGING[table].split()[0]})"))
    is_bulk = await _count(session, "SELECT count(*) FROM (SELECT FROM staging LIMIT :n) s", n=BULK_ROWS) == BULK_ROWS
    # The planner has no statistics of what this very transaction writes and would walk 44,000 rows 44,000 times.
    await session.execute(text(f"SET LOCAL enable_nestloop = {'off' if is_bulk else 'on'}"))
    await session.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
    await session.execute(text(f"SET LOCAL work_mem = '{WORK_MEM}'"))


async def _run(session: AsyncSession, statement: str, **parameters: Any) -> int:
    result: Any = await session.execute(text(statement), parameters)
    return max(0, int(result.rowcount))


async def _count(session: AsyncSession, statement: str, **parameters: Any) -> int:
    return int(await session.scalar(text(statement), parameters) or 0)


# -- advisories -------------------------------------------------------------------------------------


async def _store_advisories(ctx: Context, feed: int, is_snapshot: bool, protected: list[str]) -> Changes:
    """Within one file the entry with the newest `modified` wins, the later one when they are equal."""
    session = ctx.session
    await _run(
        session,
        "DELETE FROM staging a USING staging b WHERE a.id = b.id AND (coalesce(a.modified_at, '-infinity'), a.ctid)"
        " < (coalesce(b.modified_at, '-infinity'), b.ctid)",
    )
    await _run(
        session,
        """CREATE TEMP TABLE touched ON COMMIT DROP AS
        SELECT s.id, s.aliases || coalesce(a.aliases, '{}') AS aliases,
               s.package_keys || coalesce(a.package_keys, '{}') AS package_keys,
               CASE WHEN a.id IS NULL THEN 'added' ELSE 'changed' END AS what,
               s.withdrawn_at IS NOT NULL AND a.withdrawn_at IS NULL AS is_withdrawn
        FROM staging s LEFT JOIN advisory a ON a.feed_id = :feed AND a.id = s.id
        WHERE a.id IS NULL OR a.digest <> s.digest""",
        feed=feed,
    )
    if is_snapshot:
        await _run(
            session,
            """INSERT INTO touched SELECT a.id, a.aliases, a.package_keys, 'removed', false FROM advisory a
            WHERE a.feed_id = :feed AND a.id <> ALL(:protected)
              AND NOT EXISTS (SELECT FROM staging s WHERE s.id = a.id)""",
            feed=feed,
            protected=protected,
        )
    await session.execute(text("ANALYZE touched (id)"))
    keys = "SELECT DISTINCT unnest(package_keys) FROM touched"
    changes = await _sum_up(session, keys=keys, entry="id", has_withdrawn=True)
    if changes.is_any:
        await _write_advisories(session, feed)
        await session.execute(text("ANALYZE advisory (id)"))
        await vulnerabilities.refresh_touched(ctx)
    return changes


async def _write_advisories(session: AsyncSession, feed: int) -> None:
    columns = (
        "aliases, package_keys, summary, severity, cvss, published_at, modified_at, withdrawn_at, disputed, flags,"
        " digest, body, prose"
    )
    updates = ", ".join(f"{c.strip()} = excluded.{c.strip()}" for c in columns.split(","))
    await _run(
        session,
        f"""INSERT INTO advisory (feed_id, id, {columns})
        SELECT :feed, s.id, {columns.replace("aliases, package_keys", "s.aliases, s.package_keys")}
        FROM staging s JOIN touched t ON t.id = s.id AND t.what <> 'removed'
        ON CONFLICT (feed_id, id) DO UPDATE SET {updates}""",
        feed=feed,
    )
    await _run(
        session,
        "DELETE FROM advisory WHERE feed_id = :feed AND id IN (SELECT id FROM touched WHERE what = 'removed')",
        feed=feed,
    )


async def _sum_up(session: AsyncSession, *, keys: str, entry: str, has_withdrawn: bool = False) -> Changes:
    """Counts of the temporary tables `staging` and `touched`, and the package keys that `keys` selects."""
    rows = await session.execute(text("SELECT what, count(*) FROM touched GROUP BY what"))
    counts: dict[str, int] = {str(what): int(count) for what, count in rows}
    examples = await session.scalars(
        text(f"SELECT {entry} FROM touched WHERE what = 'removed' ORDER BY 1 LIMIT {EXAMPLES_MAX}")
    )
    is_listed = sum(counts.values()) <= KEYS_MAX
    found = list(await session.scalars(text(f"{keys} LIMIT {KEYS_MAX + 1}"))) if is_listed else []
    return Changes(
        entries=await _count(session, "SELECT count(*) FROM staging"),
        added=counts.get("added", 0),
        changed=counts.get("changed", 0),
        removed=counts.get("removed", 0),
        withdrawn=await _count(session, "SELECT count(*) FROM touched WHERE is_withdrawn") if has_withdrawn else 0,
        keys=tuple(sorted(found)) if is_listed and len(found) <= KEYS_MAX else None,
        removed_examples=tuple(examples),
    )


# -- exploitation -----------------------------------------------------------------------------------

KEYS_OF_CVES = """SELECT DISTINCT unnest(a.package_keys) FROM touched t
    JOIN vulnerability_id i ON i.vulnerability = t.cve JOIN advisory a ON a.id = i.id"""


async def _store_scores(ctx: Context, feed: int, is_snapshot: bool, protected: list[str]) -> Changes:
    """The newest date wins between feeds, so that the order in which they are synced does not matter."""
    session = ctx.session
    await _run(
        session,
        "DELETE FROM staging a USING staging b WHERE a.cve = b.cve AND (a.date, a.ctid) < (b.date, b.ctid)",
    )
    await _run(
        session,
        """CREATE TEMP TABLE touched ON COMMIT DROP AS
        SELECT s.cve, CASE WHEN e.epss IS NULL THEN 'added' ELSE 'changed' END AS what
        FROM staging s LEFT JOIN exploitation e ON e.cve = s.cve
        WHERE e.epss IS NULL OR e.epss_feed_id IS NULL OR ((s.date >= e.epss_date OR e.epss_feed_id = :feed)
             AND (e.epss, e.epss_percentile, e.epss_date) IS DISTINCT FROM (s.score, s.percentile, s.date))""",
        feed=feed,
    )
    if is_snapshot:
        await _run(
            session,
            """INSERT INTO touched SELECT e.cve, 'removed' FROM exploitation e WHERE e.epss_feed_id = :feed
            AND e.cve <> ALL(:protected) AND NOT EXISTS (SELECT FROM staging s WHERE s.cve = e.cve)""",
            feed=feed,
            protected=protected,
        )
    await session.execute(text("ANALYZE touched"))
    changes = await _sum_up(session, keys=KEYS_OF_CVES, entry="cve")
    if changes.is_any:
        await _run(
            session,
            """INSERT INTO exploitation (cve, epss, epss_percentile, epss_date, epss_feed_id)
            SELECT s.cve, s.score, s.percentile, s.date, :feed FROM staging s JOIN touched t ON t.cve = s.cve
            ORDER BY s.cve
            ON CONFLICT (cve) DO UPDATE SET epss = excluded.epss, epss_percentile = excluded.epss_percentile,
              epss_date = excluded.epss_date, epss_feed_id = excluded.epss_feed_id""",
            feed=feed,
        )
        await _run(
            session,
            """UPDATE exploitation e SET epss = NULL, epss_percentile = NULL, epss_date = NULL, epss_feed_id = NULL
            FROM touched t WHERE t.what = 'removed' AND e.cve = t.cve""",
        )
        await _finish_exploitation(session)
    return changes


async def _store_exploited(ctx: Context, feed: int, is_snapshot: bool, protected: list[str]) -> Changes:
    session = ctx.session
    await _run(session, "DELETE FROM staging a USING staging b WHERE a.cve = b.cve AND a.ctid < b.ctid")
    await _run(
        session,
        """CREATE TEMP TABLE touched ON COMMIT DROP AS
        SELECT s.cve, CASE WHEN e.kev_added IS NULL THEN 'added' ELSE 'changed' END AS what
        FROM staging s LEFT JOIN exploitation e ON e.cve = s.cve
        WHERE e.kev_added IS NULL OR e.kev_feed_id IS NULL
           OR (e.kev_added, e.kev_due, e.kev_ransomware, e.kev_name)
             IS DISTINCT FROM (s.added, s.due, s.ransomware, s.name)""",
    )
    if is_snapshot:
        await _run(
            session,
            """INSERT INTO touched SELECT e.cve, 'removed' FROM exploitation e WHERE e.kev_feed_id = :feed
            AND e.cve <> ALL(:protected) AND NOT EXISTS (SELECT FROM staging s WHERE s.cve = e.cve)""",
            feed=feed,
            protected=protected,
        )
    changes = await _sum_up(session, keys=KEYS_OF_CVES, entry="cve")
    if changes.is_any:
        await _run(
            session,
            """INSERT INTO exploitation (cve, kev_added, kev_due, kev_ransomware, kev_name, kev_feed_id)
            SELECT s.cve, s.added, s.due, s.ransomware, s.name, :feed FROM staging s JOIN touched t ON t.cve = s.cve
            ON CONFLICT (cve) DO UPDATE SET kev_added = excluded.kev_added, kev_due = excluded.kev_due,
              kev_ransomware = excluded.kev_ransomware, kev_name = excluded.kev_name,
              kev_feed_id = excluded.kev_feed_id""",
            feed=feed,
        )
        await _run(
            session,
            """UPDATE exploitation e SET kev_added = NULL, kev_due = NULL, kev_ransomware = false, kev_name = NULL,
              kev_feed_id = NULL FROM touched t WHERE t.what = 'removed' AND e.cve = t.cve""",
        )
        await _finish_exploitation(session)
    return changes


async def _finish_exploitation(session: AsyncSession) -> None:
    await _run(
        session,
        "DELETE FROM exploitation e USING touched t WHERE e.cve = t.cve AND e.epss IS NULL AND e.kev_added IS NULL",
    )
    await vulnerabilities.refresh_exploitation(session)


# -- maps -------------------------------------------------------------------------------------------


async def _store_names(ctx: Context, feed: int, is_snapshot: bool, _protected: list[str]) -> Changes:
    return await _store_map(
        ctx.session, feed, is_snapshot, table="name_mapping", key=("channel", "conda_name", "ecosystem"), value="names",
        keys="SELECT DISTINCT 'conda/' || conda_name FROM touched", entry="conda_name",
    )  # fmt: skip


async def _store_products(ctx: Context, feed: int, is_snapshot: bool, _protected: list[str]) -> Changes:
    return await _store_map(
        ctx.session, feed, is_snapshot, table="product_mapping", key=("ecosystem", "name"), value="products",
        keys="SELECT DISTINCT ecosystem || '/' || name FROM touched", entry="ecosystem || '/' || name",
    )  # fmt: skip


async def _store_knowledge(ctx: Context, feed: int, is_snapshot: bool, _protected: list[str]) -> Changes:
    changes = await _store_map(
        ctx.session, feed, is_snapshot, table="knowledge_row", key=("id",), value="body",
        keys="SELECT 'knowledge/' || id FROM touched", entry="id",
    )  # fmt: skip
    if await _count(ctx.session, f"SELECT count(*) FROM touched WHERE starts_with(id, '{MALWARE}/')"):
        await vulnerabilities.forget_rules(ctx.session)
    return changes


async def _store_map(
    session: AsyncSession,
    feed: int,
    is_snapshot: bool,
    *,
    table: str,
    key: tuple[str, ...],
    value: str,
    keys: str,
    entry: str,
) -> Changes:
    """A map: a key of some columns and one value; parsers make every key once a file."""
    listed, same = ", ".join(key), " AND ".join(f"m.{k} = s.{k}" for k in key)
    staged = ", ".join(f"s.{k}" for k in key)
    await _run(
        session,
        f"DELETE FROM staging m USING staging s WHERE {same} AND m.ctid < s.ctid",
    )
    await _run(
        session,
        f"""CREATE TEMP TABLE touched ON COMMIT DROP AS
        SELECT {staged}, CASE WHEN m.feed_id IS NULL THEN 'added' ELSE 'changed' END AS what
        FROM staging s LEFT JOIN {table} m ON m.feed_id = :feed AND {same}
        WHERE m.feed_id IS NULL OR m.{value} <> s.{value}""",
        feed=feed,
    )
    if is_snapshot:
        await _run(
            session,
            f"""INSERT INTO touched SELECT {", ".join(f"m.{k}" for k in key)}, 'removed' FROM {table} m
            WHERE m.feed_id = :feed AND NOT EXISTS (SELECT FROM staging s WHERE {same})""",
            feed=feed,
        )
    changes = await _sum_up(session, keys=keys, entry=entry)
    if changes.is_any:
        await _run(
            session,
            f"""INSERT INTO {table} (feed_id, {listed}, {value})
            SELECT :feed, {staged}, s.{value} FROM staging s JOIN touched t ON {same.replace("m.", "t.")}
            ON CONFLICT (feed_id, {listed}) DO UPDATE SET {value} = excluded.{value}""",
            feed=feed,
        )
        await _run(
            session,
            f"""DELETE FROM {table} m USING touched s WHERE m.feed_id = :feed AND s.what = 'removed' AND {same}""",
            feed=feed,
        )
    return changes
