"""Reads advisory files and signing keys."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.server.advisory_files.models import AdvisoryFile, SigningKey

FILES_KEPT = 2  # whole ones: who has just read the manifest of the last but one may still be fetching it
DELTAS_KEPT = 100


async def newest_file(session: AsyncSession) -> AdvisoryFile | None:
    return await session.scalar(select(AdvisoryFile).order_by(AdvisoryFile.id.desc()).limit(1))


async def list_files(session: AsyncSession) -> list[AdvisoryFile]:
    """The newest first."""
    return list(await session.scalars(select(AdvisoryFile).order_by(AdvisoryFile.id.desc())))


async def list_keys(session: AsyncSession) -> list[SigningKey]:
    """From the first to the one that signs."""
    return list(await session.scalars(select(SigningKey).order_by(SigningKey.id)))


async def find_blob(session: AsyncSession, key: str) -> bool:
    """Whether a file or delta that is kept has this blob."""
    is_named = or_(AdvisoryFile.blob_key == key, AdvisoryFile.delta_key == key)
    return await session.scalar(select(AdvisoryFile.id).where(is_named).limit(1)) is not None


async def forget_blobs(session: AsyncSession, keys: Iterable[str]) -> None:
    """Count these blobs as lost: a file is made anew, a delta is offered no more."""
    listed = list(keys)
    changed = update(AdvisoryFile).where(AdvisoryFile.blob_key.in_(listed)).values(blob_key="", made_from="")
    await session.execute(changed)
    await session.execute(update(AdvisoryFile).where(AdvisoryFile.delta_key.in_(listed)).values(delta_key=""))


async def forget_files(session: AsyncSession, ids: Iterable[int]) -> None:
    await session.execute(delete(AdvisoryFile).where(AdvisoryFile.id.in_(list(ids))))
