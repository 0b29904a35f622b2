"""Reads which channels are under which policy."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.server.channels.models import Channel
from antivenom.server.channels.queries import is_among
from antivenom.server.policies.models import Policy, PolicyRevision


async def channels_under_policy(
    session: AsyncSession, policy_id: int, *, among: Collection[str] | None = None, lock: bool = False
) -> list[Channel]:
    """Those of the channels (None: of all) with any revision of the policy attached, by name.

    To lock them by id, in which all are locked.
    """
    query = (
        select(Channel)
        .join(PolicyRevision, PolicyRevision.id == Channel.policy_revision_id)
        .where(PolicyRevision.policy_id == policy_id, is_among(among))
        .order_by(Channel.id if lock else Channel.name)
    )
    return list(await session.scalars(query.with_for_update(of=Channel) if lock else query))


async def names_under_policy(session: AsyncSession, name: str) -> list[str]:
    """The names of the channels with any revision of the policy of that name attached."""
    query = (
        select(Channel.name)
        .join(PolicyRevision, PolicyRevision.id == Channel.policy_revision_id)
        .join(Policy, Policy.id == PolicyRevision.policy_id)
        .where(Policy.name == name)
        .order_by(Channel.name)
    )
    return list(await session.scalars(query))


async def count_channels_by_policy(session: AsyncSession, *, among: Collection[str] | None) -> dict[int, int]:
    """How many of those channels (None: of all) are under each policy, by policy id; policies without are absent."""
    query = (
        select(PolicyRevision.policy_id, func.count())
        .join(Channel, Channel.policy_revision_id == PolicyRevision.id)
        .where(is_among(among))
    )
    return {row[0]: row[1] for row in await session.execute(query.group_by(PolicyRevision.policy_id))}
