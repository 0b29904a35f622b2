"""Matching components on demand, and keeping what publications found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from sqlalchemy import text

from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import NO_KNOWLEDGE, Assessment, Severity
from antivenom.core.matching.build_statements import Curated, parse_security
from antivenom.core.matching.component_request import MatchRequest, answer
from antivenom.core.source.source_map import Component
from antivenom.server.advisories.queries import has_asked_since, is_syncing, newest_revision, oldest_pending_revision
from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.db.paging import PAGE_SIZE_DEFAULT, Page
from antivenom.server.events.jobs import defer
from antivenom.server.findings import queries
from antivenom.server.findings.open_index import open_index
from antivenom.server.findings.queries import AffectedComponent
from antivenom.server.members.authorization import require

MATCH_COMPONENTS_MAX = 10_000
STORE_ROWS = 2_000
JUST_ASKED = timedelta(minutes=10)
MATCH_PATIENCE_S = 60.0
KNOWLEDGE_POLL_S = 0.2

Assessments = dict[tuple[str, str, str], Assessment]
"""By name, version and purls (`component.purls_key`)."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The newest compiled knowledge: its revision (0 for none) and the blob of its match index."""

    revision: int
    index_key: str | None


async def current_knowledge(ctx: Context) -> Knowledge:
    """The newest revision that is compiled; publications are made from it."""
    found = await queries.newest_compiled(ctx.session)
    return Knowledge(found.id, found.index_key) if found else Knowledge(0, None)


async def show_knowledge(ctx: Context) -> tuple[int, int]:
    """(revision that matching answers from, newest revision of the feeds); 0 for none."""
    require(ctx, "advisories:read", subject="match")
    newest = await newest_revision(ctx.session)
    return (await current_knowledge(ctx)).revision, newest.id if newest else 0


async def request_compilation(ctx: Context) -> None:
    """Ask for the newest knowledge to be compiled now; one compilation runs, and at most one more waits."""
    await defer(ctx, "findings.compile", lock="findings.compile", queueing_lock="findings.compile")


async def wait_for_new_feeds(resources: Resources) -> None:
    """Wait (a minute at most) until matching answers from a feed that somebody just added or had synced.

    They expect it. Later, answers from what was known some seconds before are worth more than waiting for a daily feed.
    """
    until = time.monotonic() + MATCH_PATIENCE_S
    has_requested = False
    while time.monotonic() < until:
        async with resources.context(SYSTEM) as ctx:
            is_compiled = await oldest_pending_revision(ctx.session) is None
            if is_compiled or not await has_asked_since(ctx.session, ctx.now - JUST_ASKED):
                return
            if not has_requested and not await is_syncing(ctx.session):
                await request_compilation(ctx)
                has_requested = True
        await asyncio.sleep(KNOWLEDGE_POLL_S)


async def match_components(
    ctx: Context, components: Sequence[MatchRequest], *, include_ignored: bool = False
) -> list[Assessment]:
    """What is known of each component, in order. Components that are none are answered in place with the reason.

    Args:
        include_ignored: Fill `Assessment.ignored`, too: what rows of knowledge set aside.

    Raises:
        InvalidInputError: More than `MATCH_COMPONENTS_MAX` components.
    """
    require(ctx, "advisories:read", subject="match")
    if len(components) > MATCH_COMPONENTS_MAX:
        raise InvalidInputError(
            f"{len(components):,} components are too many for one request: {MATCH_COMPONENTS_MAX:,} at most",
            hint="send them in several requests",
            field="components",
        )
    await wait_for_new_feeds(ctx.resources)
    knowledge = await current_knowledge(ctx)
    if knowledge.index_key is None:
        return [Assessment(False, c.error) if c.key is None else NO_KNOWLEDGE for c in components]
    async with open_index(ctx.resources.blobs, knowledge.index_key) as index:
        return await asyncio.to_thread(answer, index, components, include_ignored=include_ignored)


async def store_assessments(ctx: Context, revision: int, components: Iterable[tuple[Component, Assessment]]) -> None:
    """Store findings: rows are added, changed, and closed when a finding is gone; none is deleted.

    Args:
        revision: The knowledge revision that the assessments come from. Older ones than what is stored change nothing.
    """
    require(ctx, "advisories:write", subject="findings")
    batch: Assessments = {}
    for component, assessment in components:
        batch[component.name, component.version, "\n".join(sorted(component.purls))] = assessment
        if len(batch) >= STORE_ROWS:
            await _store(ctx, revision, batch)
            batch = {}
    if batch:
        await _store(ctx, revision, batch)


