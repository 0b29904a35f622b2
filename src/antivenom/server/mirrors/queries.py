"""Reading mirrors."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from antivenom.server.channels.models import Channel
from antivenom.server.channels.queries import is_among
from antivenom.server.db.schedule import has_ended, is_due
from antivenom.server.events.progress import JobProgress
from antivenom.server.mirrors.models import Mirror


async def find_mirror(session: AsyncSession, channel: str, *, lock: bool = False) -> Mirror | None:
    query = select(Mirror).join(Channel, Channel.id == Mirror.channel_id).where(Channel.name == channel)
    return await session.scalar(query.with_for_update(of=Mirror) if lock else query)


async def find_mirror_by_id(session: AsyncSession, mirror_id: int, *, lock: bool = False) -> Mirror | None:
    query = select(Mirror).where(Mirror.id == mirror_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def set_progress(
    session: AsyncSession, mirror_id: int, progress: JobProgress | None, lease_until: datetime
) -> None:
    values: dict[str, object] = {"lease_until": lease_until} | ({"progress": progress} if progress else {})
    await session.execute(update(Mirror).where(Mirror.id == mirror_id, Mirror.state == "syncing").values(values))


async def name_stored(session: AsyncSession, mirror_id: int, keys: list[str]) -> None:
    """Let the mirror name blobs that its running sync has stored."""
    await session.execute(
        update(Mirror).where(Mirror.id == mirror_id).values(stored_keys=Mirror.stored_keys.concat(keys))
    )


async def set_fetched(
    session: AsyncSession, mirror_id: int, progress: JobProgress | None, _lease_until: datetime
) -> None:
    """Store how many artifacts are fetched ahead, unless a sync shows its own progress; no lease is taken for it."""
    if progress is not None:
        await session.execute(
            update(Mirror).where(Mirror.id == mirror_id, Mirror.state == "ok").values(progress=progress)
        )


async def list_mirrors(session: AsyncSession, *, among: Collection[str] | None) -> list[tuple[str, Mirror]]:
    query = select(Channel.name, Mirror).join(Channel, Channel.id == Mirror.channel_id).where(is_among(among))
    rows = await session.execute(query.order_by(Channel.name))
    return [(name, mirror) for name, mirror in rows]


async def list_states(session: AsyncSession) -> list[Mirror]:
    """Every mirror, without what it knows of its upstream: that may be megabytes each."""
    known = (Mirror.subdir_states, Mirror.channeldata, Mirror.selection)
    return list(await session.scalars(select(Mirror).options(*(defer(column, raiseload=True) for column in known))))


async def list_due(session: AsyncSession, now: datetime) -> list[Mirror]:
    """Mirrors whose next sync (by schedule or after a failure) is due, and those that nobody works on any more."""
    is_worked_on = Mirror.state.in_(("queued", "syncing"))
    due = is_due(Mirror.next_sync_at, Mirror.last_sync_at, now)
    wanted = or_(and_(due, ~is_worked_on), and_(is_worked_on, has_ended(Mirror.lease_until, now)))
    return list(await session.scalars(select(Mirror).where(wanted).with_for_update(skip_locked=True)))
