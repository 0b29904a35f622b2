"""One actor plans so often and no more, whichever process they ask."""

from __future__ import annotations

import asyncio

import pytest

from antivenom.core.errors import TooManyRequestsError
from antivenom.server.channel_policies.plan_limits import PLANS_MAX, count_plan
from antivenom.server.context import Actor, Resources

READER, OTHER = Actor("member", "rita", "member"), Actor("member", "otto", "author")
ADMIN = Actor("member", "ana", "admin")


async def test_plans_of_one_actor_are_limited_and_nobody_elses(resources: Resources):
    asked = [count_plan(resources, READER) for _ in range(PLANS_MAX + 10)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(outcome, TooManyRequestsError) for outcome in outcomes) == 10
    with pytest.raises(TooManyRequestsError, match="member:rita planned more than 120 times") as refused:
        await count_plan(resources, READER)
    assert 0 < refused.value.data["retry_after_s"] <= 600
    await count_plan(resources, OTHER)


async def test_administrator_plans_as_often_as_they_like(resources: Resources):
    for _ in range(PLANS_MAX + 1):
        await count_plan(resources, ADMIN)
