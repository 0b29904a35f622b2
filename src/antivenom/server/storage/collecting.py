"""Deletes what nothing names: blobs of deleted channels and retired publications, orphans of killed processes, scratch.

Marks first, while everybody goes on building; then waits for a moment in which nobody builds, marks again what is new
since, and deletes what is still unnamed before it lets anybody build again (db/blob_guard.py). So nothing that a build
comes to need is deleted, and builds wait only for the second, short look.
"""

from __future__ import annotations

import asyncio
import time

from antivenom.core.errors import MissingBlobError
from antivenom.server.adapters.scratch import Swept, sweep
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.db.blob_guard import WAIT_S, blobs_for_deletion
from antivenom.server.events.lost_blobs import tell_lost
from antivenom.server.storage import queries
from antivenom.server.storage.marking import MAPS, Marked, Roots, mark
from antivenom.server.storage.reports import RunOptions, StorageReport, Totals, count_by_kind

MISSING_TOLD = 100  # in one collection


async def collect(resources: Resources, options: RunOptions) -> StorageReport:
    """Delete every blob that nothing names and that is old enough, and the scratch of dead processes.

    Raises:
        UnavailableError: Somebody built on blobs all the time while it waited, or the database went away; what was
            not deleted by then stays.
    """
    roots = await read_roots(resources)
    first: Marked = await resources.cpu.run(mark, resources.blobs.url, roots, None)
    for key in first.missing[:MISSING_TOLD]:
        await tell_lost(resources, MissingBlobError(key))
    before = time.time() - options.min_age_s
    candidates = [found for found in first.unnamed if found[2] <= before]
    freed = candidates
    if candidates and not options.dry_run:
        async with blobs_for_deletion(resources.lock_engine, wait_s=WAIT_S) as check_alone:
            news = (await read_roots(resources)).without_maps_of(roots)
            again: Marked = await resources.cpu.run(mark, resources.blobs.url, news, candidates)
            freed = again.unnamed
            for key, _, _ in freed:
                await check_alone()
                await resources.blobs.delete(key)
    swept = await asyncio.to_thread(_sweep, resources, dry_run=options.dry_run)
    by_kind = count_by_kind((key, size) for key, size, _ in freed)
    if swept.files:
        by_kind["scratch"] = Totals(swept.files, swept.size_bytes)
    return StorageReport(
        stored=first.stored,
        unnamed=count_by_kind((key, size) for key, size, _ in first.unnamed),
        freed=by_kind,
        notes=tuple(f"{key} cannot be read: packs and artifacts stay, for it may name them" for key in first.hidden),
    )


async def read_roots(resources: Resources) -> Roots:
    """What the database names now."""
    async with resources.context(SYSTEM) as ctx:
        named = await queries.list_named(ctx.session)
    by_role = {role: frozenset(blob.key for blob in named if blob.role == role) for role in MAPS}
    return Roots(frozenset(blob.key for blob in named), by_role["source"], by_role["index"])


def _sweep(resources: Resources, *, dry_run: bool) -> Swept:
    return sweep(resources.settings.scratch, dry_run=dry_run).plus(resources.blobs.sweep_sync(dry_run=dry_run))
