# ruff: noqa: S608, E501 - statements are made of constants alone; SQL stands as it reads
"""Keep `vulnerability` and `vulnerability_id` in step: one row for all advisories that are aliases of each other.

Groups are closed under aliases, so what a change can touch is known at once: the groups that hold one of the changed ids or
of their aliases. Only those are formed anew. Callers leave a temporary table `touched`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.matching.advisories import Severity
from antivenom.core.matching.risk import KEV_FACTOR, RANSOMWARE_FACTOR, SEVERITY_POINTS
from antivenom.server.advisories.copy_rows import copy_line

PACKAGES_SHOWN = 50
SEARCH_MAX_CHARACTERS = 4_000

_POINTS = (
    "CASE severity "
    + " ".join(f"WHEN {int(s)} THEN {SEVERITY_POINTS[s]}" for s in Severity)
    + f" ELSE {SEVERITY_POINTS[Severity.unknown]} END"
)
# core.risk.risk_score over the vulnerability's own score, as SQL, so that a day's EPSS moves every row at once.
RISK = f"""round((least(1, (CASE WHEN kev THEN 1 ELSE coalesce(epss, 0) END)
    * (CASE WHEN cvss IS NULL THEN {_POINTS} ELSE ({_POINTS} + cvss) / 2 END) / 10
    * (CASE WHEN kev AND kev_ransomware THEN {RANSOMWARE_FACTOR} WHEN kev THEN {KEV_FACTOR} ELSE 1 END)) * 100)::numeric, 2)
    ::float8"""


def is_primary_before(one: str, other: str) -> bool:
    """CVE ids before all others, then by text: the order of a finding's ids."""
    return (not one.startswith("CVE-"), one) < (not other.startswith("CVE-"), other)


