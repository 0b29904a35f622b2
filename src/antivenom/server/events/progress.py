"""What a long job says of itself while it runs, and when one that failed is tried again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.errors import AntivenomError, StorageError, UpstreamError
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.web.problems import explain

log = logging.getLogger(__name__)
RETRY_FIRST_S: Final = 30
RETRY_LONGEST_S: Final = 6 * 3600
WRITE_EVERY_S: Final = 0.5


class JobProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a job is; the empty one (stored as `{}`) while none runs."""

    phase: str = ""
    done: int = 0
    total: int = 0
    """0 when it is unknown."""


WAITING = JobProgress("waiting for a worker")
WAITING_FOR_UPSTREAM = JobProgress("waiting: other syncs read that upstream")
STARTING = JobProgress("starting")
WriteProgress = Callable[[AsyncSession, int, JobProgress | None, datetime], Awaitable[None]]
"""Stores progress (None: as it was) and how long the lease holds in the row with that id, if the job still runs."""

LEASE: Final = timedelta(seconds=60)
RENEW_EVERY_S: Final = 10.0


def retry_after_s(failures: int) -> int:
    """30 s after the first failure, twice as long after each further one, six hours at most."""
    return min(RETRY_LONGEST_S, RETRY_FIRST_S << min(max(failures, 1) - 1, 20))


def explain_failure(error: Exception) -> AntivenomError:
    """The error that ended a job, for the row that shows it; the log has an unexpected one under a reference.

    Of several tasks that failed together, the first counts.
    """
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError):
        return StorageError(f"files could not be written: {error.strerror or error}", hint="is the disk full?")
    return explain(error)


def in_one_line(error: AntivenomError) -> str:
    """What a row shows of an error: what happened, and what helps."""
    return error.message + (f" ({error.hint})" if error.hint else "")


@asynccontextmanager
async def within_time(most_s: float) -> AsyncIterator[None]:
    """End the block after so many seconds.

    Raises:
        UpstreamError: It took longer.
    """
    try:
        async with asyncio.timeout(most_s) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise UpstreamError(
            f"the sync took longer than the {most_s:g} s of ANTIVENOM_SYNC_MAX_S", hint="it will be tried again"
        ) from None


def has_lapsed(lease_until: datetime | None, now: datetime) -> bool:
    """Whether nobody works any more on what a lease was given for."""
    return lease_until is None or lease_until <= now


class ProgressReporter:
    """Keeps a row in step with what a job is doing, at most twice a second, off the hot path.

    It also renews the row's lease while the job runs: a row that says "syncing" past its lease is worked on by nobody.
    A database that is away is waited for; the job decides itself whether it can go on without.
    """

    def __init__(self, resources: Resources, row_id: int, write: WriteProgress) -> None:
        self._resources, self._row_id, self._write = resources, row_id, write
        self._latest: JobProgress | None = None
        self._renew_at = time.monotonic() + RENEW_EVERY_S

    def __call__(self, phase: str, done: int, total: int) -> None:
        self._latest = JobProgress(phase, done, total)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Progress is written while the block runs."""
        task = asyncio.create_task(self._loop())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _loop(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            latest, self._latest = self._latest, None
            if latest is None and time.monotonic() < self._renew_at:
                continue
            try:
                async with self._resources.context(SYSTEM) as ctx:
                    await self._write(ctx.session, self._row_id, latest, ctx.now + LEASE)
                self._renew_at = time.monotonic() + RENEW_EVERY_S
            except Exception as error:
                log.warning("progress could not be stored: %s", type(error).__name__)
