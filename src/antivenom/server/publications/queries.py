"""Reads publications and the channels that point to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import and_, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from antivenom.core.conda.artifact_index import ArtifactIndex
from antivenom.core.publication.publication_map import FORMAT
from antivenom.server.channels.models import Channel
from antivenom.server.channels.queries import is_among
from antivenom.server.db.paging import Column, Page, check_paging, order_by
from antivenom.server.findings.models import Curation
from antivenom.server.policies.models import Policy, PolicyRevision
from antivenom.server.publications.models import ArtifactIndexRow, Publication

HISTORY_SORTS: dict[str, tuple[Column, ...]] = {
    "number": (Publication.number,),
    "kept": (Publication.counts["kept"].as_integer(), Publication.number),
    "withheld": (Publication.counts["withheld"].as_integer(), Publication.number),
    "warned": (Publication.counts["warned"].as_integer(), Publication.number),
}
CHANNEL_SORTS: dict[str, tuple[Column, ...]] = {
    "name": (Channel.name,),
    "policy": (Policy.name, Channel.name),
    "risk": (
        func.coalesce(Publication.counts["vulnerabilities", "malware"].as_integer(), 0),  # older ones do not count it
        Publication.counts["exploited"].as_integer(),
        Publication.counts["vulnerabilities", "critical"].as_integer(),
        Publication.counts["vulnerabilities", "high"].as_integer(),
        Channel.name,
    ),
    "kept": (Publication.counts["kept"].as_integer(), Channel.name),
    "withheld": (Publication.counts["withheld"].as_integer(), Channel.name),
    "published": (Publication.created_at, Channel.name),
}


class PublicationRow(NamedTuple):
    """A publication, with the policy and revision number that it was made under."""

    publication: Publication
    policy: str | None
    policy_revision: int | None


class ChannelRow(NamedTuple):
    """A channel with its current publication, and the policy and revision number that are attached now."""

    channel: Channel
    publication: Publication | None
    policy: str | None
    policy_revision: int | None


async def find_publication(session: AsyncSession, publication_id: int | None) -> Publication | None:
    return await session.get(Publication, publication_id) if publication_id is not None else None


async def find_publication_by_number(session: AsyncSession, channel_id: int, number: int) -> Publication | None:
    return await session.scalar(
        select(Publication).where(Publication.channel_id == channel_id, Publication.number == number)
    )


async def newest_publication(session: AsyncSession, channel_id: int) -> Publication | None:
    """The publication with the highest number: after a rollback not the served one, but with the newest sources."""
    return await session.scalar(
        select(Publication).where(Publication.channel_id == channel_id).order_by(Publication.number.desc()).limit(1)
    )


async def last_number(session: AsyncSession, channel_id: int) -> int:
    return await session.scalar(select(func.max(Publication.number)).where(Publication.channel_id == channel_id)) or 0


async def page_history(
    session: AsyncSession, channel_id: int, *, cause: str, sort: str, page: int, page_size: int
) -> Page[PublicationRow]:
    """A channel's publications; `sort` is one of HISTORY_SORTS, "" as `cause` is any."""
    offset, limit = check_paging(page, page_size)
    wanted = [Publication.channel_id == channel_id, *([Publication.cause == cause] if cause else [])]
    total = await session.scalar(select(func.count()).select_from(Publication).where(*wanted)) or 0
    rows = await session.execute(
        select(Publication, Policy.name, PolicyRevision.number)
        .outerjoin(PolicyRevision, PolicyRevision.id == Publication.policy_revision_id)
        .outerjoin(Policy, Policy.id == PolicyRevision.policy_id)
        .where(*wanted)
        .order_by(*order_by(sort, HISTORY_SORTS))
        .offset(offset)
        .limit(limit)
    )
    return Page([PublicationRow(*row) for row in rows], total, page, page_size)


_CHANNEL_ROWS = (
    select(Channel, Publication, Policy.name, PolicyRevision.number)
    .outerjoin(Publication, Publication.id == Channel.publication_id)
    .outerjoin(PolicyRevision, PolicyRevision.id == Channel.policy_revision_id)
    .outerjoin(Policy, Policy.id == PolicyRevision.policy_id)
)


async def list_channel_rows(session: AsyncSession, channel_ids: list[int]) -> dict[int, ChannelRow]:
    """The rows of these channels, by channel id."""
    rows = await session.execute(_CHANNEL_ROWS.where(Channel.id.in_(channel_ids)))
    return {row[0].id: ChannelRow(*row) for row in rows}


async def page_channels(
    session: AsyncSession, *, among: Collection[str] | None, q: str, sort: str, page: int, page_size: int
) -> Page[ChannelRow]:
    """Those channels (None: all) in the order of `sort` (one of CHANNEL_SORTS).

    `q` is searched in their texts and the policy's.
    """
    offset, limit = check_paging(page, page_size)
    query = _CHANNEL_ROWS.where(is_among(among))
    if q:
        places = (Channel.name, Channel.description, Channel.upstream, Policy.name)
        query = query.where(or_(*(place.icontains(q, autoescape=True) for place in places)))
    total = await session.scalar(select(func.count()).select_from(query.with_only_columns(Channel.id).subquery())) or 0
    rows = await session.execute(query.order_by(*order_by(sort, CHANNEL_SORTS)).offset(offset).limit(limit))
    return Page([ChannelRow(*row) for row in rows], total, page, page_size)


