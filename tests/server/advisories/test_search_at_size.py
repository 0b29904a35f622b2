"""The lists of advisories at the size of all real feeds: pages come from indexes, not from reading everything."""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import event, text

from antivenom.server.advisories import service
from antivenom.server.advisories.vulnerabilities import RISK
from antivenom.server.context import LOCAL, Resources

VULNERABILITIES = 85_000
FILL = f"""
    INSERT INTO vulnerability (id, ids, sources, packages, summary, severity, cvss, impact, epss, kev, kev_ransomware, risk,
      published_at, modified_at, is_withdrawn, is_disputed, search)
    SELECT id, ARRAY[id], ARRAY['osv'], ARRAY['pypi/package-' || n % 9000], summary, severity, cvss, impact, epss, kev,
      kev AND n % 2000 = 0, {RISK.replace("kev_ransomware", "(kev AND n % 2000 = 0)")}, now() - n * interval '1 hour',
      now() - n % 977 * interval '1 day', n % 300 = 0, n % 500 = 0, lower(id || ' ' || summary)
    FROM (SELECT n, 'CVE-' || 2000 + n % 26 || '-' || n AS id, n % 5 AS severity, n % 250 = 0 AS kev, n % 91 / 10.0::float8 AS impact,
      CASE WHEN n % 7 > 0 THEN n % 100 / 10.0 END AS cvss, CASE WHEN n % 3 > 0 THEN power(n % 1000 / 1000.0, 6) END AS epss,
      'A flaw of kind ' || n % 400 || ' that is described at the usual length, ' || repeat('word ', 30) AS summary
      FROM generate_series(1, {VULNERABILITIES}) n) made
"""


async def plans_of(resources: Resources, **search: Any) -> list[str]:
    """The plans of every statement that a search sends."""
    sent: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: bool) -> None:
        sent.append((statement, parameters))

    engine = resources.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        async with resources.context(LOCAL) as ctx:
            await service.search_advisories(ctx, **search)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    async with resources.engine.connect() as connection:
        listed = [await connection.exec_driver_sql(f"EXPLAIN {statement}", values) for statement, values in sent]
        return ["\n".join(line for (line,) in rows) for rows in listed]


SEARCHES: list[dict[str, Any]] = [
    {},
    {"page": 20},
    {"sort": "-severity"},
    {"sort": "-modified"},
    {"sort": "-published"},
    {"sort": "-epss"},
    {"sort": "id"},
    {"severity": "critical"},
    {"severity": "high", "sort": "-severity"},
    {"kev": True},
    {"kev": True, "severity": "high", "sort": "-published"},
    {"epss_min": 0.5},
    {"epss_min": 0.9, "kev": True},
]


async def test_lists_and_filters_read_indexes(resources: Resources) -> None:
    async with resources.context(LOCAL) as ctx:
        await ctx.session.execute(text("SET LOCAL synchronous_commit = on"))  # else VACUUM cannot trust it yet
        await ctx.session.execute(text(FILL), {"expected": [0.01] * 6})
    url = resources.settings.database_url
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("VACUUM ANALYZE vulnerability")  # as PostgreSQL does by itself within a minute
    reading_all = {}
    for search in SEARCHES:
        plans = await plans_of(resources, **search)
        assert len(plans) == 2  # how many there are, and a page of them
        reading_all |= {str(search): plan for plan in plans if "Seq Scan" in plan}
    assert reading_all == {}
