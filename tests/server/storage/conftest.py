"""Fixtures of the storage tests: those of the mirror tests, and what a store holds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from antivenom.server.app import Application
from antivenom.server.context import LOCAL, SYSTEM, Resources
from antivenom.server.storage import queries, service
from antivenom.server.storage.collecting import read_roots
from antivenom.server.storage.marking import KINDS, Marked, mark
from antivenom.server.storage.models import StorageRun
from antivenom.server.storage.reports import RunOptions, StorageReport
from tests.reports.conftest import FollowingAsker
from tests.server.mirrors.conftest import Person, person, upstream

__all__ = ["person", "upstream"]


@pytest.fixture
async def ask(app: Application) -> FollowingAsker:
    """Asks when the application has followed what was published before."""
    return FollowingAsker(app)


def stored(resources: Resources) -> dict[str, int]:
    """Every blob with its size."""
    return {key: size for kind in KINDS for key, size, _ in resources.blobs.list_sync(f"{kind}/")}


async def look(resources: Resources) -> Marked:
    """What of the store is named, and what of the named is stored."""
    found: Marked = await resources.cpu.run(mark, resources.blobs.url, await read_roots(resources), None)
    return found


async def waits_or_is_done(person: Person, task: asyncio.Task[Any]) -> bool:
    """Whether the task has ended, or somebody waits for a lock of the database."""
    async with person.resources.context(SYSTEM) as ctx:
        waiting = await ctx.session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    return task.done() or bool(waiting)


async def run(person: Person, kind: str, options: RunOptions) -> StorageRun:
    """A collection or verification as an administrator asks for it, done."""
    async with person.resources.context(LOCAL) as ctx:
        asked = await service.request_run(ctx, kind, options)
    await person.run_jobs(person.resources)
    async with person.resources.context(LOCAL) as ctx:
        done = await queries.find_run(ctx.session, asked.id)
    assert done is not None
    return done


async def collect(person: Person, *, dry_run: bool = False) -> StorageReport:
    """Collect at once, however young the blobs are."""
    done = await run(person, "collect", RunOptions(dry_run=dry_run, min_age_s=-1))
    assert (done.state, done.error) == ("done", "")
    return done.report
