"""Looks whether every blob that is named is there and whole: on request, and slowly all the time."""

from __future__ import annotations

import asyncio

from antivenom.core.errors import DamagedBlobError
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.lost_blobs import tell_lost
from antivenom.server.storage import queries
from antivenom.server.storage.collecting import read_roots
from antivenom.server.storage.marking import Marked, mark, scrub, verify
from antivenom.server.storage.mending import diagnose, mend_found
from antivenom.server.storage.reports import LOST_SHOWN, RunOptions, StorageReport, Totals


async def verify_store(resources: Resources, options: RunOptions) -> StorageReport:
    """Read all blobs; say which of those that are needed are missing or damaged. With `repair`, begin to mend them."""
    marked: Marked = await resources.cpu.run(mark, resources.blobs.url, await read_roots(resources), None)
    # In a thread: it mostly reads and hashes, and would keep mirrors from the child processes for minutes.
    found = await asyncio.to_thread(verify, resources.blobs)
    problems = dict.fromkeys(marked.missing, "missing") | dict.fromkeys(found.damaged, "damaged")
    lost = await diagnose(resources, problems) if problems else []
    if options.repair and lost:
        await mend_found(resources, [diagnosis.key for diagnosis in lost], lost)
    return StorageReport(
        stored=marked.stored,
        checked=Totals(found.count, found.size_bytes),
        lost=tuple(diagnosis.row() for diagnosis in lost[:LOST_SHOWN]),
        lost_count=len(lost),
        notes=tuple(f"{key} is a map of another release" for key in marked.hidden if key not in problems),
    )


async def scrub_some(resources: Resources, budget_bytes: int) -> int:
    """Verify the next blobs of the store, so many bytes of them; how many were damaged. They are told and mended."""
    async with resources.context(SYSTEM) as ctx:
        position = await queries.find_scrub(ctx.session)
        after = position.key
        if not after:
            position.round_began_at, position.bytes_read = ctx.now, 0
    found = await asyncio.to_thread(scrub, resources.blobs, after, budget_bytes)
    async with resources.context(SYSTEM) as ctx:
        position = await queries.find_scrub(ctx.session)
        position.key = found.key
        position.bytes_read += found.size_bytes
        if not found.key:
            position.last_round_ended_at = ctx.now
    for key in found.damaged:
        await tell_lost(resources, DamagedBlobError(key))
    return len(found.damaged)