def group_aliases(edges: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Every id that has an alias, with the primary id of its group.

    Alias is symmetric and transitive; the primary id is the group's smallest CVE id, else its smallest id.
    """
    parent: dict[str, str] = {}

    def find(x: str) -> str:
        root = x
        while parent.setdefault(root, root) != root:
            root = parent[root]
        while parent[x] != root:
            parent[x], x = root, parent[x]
        return root

    for one, others in edges:
        for other in others:
            a, b = find(one), find(other)
            if a != b:
                first, second = (a, b) if is_primary_before(a, b) else (b, a)
                parent[second] = first
    return {x: find(x) for x in list(parent)}


async def refresh_touched(session: AsyncSession) -> None:
    """Form anew the groups of the ids and aliases in `touched` (columns id, aliases)."""
    await session.execute(text("DROP TABLE IF EXISTS scope, grouped, fresh"))
    await session.execute(
        text(
            """CREATE TEMP TABLE scope ON COMMIT DROP AS
            WITH named AS (SELECT id FROM touched UNION SELECT unnest(aliases) FROM touched)
            SELECT id FROM named
            UNION SELECT i.id FROM vulnerability_id i
            WHERE i.vulnerability IN (SELECT vulnerability FROM vulnerability_id JOIN named USING (id))"""
        )
    )
    await session.execute(text("ANALYZE scope"))
    edges = await session.execute(
        text("SELECT a.id, a.aliases FROM advisory a JOIN scope USING (id) WHERE cardinality(a.aliases) > 0")
    )
    await _copy_groups(session, group_aliases((row.id, row.aliases) for row in edges))
    await session.execute(text("DELETE FROM vulnerability_id i USING scope s WHERE i.id = s.id"))
    await session.execute(
        text(
            """INSERT INTO vulnerability_id (id, vulnerability) SELECT id, vulnerability FROM grouped
            UNION SELECT a.id, a.id FROM advisory a JOIN scope USING (id)
            WHERE NOT EXISTS (SELECT FROM grouped g WHERE g.id = a.id)
            ON CONFLICT (id) DO UPDATE SET vulnerability = excluded.vulnerability"""
        )
    )
    await session.execute(
        text(
            """CREATE TEMP TABLE fresh ON COMMIT DROP AS
            SELECT DISTINCT i.vulnerability AS id FROM vulnerability_id i JOIN scope USING (id)"""
        )
    )
    await session.execute(text("ANALYZE fresh"))
    await session.execute(
        text(
            """DELETE FROM vulnerability v USING scope s
            WHERE v.id = s.id AND NOT EXISTS (SELECT FROM fresh f WHERE f.id = v.id)"""
        )
    )
    await _merge_fresh(session)


async def _copy_groups(session: AsyncSession, groups: dict[str, str]) -> None:
    await session.execute(text("CREATE TEMP TABLE grouped (id text, vulnerability text) ON COMMIT DROP"))
    raw = await (await session.connection()).get_raw_connection()
    connection: AsyncConnection[Any] = raw.driver_connection  # type: ignore[assignment]
    async with connection.cursor() as cursor, cursor.copy("COPY grouped FROM STDIN") as copy:
        for item in groups.items():
            await copy.write(copy_line(item))
    await session.execute(text("ANALYZE grouped"))


async def _merge_fresh(session: AsyncSession) -> None:
    """Merge the advisories of every group in `fresh` into its one row.

    What is not withdrawn decides: severity and score are the worst that any source gives, the summary is the best source's.
    """
    await session.execute(
        text(
            f"""WITH member AS (
              SELECT f.id AS v, a.id, a.package_keys, a.summary, a.severity, a.cvss, a.published_at, a.modified_at,
                a.withdrawn_at, a.disputed, feed.kind FROM fresh f JOIN vulnerability_id i ON i.vulnerability = f.id
              JOIN advisory a ON a.id = i.id JOIN feed ON feed.id = a.feed_id),
            fact AS (
              SELECT v, array_agg(DISTINCT kind) AS sources, bool_and(withdrawn_at IS NOT NULL) AS is_withdrawn,
                bool_or(disputed) AS is_disputed,
                coalesce(max(severity) FILTER (WHERE withdrawn_at IS NULL), max(severity)) AS severity,
                coalesce(max(cvss) FILTER (WHERE withdrawn_at IS NULL), max(cvss)) AS cvss,
                min(package_keys) AS packages, min(package_keys) <> max(package_keys) AS do_packages_differ,
                min(published_at) FILTER (WHERE published_at > '1971-01-01') AS published_at, max(modified_at) AS modified_at,
                coalesce((array_agg(summary ORDER BY withdrawn_at IS NOT NULL, array_position(ARRAY['osv', 'cve5', 'nvd'], kind),
                  id) FILTER (WHERE summary <> ''))[1], '') AS summary
              FROM member GROUP BY v),
            package AS (
              SELECT v, array_agg(DISTINCT key) AS packages
              FROM member JOIN fact USING (v), unnest(package_keys) key WHERE do_packages_differ GROUP BY v),
            name AS (
              SELECT f.id AS v, array_agg(i.id ORDER BY i.id NOT LIKE 'CVE-%', i.id COLLATE "C") AS ids, max(e.epss) AS epss,
                coalesce(bool_or(e.kev_added IS NOT NULL), false) AS kev,
                coalesce(bool_or(e.kev_ransomware), false) AS kev_ransomware
              FROM fresh f JOIN vulnerability_id i ON i.vulnerability = f.id LEFT JOIN exploitation e ON e.cve = i.id
              GROUP BY f.id),
            merged AS (
              SELECT v AS id, ids, sources,
                (coalesce(package.packages, fact.packages))[1 : {PACKAGES_SHOWN}] AS packages, summary, severity, cvss, epss, kev,
                kev_ransomware, published_at, modified_at, is_withdrawn, is_disputed
              FROM fact JOIN name USING (v) LEFT JOIN package USING (v))
            INSERT INTO vulnerability (id, ids, sources, packages, summary, severity, cvss, epss, kev, kev_ransomware,
              published_at, modified_at, is_withdrawn, is_disputed, risk, search)
            SELECT id, ids, sources, packages, summary, severity, cvss, epss, kev, kev_ransomware, published_at, modified_at,
              is_withdrawn, is_disputed, {RISK},
              left(lower(array_to_string(ids, ' ') || ' ' || array_to_string(packages, ' ') || ' ' || summary),
                {SEARCH_MAX_CHARACTERS})
            FROM merged
            ON CONFLICT (id) DO UPDATE SET ids = excluded.ids, sources = excluded.sources, packages = excluded.packages,
              summary = excluded.summary, severity = excluded.severity, cvss = excluded.cvss, epss = excluded.epss,
              kev = excluded.kev, kev_ransomware = excluded.kev_ransomware, published_at = excluded.published_at,
              modified_at = excluded.modified_at, is_withdrawn = excluded.is_withdrawn, is_disputed = excluded.is_disputed,
              risk = excluded.risk, search = excluded.search
            WHERE (vulnerability.ids, vulnerability.packages, vulnerability.summary, vulnerability.sources, vulnerability.severity, vulnerability.cvss, vulnerability.epss,
                vulnerability.kev, vulnerability.kev_ransomware, vulnerability.published_at, vulnerability.modified_at,
                vulnerability.is_withdrawn, vulnerability.is_disputed)
              IS DISTINCT FROM (excluded.ids, excluded.packages, excluded.summary, excluded.sources, excluded.severity, excluded.cvss, excluded.epss, excluded.kev,
                excluded.kev_ransomware, excluded.published_at, excluded.modified_at, excluded.is_withdrawn,
                excluded.is_disputed)"""
        )
    )


async def refresh_exploitation(session: AsyncSession) -> None:
    """Bring KEV, EPSS and risk of the vulnerabilities of the CVE ids in `touched` (column cve) up to date."""
    await session.execute(
        text(
            f"""WITH news AS (
              SELECT i.vulnerability AS id, max(e.epss) AS epss, coalesce(bool_or(e.kev_added IS NOT NULL), false) AS kev,
                coalesce(bool_or(e.kev_ransomware), false) AS kev_ransomware
              FROM vulnerability_id i LEFT JOIN exploitation e ON e.cve = i.id
              WHERE i.vulnerability IN (SELECT j.vulnerability FROM touched t JOIN vulnerability_id j ON j.id = t.cve)
              GROUP BY i.vulnerability),
            scored AS (
              SELECT id, epss, kev, kev_ransomware, {RISK} AS risk
              FROM news JOIN (SELECT id, severity, cvss FROM vulnerability) v USING (id))
            UPDATE vulnerability v SET epss = s.epss, kev = s.kev, kev_ransomware = s.kev_ransomware, risk = s.risk
            FROM scored s WHERE s.id = v.id
              AND (v.epss, v.kev, v.kev_ransomware) IS DISTINCT FROM (s.epss, s.kev, s.kev_ransomware)"""
        )
    )
