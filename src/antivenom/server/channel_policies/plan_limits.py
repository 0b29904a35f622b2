"""How often one actor may plan: a plan takes minutes of CPU at worst, and others want to plan too."""

from __future__ import annotations

from typing import Final

from limits import RateLimitItemPerMinute

from antivenom.core.errors import TooManyRequestsError
from antivenom.server.context import Actor, Resources
from antivenom.server.events.rate_limits import RateLimits
from antivenom.server.members.authorization import is_allowed

WINDOW_MIN: Final = 10
PLANS_MAX: Final = 120  # a form plans for every chosen channel
_PLANS = RateLimitItemPerMinute(PLANS_MAX, WINDOW_MIN, "plans")


async def count_plan(resources: Resources, actor: Actor) -> None:
    """Count one more plan of an actor. An administrator, who may do anything, plans as often as they like.

    Raises:
        TooManyRequestsError: There were too many.
    """
    if is_allowed(actor, "settings:manage"):
        return
    if refused := await RateLimits(resources.engine).count(_PLANS, actor.label):
        raise TooManyRequestsError(
            f"{actor.label} planned more than {PLANS_MAX} times in {WINDOW_MIN} minutes",
            hint=refused.hint,
            retry_after_s=refused.retry_after_s,
        )
