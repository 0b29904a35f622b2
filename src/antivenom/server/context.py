"""What every service call gets: who acts, one transaction, the time, and the process's resources."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from antivenom.core.rights import DEFAULT_ROLES, Rights
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.cpu import CpuPool
from antivenom.server.adapters.demo_upstream import DemoOutboundClient
from antivenom.server.adapters.http import OutboundClient
from antivenom.server.db.engine import create_engine, create_lock_engine
from antivenom.server.settings import Settings

CHECKS_WAITING = 64
PLANS_WAITING = 8
READ_MAX_S = 1800.0  # of CPU, for one index or one part of a feed; the largest known ones take a minute or two
ARCHIVE_MEMORY_BYTES = 2 << 30

ActorKind = Literal["local", "token", "member", "system", "anonymous"]
NO_ROLE = "none"
_OF_THE_ROLE = Rights()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and what they may do: `rights` decide (members/authorization.py).

    `role` is the one of their own, by which they are called ("none" for no such role); others may be granted besides.
    `rights` come with the session or token from the database; without them, they are those of a default role.
    """

    kind: ActorKind
    name: str
    role: str
    rights: Rights = field(default=_OF_THE_ROLE, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.rights is _OF_THE_ROLE:
            object.__setattr__(self, "rights", Rights(DEFAULT_ROLES.get(self.role, {})))

    @property
    def label(self) -> str:
        """How the audit trail names the actor: "local", "system", "token:ci", "member:ana"."""
        return f"{self.kind}:{self.name}" if self.kind in ("token", "member") else self.kind


SYSTEM = Actor("system", "system", "admin")
LOCAL = Actor("local", "local", "admin")
ANONYMOUS = Actor("anonymous", "", NO_ROLE)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Context:
    """One request or job step: one transaction that commits when its `async with` ends and rolls back on an error."""

    session: AsyncSession
    actor: Actor
    now: datetime
    resources: Resources


@dataclass(slots=True)
class Resources:
    """What one process holds open. Composition roots make it with `open_resources`."""

    settings: Settings
    engine: AsyncEngine
    blobs: BlobStore
    outbound: OutboundClient
    cpu: CpuPool
    publishing_cpu: CpuPool
    """Publishes. Reading an upstream's index or a large feed, which `cpu` does, keeps no policy edit waiting."""
    checks: CpuPool
    """Reads the texts of policies that are saved: nobody who only tries one keeps them waiting."""
    previews: CpuPool
    """Reads texts of policies, whoever sends them."""
    judgements: CpuPool
    """Judges single files, whoever asks for them."""
    plans: CpuPool
    """Plans policies, whoever sends them."""
    archives: CpuPool
    """Reads archives, whoever made them."""
    clock: Callable[[], datetime] = utc_now
    lock_engine: AsyncEngine = field(init=False)
    _sessions: async_sessionmaker[AsyncSession] = field(init=False)

    def __post_init__(self) -> None:
        self.lock_engine = create_lock_engine(self.engine.url)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def context(self, actor: Actor) -> AsyncIterator[Context]:
        """One transaction for one actor. Keep it short: network and heavy computing happen outside."""
        async with self._sessions() as session, session.begin():
            yield Context(session, actor, self.clock(), self)


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Resources for one process; everything is closed at exit. The first context is the first to use the database."""
    engine = create_engine(settings.database_url, connections=settings.database_connections)
    blobs = BlobStore.from_settings(settings)
    outbound = DemoOutboundClient.from_settings(settings)
    cpu, publishing_cpu = CpuPool(settings.cpu_workers), CpuPool(settings.cpu_workers)
    checks, previews, judgements = (CpuPool(waiting_max=CHECKS_WAITING) for _ in range(3))
    plans = CpuPool(waiting_max=PLANS_WAITING)
    archives = CpuPool(2, memory_bytes=ARCHIVE_MEMORY_BYTES)
    try:
        yield Resources(
            settings, engine, blobs, outbound, cpu, publishing_cpu, checks, previews, judgements, plans, archives
        )
    finally:
        for pool in (cpu, publishing_cpu, checks, previews, judgements, plans, archives):
            await pool.close()
        await outbound.close()
        await engine.dispose()
