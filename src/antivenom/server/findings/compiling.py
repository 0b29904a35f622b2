"""Compile the entries of all feeds into the match index, and bring known components up to date.

Reading and writing rows happens here; what takes CPU runs in a child process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import update

from antivenom.core.matching.advisories import Assessment
from antivenom.core.matching.compile_index import Exploited, build_index
from antivenom.core.matching.identity import join_maps
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.core.matching.parts import PartsOfProjects
from antivenom.core.source.source_map import Component
from antivenom.knowledge import built_in
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.cpu import without_cycles
from antivenom.server.adapters.scratch import scratch_folder
from antivenom.server.advisories import export
from antivenom.server.advisories import queries as advisories
from antivenom.server.advisories.models import KnowledgeRevision
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.db.blob_guard import CheckHeld, blobs_in_use
from antivenom.server.events.service import record
from antivenom.server.findings import queries
from antivenom.server.findings.service import JUST_ASKED, store_assessments


async def compile_newest(resources: Resources) -> int | None:
    """Compile the newest knowledge revision, once, and record `advisory.changed`.

    A revision that came meanwhile is compiled by its own job; nothing happens when the newest is compiled already.

    Returns:
        The revision that is compiled now; None when nothing was to do.
    """
    async with blobs_in_use(resources.lock_engine) as check_held:
        return await _compile_newest(resources, check_held)


async def _compile_newest(resources: Resources, check_held: CheckHeld) -> int | None:
    with scratch_folder(resources.settings.scratch, "compile") as folder:
        async with resources.context(SYSTEM) as ctx:
            newest = await advisories.newest_revision(ctx.session)
            if newest is None or newest.index_key is not None:
                return None
            await export.export_facts(ctx.session, folder)
            parts = PartsOfProjects(await asyncio.to_thread(export.assemble_knowledge, folder))
            await export.export_advisories(ctx.session, folder, parts.keys)
        index_key = await resources.cpu.run(compile_index, resources.blobs.url, str(folder))
    async with resources.context(SYSTEM) as ctx:
        components = await queries.list_components(ctx.session)
    found = await resources.cpu.run(assess_components, resources.blobs.url, index_key, components) if components else []
    async with resources.context(SYSTEM) as ctx:
        await check_held(ctx.session)
        await ctx.session.execute(
            update(KnowledgeRevision).where(KnowledgeRevision.id == newest.id).values(index_key=index_key)
        )
        await store_assessments(ctx, newest.id, found)
        await record(ctx, "advisory.changed", subject=f"knowledge:{newest.id}", revision=newest.id, index_key=index_key)
    return newest.id


async def compile_for_new_feeds(resources: Resources) -> None:
    """Compile now if somebody has just added a feed or requested its sync: the next mirror is judged by it at once.

    Does nothing later, or while feeds are read: then the job compiles, and channels are published again.
    """
    async with resources.context(SYSTEM) as ctx:
        is_due = (
            await advisories.oldest_pending_revision(ctx.session) is not None
            and await advisories.has_asked_since(ctx.session, ctx.now - JUST_ASKED)
            and not await advisories.is_syncing(ctx.session)
        )
    if is_due:
        await compile_newest(resources)


def compile_index(store_url: str, folder: str) -> str:
    """Compile what was exported, in a child process; the key of the blob that holds the index."""
    source = Path(folder)
    with without_cycles():
        exploitation = {
            cve: Exploited(epss, kev, ransomware) for cve, epss, kev, ransomware in export.read_exploitation(source)
        }
        advisories = export.read_advisories(source / "advisories")
        maps = join_maps(export.read_names(source), export.read_products(source))
        data = build_index(advisories, exploitation, maps, export.assemble_knowledge(source))
    key = f"knowledge/{hashlib.sha256(data).hexdigest()}"
    BlobStore.open(store_url).put_sync(key, data)
    return key


def assess_components(
    store_url: str, index_key: str, components: Iterable[Component]
) -> list[tuple[Component, Assessment]]:
    """Assess every known component again, in a child process."""
    index = MatchIndex.load(BlobStore.open(store_url).get_sync(index_key), built_in())
    listed = list(components)
    answers = index.assess(ComponentKey("conda", c.name, c.version, purls=c.purls) for c in listed)
    return list(zip(listed, answers, strict=True))
