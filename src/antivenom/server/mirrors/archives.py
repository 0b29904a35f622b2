"""Reads what a fetched artifact says about itself, as if an enemy had made it.

A small archive may hold a million members, or unfold to any size. So it is read in a child process with a budget of CPU
and memory; `core/conda/artifacts.py` bounds members, bytes and depth. One that cannot be read is noted, and not tried
again. It is served all the same: its digest is right.

An upstream's archives are read one after another, so that those of a hostile one keep a single child busy.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from antivenom.core.conda.artifacts import ArtifactInfo, read_artifact_info
from antivenom.core.errors import AntivenomError, InvalidInputError, TooExpensiveError, UnavailableError
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.service import record
from antivenom.server.mirrors.models import UnreadableArchive

log = logging.getLogger(__name__)
READ_MAX_S: Final = 10.0  # of CPU; honest ones take a hundredth of it


class ArchiveReader:
    """Reads the archives that one process fetches."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # each lives while somebody has it

    async def read(self, path: Path, *, upstream: str, channel: str, fn: str, key: str) -> ArtifactInfo:
        """What a file says about itself, which is to become the blob `key`; nothing when it cannot be read."""
        if await self._is_unreadable(key):
            return ArtifactInfo()
        turn = self._turns.setdefault(upstream, asyncio.Lock())
        async with turn:
            try:
                return await self._resources.archives.run(read_file, str(path), fn, cpu_s=READ_MAX_S)
            except (InvalidInputError, TooExpensiveError, UnavailableError, MemoryError) as error:
                reason = error.message if isinstance(error, AntivenomError) else "it takes too much memory"
        await self._note(channel=channel, fn=fn, key=key, reason=reason)
        return ArtifactInfo()

    async def _is_unreadable(self, key: str) -> bool:
        try:
            async with self._resources.context(SYSTEM) as ctx:
                return await ctx.session.get(UnreadableArchive, key) is not None
        except (SQLAlchemyError, OSError):  # artifacts are fetched while the database is away, too
            return False

    async def _note(self, *, channel: str, fn: str, key: str, reason: str) -> None:
        values = {"key": key, "fn": fn, "reason": reason}
        try:
            async with self._resources.context(SYSTEM) as ctx:
                statement = insert(UnreadableArchive).values({**values, "at": ctx.now}).on_conflict_do_nothing()
                if await ctx.session.scalar(statement.returning(UnreadableArchive.key)) is not None:
                    await record(ctx, "artifact.unreadable", subject=f"channel:{channel}", fn=fn, reason=reason)
        except (SQLAlchemyError, OSError) as error:
            log.warning("it could not be noted that %s cannot be read (%s)", fn, type(error).__name__)


def read_file(path: str, fn: str) -> ArtifactInfo:
    """What an artifact says about itself; runs in a child process."""
    with Path(path).open("rb") as file:
        return read_artifact_info(file, fn)
