"""Reading policies and their revisions."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from antivenom.server.db.paging import Page, check_paging, order_by
from antivenom.server.policies.models import Policy, PolicyRevision

SORTS = {
    "name": (Policy.name,),
    "revision": (PolicyRevision.number, Policy.name),
    "revised": (PolicyRevision.created_at, Policy.name),
}


async def find_policy(session: AsyncSession, name: str, *, lock: bool = False) -> Policy | None:
    query = select(Policy).where(Policy.name == name)
    return await session.scalar(query.with_for_update() if lock else query)


async def find_latest_revision(session: AsyncSession, policy_id: int) -> PolicyRevision | None:
    return await session.scalar(
        select(PolicyRevision)
        .where(PolicyRevision.policy_id == policy_id)
        .order_by(PolicyRevision.number.desc())
        .limit(1)
    )


async def find_revision(session: AsyncSession, policy_id: int, number: int) -> PolicyRevision | None:
    return await session.scalar(
        select(PolicyRevision).where(PolicyRevision.policy_id == policy_id, PolicyRevision.number == number)
    )


async def page_policies(
    session: AsyncSession, *, q: str, sort: str, page: int, page_size: int
) -> Page[tuple[Policy, PolicyRevision]]:
    """Policies, each with its latest revision."""
    offset, limit = check_paging(page, page_size)
    latest = (
        select(PolicyRevision.policy_id, func.max(PolicyRevision.number).label("number"))
        .group_by(PolicyRevision.policy_id)
        .subquery()
    )
    query = (
        select(Policy, PolicyRevision)
        .join(latest, latest.c.policy_id == Policy.id)
        .join(PolicyRevision, (PolicyRevision.policy_id == Policy.id) & (PolicyRevision.number == latest.c.number))
    )
    if q:
        query = query.where(Policy.name.icontains(q, autoescape=True))
    total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = await session.execute(query.order_by(*order_by(sort, SORTS)).offset(offset).limit(limit))
    return Page([(policy, revision) for policy, revision in rows], total, page, page_size)


async def page_revisions(session: AsyncSession, policy_id: int, *, page: int, page_size: int) -> Page[PolicyRevision]:
    """Revisions of a policy, the newest first."""
    offset, limit = check_paging(page, page_size)
    of_policy = select(PolicyRevision).where(PolicyRevision.policy_id == policy_id)
    total = await session.scalar(select(func.count()).select_from(of_policy.subquery())) or 0
    rows = await session.scalars(of_policy.order_by(PolicyRevision.number.desc()).offset(offset).limit(limit))
    return Page(list(rows), total, page, page_size)
