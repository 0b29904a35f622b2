"""Reads what serving needs: which publication each channel points to, and what decides about its records now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.core.publication.client_documents import SubdirKeys
from antivenom.server.channels.models import Channel
from antivenom.server.policies.models import Policy, PolicyRevision
from antivenom.server.publications.models import Publication


@dataclass(frozen=True, slots=True)
class ChannelPointer:
    """A channel and the publication that it points to; the last five fields are empty when it has none."""

    channel_id: int
    name: str
    is_public: bool
    publication_id: int | None
    published_at: datetime | None
    subdirs: dict[str, SubdirKeys]
    channeldata: str
    policy: str


async def list_pointers(session: AsyncSession) -> list[ChannelPointer]:
    """Every channel's pointer. One statement reads them all, so that each pointer matches its publication."""
    rows = await session.execute(
        select(
            Channel.id,
            Channel.name,
            Channel.privacy,
            Publication.id,
            Publication.created_at,
            Publication.subdirs,
            Publication.channeldata,
            Policy.name,
        )
        .outerjoin(Publication, Publication.id == Channel.publication_id)
        .outerjoin(PolicyRevision, PolicyRevision.id == Publication.policy_revision_id)
        .outerjoin(Policy, Policy.id == PolicyRevision.policy_id)
    )
    return [
        ChannelPointer(
            channel_id,
            name,
            privacy == "public",
            publication_id,
            published_at,
            {
                subdir: SubdirKeys(blobs.index, blobs.run_exports, blobs.patch_instructions)
                for subdir, blobs in (subdirs or {}).items()
            },
            channeldata or "",
            policy or "",
        )
        for channel_id, name, privacy, publication_id, published_at, subdirs, channeldata, policy in rows
    ]


async def list_index_keys(session: AsyncSession, channel_id: int, subdir: str) -> list[str]:
    """The map keys of a subdir in every publication whose blobs still exist, newest first, each once."""
    rows = await session.scalars(
        select(Publication.subdirs[subdir]["index"].astext)
        .where(Publication.channel_id == channel_id, Publication.collected_at.is_(None))
        .order_by(Publication.number.desc())
    )
    return [key for key in dict.fromkeys(rows) if key]


@dataclass(frozen=True, slots=True)
class EvaluationInputs:
    """What decides about a channel's records now, whichever publication it serves.

    Without a policy, `policy` is empty and `policy_text` None.
    """

    name: str
    upstream: str
    mapping_channel: str
    policy: str
    policy_revision_id: int | None
    policy_text: str | None
    trusts_builds: bool


async def find_evaluation_inputs(session: AsyncSession, channel_id: int) -> EvaluationInputs | None:
    """The inputs of a channel; None when the channel is gone."""
    row = (
        await session.execute(
            select(
                Channel.name,
                Channel.upstream,
                Channel.mapping_channel,
                Policy.name,
                PolicyRevision.id,
                PolicyRevision.text,
                Channel.trust_build_statements,
            )
            .outerjoin(PolicyRevision, PolicyRevision.id == Channel.policy_revision_id)
            .outerjoin(Policy, Policy.id == PolicyRevision.policy_id)
            .where(Channel.id == channel_id)
        )
    ).one_or_none()
    if row is None:
        return None
    name, upstream, mapping_channel, policy, revision_id, text, trusts_builds = row
    return EvaluationInputs(name, upstream, mapping_channel, policy or "", revision_id, text, trusts_builds)
