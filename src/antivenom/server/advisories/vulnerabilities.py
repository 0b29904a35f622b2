# ruff: noqa: S608 - statements are made of constants alone
"""Keep `vulnerability` and `vulnerability_id` in step with the advisories: a row for each vulnerability, and its ids.

The core decides which advisories are one vulnerability (core/matching/grouping.py) and merges them
(core/matching/merging.py). A change can touch the clusters of the changed ids and of their aliases; only those are
formed again. KEV and EPSS are joined here: they are of CVE ids, and a vulnerability has one at
most, its primary id.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.matching.advisories import Severity
from antivenom.core.matching.risk import EPSS_UNITS, KEV_FACTOR, RANSOMWARE_FACTOR, expect_threats
from antivenom.server.adapters.scratch import scratch_folder
from antivenom.server.advisories.copying import copy_in, copy_out
from antivenom.server.advisories.export import export_knowledge
from antivenom.server.advisories.vulnerability_rows import (
    ADVISORIES,
    GROUPED,
    GROUPED_COLUMNS,
    MERGED,
    MERGED_COLUMNS,
    write_vulnerability_rows,
)
from antivenom.server.context import Context

IN_THIS_PROCESS_MAX = 500  # so few advisories do not wait for a child process that may be busy

# core.matching.risk (threat_of, risk_score), operation by operation, so that a day's EPSS moves every row in one
# statement. `:expected` is what `expect_threats` gives, by severity from 0.
RISK = f"""floor(least(1, (CASE WHEN kev OR severity = {int(Severity.malware)} THEN 1
      ELSE coalesce(epss, (CAST(:expected AS float8[]))[severity + 1]) END) * impact / 10
    * (CASE WHEN kev AND kev_ransomware THEN {RANSOMWARE_FACTOR} WHEN kev THEN {KEV_FACTOR} ELSE 1 END)::float8)
    * 10000 + 0.5) / 100"""

_MERGED = [column.split()[0] for column in MERGED_COLUMNS.split(", ")]
_WRITTEN = [*_MERGED, "epss", "kev", "kev_ransomware"]
_UPSERT = f"""
    INSERT INTO vulnerability ({", ".join(_WRITTEN)}, risk)
    SELECT {", ".join(_WRITTEN)}, {RISK}
    FROM (SELECT m.*, e.epss, e.kev_added IS NOT NULL AS kev, coalesce(e.kev_ransomware, false) AS kev_ransomware
          FROM merged m LEFT JOIN exploitation e ON e.cve = m.id) known
    ON CONFLICT (id) DO UPDATE SET risk = excluded.risk, {", ".join(f"{c} = excluded.{c}" for c in _WRITTEN)}
    WHERE ({", ".join(f"vulnerability.{c}" for c in _WRITTEN)})
      IS DISTINCT FROM ({", ".join(f"excluded.{c}" for c in _WRITTEN)})"""


async def refresh_touched(ctx: Context) -> None:
    """Form again the vulnerabilities of the ids and aliases in the temporary table `touched` (columns id, aliases)."""
    session = ctx.session
    await session.execute(text("DROP TABLE IF EXISTS scope, grouped, merged"))
    await session.execute(
        text(
            """CREATE TEMP TABLE scope ON COMMIT DROP AS
            WITH named AS (SELECT id FROM touched UNION SELECT unnest(aliases) FROM touched)
            SELECT id FROM named
            UNION SELECT id FROM vulnerability_id
            WHERE cluster IN (SELECT cluster FROM vulnerability_id JOIN named USING (id))"""
        )
    )
    await session.execute(text("ANALYZE scope"))
    with scratch_folder(ctx.resources.settings.scratch, "vulnerabilities") as folder:
        await _form(ctx, folder)
    expected = await expected_threats(session)  # what all risks rest on as they stand
    await session.execute(text("DELETE FROM vulnerability_id i USING scope s WHERE i.id = s.id"))
    await session.execute(text("INSERT INTO vulnerability_id (id, vulnerability, cluster) SELECT * FROM grouped"))
    await session.execute(
        text(
            """DELETE FROM vulnerability v USING scope s
            WHERE v.id = s.id AND NOT EXISTS (SELECT FROM merged m WHERE m.id = v.id)"""
        )
    )
    await session.execute(text(_UPSERT), {"expected": expected})
    await _refresh_estimates(session, expected)


async def expected_threats(session: AsyncSession) -> list[float]:
    """How likely somebody exploits what has no EPSS, by severity from 0 (core.matching.risk.expect_threats)."""
    rows = await session.execute(
        text(
            f"""SELECT severity, sum(round(epss * {EPSS_UNITS})), count(*) FROM vulnerability
            WHERE epss IS NOT NULL GROUP BY severity"""
        )
    )
    expected = expect_threats({Severity(severity): (int(total), count) for severity, total, count in rows})
    return [expected[severity] for severity in Severity]


async def _refresh_estimates(session: AsyncSession, before: list[float]) -> None:
    """Bring the risks that rest on an estimate up to date, if what is expected is no longer what it was."""
    expected = await expected_threats(session)
    if expected != before:
        await session.execute(
            text(
                f"""UPDATE vulnerability SET risk = {RISK}
                WHERE epss IS NULL AND NOT kev AND impact IS NOT NULL AND risk IS DISTINCT FROM {RISK}"""
            ),
            {"expected": expected},
        )


async def _form(ctx: Context, folder: Path) -> None:
    """Fill the temporary tables `grouped` and `merged` from the advisories of the ids in `scope`."""
    session = ctx.session
    bodies = "SELECT body FROM advisory WHERE id IN (SELECT id FROM scope)"
    await copy_out(session, f"COPY ({bodies}) TO STDOUT (FORMAT binary)", folder / ADVISORIES)
    await export_knowledge(session, folder)
    count = await session.scalar(text("SELECT count(*) FROM scope")) or 0
    if count <= IN_THIS_PROCESS_MAX:
        await asyncio.to_thread(write_vulnerability_rows, str(folder))
    else:
        await ctx.resources.cpu.run(write_vulnerability_rows, str(folder))
    for name, columns, rows in (("grouped", GROUPED_COLUMNS, GROUPED), ("merged", MERGED_COLUMNS, MERGED)):
        await session.execute(text(f"CREATE TEMP TABLE {name} ({columns}) ON COMMIT DROP"))
        await copy_in(session, f"COPY {name} FROM STDIN", folder / rows)
        await session.execute(text(f"ANALYZE {name} (id)"))


async def refresh_exploitation(session: AsyncSession) -> None:
    """Bring KEV, EPSS and risk of the CVE ids in the temporary table `touched` (column cve) up to date."""
    expected = await expected_threats(session)
    await session.execute(
        text(
            f"""UPDATE vulnerability v
            SET epss = n.epss, kev = n.kev, kev_ransomware = n.kev_ransomware, risk = n.risk
            FROM (SELECT id, epss, kev, kev_ransomware, {RISK} AS risk
                  FROM (SELECT f.id, f.severity, f.impact, e.epss, e.kev_added IS NOT NULL AS kev,
                          coalesce(e.kev_ransomware, false) AS kev_ransomware
                        FROM touched t JOIN vulnerability f ON f.id = t.cve
                        LEFT JOIN exploitation e ON e.cve = t.cve WHERE f.impact IS NOT NULL) known) n
            WHERE n.id = v.id
              AND (v.epss, v.kev, v.kev_ransomware) IS DISTINCT FROM (n.epss, n.kev, n.kev_ransomware)"""
        ),
        {"expected": expected},
    )
    await _refresh_estimates(session, expected)


async def forget_rules(session: AsyncSession) -> None:
    """Have all vulnerabilities formed again, a part at a time: what they are formed by has changed."""
    await session.execute(text("UPDATE vulnerability SET impact = NULL WHERE impact IS NOT NULL"))


async def has_stale_rows(session: AsyncSession) -> bool:
    """Whether vulnerabilities are stored that were formed by other rules: an earlier release's, or other knowledge."""
    return bool(await session.scalar(text("SELECT EXISTS (SELECT FROM vulnerability WHERE impact IS NULL)")))


async def refresh_stale_rows(ctx: Context, limit: int) -> None:
    """Form again, by today's rules, at most `limit` of the vulnerabilities that were formed by others."""
    await ctx.session.execute(text("DROP TABLE IF EXISTS touched"))
    await ctx.session.execute(
        text(
            """CREATE TEMP TABLE touched ON COMMIT DROP AS
            WITH stale AS (SELECT id FROM vulnerability WHERE impact IS NULL ORDER BY id LIMIT :limit)
            SELECT id, '{}'::text[] AS aliases FROM stale
            UNION SELECT i.id, '{}'::text[] FROM vulnerability_id i JOIN stale s ON s.id = i.vulnerability"""
        ),
        {"limit": limit},
    )
    await refresh_touched(ctx)