async def published_channels(session: AsyncSession) -> list[Channel]:
    """Channels that serve a publication, by id: who changes several does so in that order, or two might deadlock."""
    return list(await session.scalars(select(Channel).where(Channel.publication_id.is_not(None)).order_by(Channel.id)))


async def want_republish(session: AsyncSession, channel_id: int, now: datetime) -> None:
    """Count one more change that the channel should serve; a failure before it no longer delays the next try."""
    values = {
        "wanted": Channel.wanted + 1,
        "behind_since": func.coalesce(Channel.behind_since, now),
        "publish_retry_at": None,
    }
    statement = update(Channel).where(Channel.id == channel_id).values(values)
    await session.execute(statement.execution_options(synchronize_session=False))


async def list_behind_channels(session: AsyncSession, now: datetime) -> list[int]:
    """Ids of the channels with a change that is not applied and whose next try is due."""
    is_due = or_(Channel.publish_retry_at.is_(None), Channel.publish_retry_at <= now)
    return list(await session.scalars(select(Channel.id).where(Channel.applied < Channel.wanted, is_due)))


async def list_differing_channels(session: AsyncSession, knowledge: int, now: datetime) -> list[tuple[int, str]]:
    """(id, cause) of channels of which nobody noted a change, and that serve what no longer holds all the same.

    Of the served and the newest publication (after a rollback these are two) one at least has to have been made under
    the attached policy, and one with the knowledge that is compiled; the served one's verdicts have to hold today, and
    it has to be of the format that this release writes.
    """
    served, newest, numbered = aliased(Publication), aliased(Publication), aliased(Publication)
    highest = select(func.max(numbered.number)).where(numbered.channel_id == Channel.id).correlate(Channel)
    has_expired = served.holds_until <= now
    has_other_policy = and_(
        *(made.policy_revision_id.is_distinct_from(Channel.policy_revision_id) for made in (served, newest))
    )
    is_less_informed = func.greatest(served.knowledge_revision, newest.knowledge_revision) < knowledge
    is_of_earlier_format = and_(served.id == newest.id, served.format < FORMAT)  # a rollback is left as it is
    differs = ((is_of_earlier_format, "format"), (has_expired, "time"), (has_other_policy, "policy"))
    cause = case(*differs, else_="advisories")
    rows = await session.execute(
        select(Channel.id, cause)
        .join(served, served.id == Channel.publication_id)
        .join(newest, and_(newest.channel_id == Channel.id, newest.number == highest.scalar_subquery()))
        .where(Channel.applied >= Channel.wanted, or_(*(is_so for is_so, _ in differs), is_less_informed))
        .order_by(Channel.id)
    )
    return [(channel_id, why) for channel_id, why in rows]


async def count_behind(session: AsyncSession) -> tuple[int, datetime | None]:
    """How many channels have a change that is not applied, and since when the first of them."""
    row = (
        await session.execute(
            select(func.count(), func.min(Channel.behind_since)).where(Channel.applied < Channel.wanted)
        )
    ).one()
    return row[0], row[1]


async def list_retained(session: AsyncSession, channel_id: int) -> list[Publication]:
    """Every publication of a channel, newest first."""
    return list(
        await session.scalars(
            select(Publication).where(Publication.channel_id == channel_id).order_by(Publication.number.desc())
        )
    )


async def find_build_statements(session: AsyncSession, digests: Sequence[bytes]) -> dict[bytes, bytes]:
    """What the artifacts with these sha256 say of their own vulnerabilities, in its stored form, by digest."""
    rows = await session.execute(select(Curation.sha256, Curation.statuses).where(Curation.sha256.in_(digests)))
    return {row.sha256: row.statuses for row in rows}


async def find_artifact_indexes(session: AsyncSession, digests: Sequence[bytes]) -> dict[bytes, ArtifactIndex]:
    """What the artifacts with these digests say they are, by digest; those that were never fetched are left out."""
    rows = await session.execute(select(ArtifactIndexRow).where(ArtifactIndexRow.digest.in_(digests)))
    return {row.digest: msgspec.msgpack.decode(row.said, type=ArtifactIndex) for (row,) in rows}


async def keep_artifact_index(session: AsyncSession, digest: bytes, said: ArtifactIndex) -> None:
    """Keep what an artifact says it is."""
    row = {"digest": digest, "said": msgspec.msgpack.encode(said)}
    await session.execute(insert(ArtifactIndexRow).values(row).on_conflict_do_nothing())


async def list_build_statements(session: AsyncSession) -> list[tuple[str, bytes, bytes]]:
    """(file name, sha256, statuses) of every artifact that says something about its own vulnerabilities."""
    rows = await session.execute(select(Curation.fn, Curation.sha256, Curation.statuses).order_by(Curation.sha256))
    return [(fn, digest, statuses) for fn, digest, statuses in rows]
