"""Reads what the database names of the blob store, and the runs over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.publication.client_documents import derived_keys
from antivenom.server.advisories.models import KnowledgeRevision
from antivenom.server.advisory_files.models import AdvisoryFile
from antivenom.server.channels.models import Channel
from antivenom.server.mirrors.models import Mirror
from antivenom.server.publications.models import Publication
from antivenom.server.storage.models import LostBlob, ScrubPosition, StorageRun

KNOWLEDGE_KEPT = 2  # compiled ones: who has just read the key of the last but one may still open it
RUNS_KEPT = 200


class Namer(NamedTuple):
    """What names a blob: a publication, a mirror, or (with no channel) our knowledge.

    `number` is that of the publication, 0 otherwise; `is_needed` says that it is served, or the newest.
    """

    channel: str = ""
    subdir: str = ""
    number: int = 0
    is_needed: bool = True

    def __str__(self) -> str:
        place = f"{self.channel}/{self.subdir}" if self.channel and self.subdir else self.channel or self.subdir
        place = place or "what is known of vulnerabilities"
        return f"{place}, publication {self.number}" if self.number else place


class NamedBlob(NamedTuple):
    """A blob that a row of the database names. `role` says what it is to the row.

    A "source" and an "index" are maps, which name blobs in turn; a "derived" one need not exist.
    """

    key: str
    role: str
    by: Namer


async def list_named(session: AsyncSession) -> list[NamedBlob]:
    """Every blob key that the database names: the one place that knows all columns that hold keys."""
    found = [
        *await _of_publications(session),
        *await _of_mirrors(session),
        *await _of_knowledge(session),
        *await _of_advisory_files(session),
    ]
    return [named for named in found if named.key]


async def _of_publications(session: AsyncSession) -> list[NamedBlob]:
    rows = await session.execute(
        select(Channel.name, Channel.publication_id, Publication)
        .join(Channel, Channel.id == Publication.channel_id)
        .where(Publication.collected_at.is_(None))
        .order_by(Publication.channel_id, Publication.number.desc())
    )
    found: list[NamedBlob] = []
    newest: set[str] = set()
    for channel, served_id, publication in rows:
        is_needed = publication.id == served_id or channel not in newest
        newest.add(channel)
        found += of_publication(publication, channel, is_needed=is_needed)
    return found


def of_publication(publication: Publication, channel: str, *, is_needed: bool) -> Iterator[NamedBlob]:
    """What one publication names."""
    whole = Namer(channel, "", publication.number, is_needed)
    for subdir, blobs in publication.subdirs.items():
        by = whole._replace(subdir=subdir)
        yield NamedBlob(blobs.source, "source", by)
        yield NamedBlob(blobs.index, "index", by)
        if is_needed:  # else nobody can ask for it; after a rollback it is made again from the pieces
            yield NamedBlob(blobs.monolith, "monolith", by)
        yield NamedBlob(blobs.run_exports, "run_exports", by)
        yield NamedBlob(blobs.patch_instructions, "patch_instructions", by)
    yield NamedBlob(publication.channeldata, "channeldata", whole)
    yield NamedBlob(publication.findings_key or "", "findings", whole)
    for key in derived_keys(publication.client_documents()):
        yield NamedBlob(key, "derived", whole)


async def _of_mirrors(session: AsyncSession) -> list[NamedBlob]:
    rows = await session.execute(select(Channel.name, Mirror).join(Channel, Channel.id == Mirror.channel_id))
    found: list[NamedBlob] = []
    for channel, mirror in rows:
        found.append(NamedBlob(mirror.channeldata.key, "channeldata", Namer(channel)))
        found += [
            NamedBlob(key, "source" if key.startswith("index/") else "upstream", Namer(channel))
            for key in mirror.stored_keys
        ]
        for subdir, state in mirror.subdir_states.items():
            found.append(NamedBlob(state.source, "source", Namer(channel, subdir)))
            found.append(NamedBlob(state.run_exports.key, "run_exports", Namer(channel, subdir)))
            found.append(NamedBlob(state.patch_instructions.key, "patch_instructions", Namer(channel, subdir)))
    return found


async def _of_knowledge(session: AsyncSession) -> list[NamedBlob]:
    keys = await session.scalars(
        select(KnowledgeRevision.index_key)
        .where(KnowledgeRevision.index_key.is_not(None))
        .order_by(KnowledgeRevision.id.desc())
    )
    kept = list(dict.fromkeys(key for key in keys if key))[:KNOWLEDGE_KEPT]
    return [NamedBlob(key, "knowledge", Namer(is_needed=position == 0)) for position, key in enumerate(kept)]


async def _of_advisory_files(session: AsyncSession) -> list[NamedBlob]:
    by = Namer("", "advisory file")
    return [
        NamedBlob(key, "advisory_file", by)
        for made in await session.scalars(select(AdvisoryFile).order_by(AdvisoryFile.id.desc()))
        for key in (made.blob_key, made.delta_key)
    ]


# -- runs --------------------------------------------------------------------------------------------------------------


async def find_run(session: AsyncSession, run_id: int, *, lock: bool = False) -> StorageRun | None:
    return await session.get(StorageRun, run_id, with_for_update=lock or None)


async def list_runs(session: AsyncSession) -> list[StorageRun]:
    """The newest first."""
    return list(await session.scalars(select(StorageRun).order_by(StorageRun.id.desc()).limit(RUNS_KEPT)))


async def find_last_run(session: AsyncSession, kind: str, *states: str) -> StorageRun | None:
    """The newest run of a kind in one of these states."""
    return await session.scalar(
        select(StorageRun)
        .where(StorageRun.kind == kind, StorageRun.state.in_(states))
        .order_by(StorageRun.id.desc())
        .limit(1)
    )


async def forget_old_runs(session: AsyncSession) -> None:
    """Keep the newest runs only."""
    kept = select(StorageRun.id).order_by(StorageRun.id.desc()).limit(RUNS_KEPT)
    await session.execute(delete(StorageRun).where(StorageRun.id.not_in(kept)))


# -- lost blobs --------------------------------------------------------------------------------------------------------


async def list_lost(session: AsyncSession) -> list[LostBlob]:
    """By the time when they were found."""
    return list(await session.scalars(select(LostBlob).order_by(LostBlob.found_at, LostBlob.key)))


async def count_lost(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(LostBlob)) or 0


async def lock_lost(session: AsyncSession) -> None:
    """Let nobody else change the list of lost blobs before this transaction ends."""
    await session.execute(text(f"LOCK TABLE {LostBlob.__tablename__} IN SHARE ROW EXCLUSIVE MODE"))


async def list_lost_due(session: AsyncSession, now: datetime) -> list[LostBlob]:
    """Those of which nobody tries to mend now."""
    is_due = or_(LostBlob.next_try_at.is_(None), LostBlob.next_try_at <= now)
    return list(await session.scalars(select(LostBlob).where(is_due).order_by(LostBlob.key)))


async def look_again_at_lost(session: AsyncSession) -> None:
    """Let the next look at lost blobs be at all of them."""
    await session.execute(update(LostBlob).values(next_try_at=None))


async def forget_lost(session: AsyncSession, keys: Iterable[str]) -> None:
    """They are mended, or nothing names them any more."""
    await session.execute(delete(LostBlob).where(LostBlob.key.in_(list(keys))))


async def find_scrub(session: AsyncSession) -> ScrubPosition:
    """The scrub's row, locked; made if there is none."""
    found = await session.get(ScrubPosition, 1, with_for_update=True)
    if found is None:
        found = ScrubPosition(id=1, key="", bytes_read=0)
        session.add(found)
    return found