_UPSERT_COMPONENTS = text("""
    INSERT INTO component (name, version, purls_key, knowledge_revision)
    SELECT name, version, purls_key, :revision
    FROM unnest(CAST(:names AS text[]), CAST(:versions AS text[]), CAST(:keys AS text[]))
        AS given (name, version, purls_key)
    ORDER BY name, version, purls_key
    ON CONFLICT (name, version, purls_key) DO UPDATE
        SET knowledge_revision = excluded.knowledge_revision
        WHERE component.knowledge_revision <= excluded.knowledge_revision
    RETURNING id, name, version, purls_key
""")
_UPSERT_FINDINGS = text("""
    INSERT INTO finding (component_id, primary_id, ids, severity, risk, opened_revision)
    SELECT component_id, primary_id, string_to_array(ids, ' '), severity, risk, :revision
    FROM unnest(CAST(:components AS bigint[]), CAST(:primaries AS text[]), CAST(:ids AS text[]),
                CAST(:severities AS int[]), CAST(:risks AS float8[]))
        AS given (component_id, primary_id, ids, severity, risk)
    ORDER BY component_id, primary_id
    ON CONFLICT (component_id, primary_id) DO UPDATE
        SET ids = excluded.ids, severity = excluded.severity, risk = excluded.risk, closed_revision = NULL,
            opened_revision = CASE WHEN finding.closed_revision IS NULL THEN finding.opened_revision
                              ELSE excluded.opened_revision END
""")
_CLOSE_FINDINGS = text("""
    UPDATE finding SET closed_revision = :revision
    WHERE component_id = ANY (CAST(:touched AS bigint[])) AND closed_revision IS NULL
      AND NOT EXISTS (SELECT FROM unnest(CAST(:components AS bigint[]), CAST(:primaries AS text[])) AS kept (c, p)
                      WHERE kept.c = finding.component_id AND kept.p = finding.primary_id)
""")


async def _store(ctx: Context, revision: int, batch: Assessments) -> None:
    rows = await ctx.session.execute(
        _UPSERT_COMPONENTS,
        {
            "revision": revision,
            "names": [n for n, _, _ in batch],
            "versions": [v for _, v, _ in batch],
            "keys": [k for _, _, k in batch],
        },
    )
    touched = {(name, version, key): row_id for row_id, name, version, key in rows}
    found = [(row_id, f) for place, row_id in touched.items() for f in batch[place].findings]
    arguments = {
        "revision": revision,
        "components": [row_id for row_id, _ in found],
        "primaries": [f.ids[0] for _, f in found],
    }
    if found:
        await ctx.session.execute(
            _UPSERT_FINDINGS,
            {
                **arguments,
                "ids": [" ".join(f.ids) for _, f in found],
                "severities": [int(Severity[f.severity]) for _, f in found],
                "risks": [f.risk for _, f in found],
            },
        )
    await ctx.session.execute(_CLOSE_FINDINGS, {**arguments, "touched": list(touched.values())})


async def list_affected(
    ctx: Context, ids: str | Sequence[str], *, page: int = 1, page_size: int = PAGE_SIZE_DEFAULT
) -> Page[AffectedComponent]:
    """The components of published channels that a vulnerability (any of its ids) affects now."""
    require(ctx, "advisories:read", subject="findings")
    wanted = [ids] if isinstance(ids, str) else list(ids)
    return await queries.page_affected(ctx.session, wanted, page=page, page_size=page_size)


async def store_curation(ctx: Context, *, sha256: bytes, fn: str, document: bytes) -> dict[str, Curated]:
    """Keep what an artifact's `info/security.json` says. A file that says nothing, or nothing readable, leaves no row.

    Returns:
        The statements, by id in upper case; empty when there are none.
    """
    require(ctx, "artifacts:write", subject=f"artifact:{fn}")
    try:
        statuses = parse_security(document)
    except InvalidInputError:
        return {}
    if statuses:
        await ctx.session.execute(
            text(
                "INSERT INTO curation (sha256, fn, statuses) VALUES (:sha256, :fn, :statuses)"
                " ON CONFLICT (sha256) DO UPDATE SET fn = excluded.fn, statuses = excluded.statuses"
            ),
            {"sha256": sha256, "fn": fn, "statuses": msgspec.msgpack.encode(statuses)},
        )
    return statuses