# -- what mending changes ----------------------------------------------------------------------------------------------


async def list_mirrored(session: AsyncSession) -> frozenset[str]:
    """The channels that a mirror fills."""
    rows = await session.scalars(select(Channel.name).join(Mirror, Mirror.channel_id == Channel.id))
    return frozenset(rows)


async def lock_channels(session: AsyncSession, names: Iterable[str]) -> dict[str, int]:
    """The ids of the channels of these names, by id; they are locked in that order, as everybody does."""
    query = select(Channel.name, Channel.id).where(Channel.name.in_(list(names))).order_by(Channel.id)
    return {row.name: row.id for row in await session.execute(query.with_for_update())}


async def forget_compiled(session: AsyncSession, keys: Iterable[str]) -> None:
    """Let the knowledge of these match indexes count as not compiled yet."""
    changed = update(KnowledgeRevision).where(KnowledgeRevision.index_key.in_(list(keys))).values(index_key=None)
    await session.execute(changed)


async def retire(session: AsyncSession, channel_id: int, number: int, now: datetime) -> bool:
    """Retire a publication, unless its channel, which is locked, serves it; whether that changed anything."""
    served = select(Channel.publication_id).where(Channel.id == channel_id).scalar_subquery()
    retired = await session.scalar(
        update(Publication)
        .where(
            Publication.channel_id == channel_id,
            Publication.number == number,
            Publication.id.is_distinct_from(served),
            Publication.collected_at.is_(None),
        )
        .values(collected_at=now)
        .returning(Publication.id)
    )
    return retired is not None
