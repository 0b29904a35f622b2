"""The reasons of a decision as lists, problems and the API show them."""

from __future__ import annotations

from antivenom.core.policy.compile import Reason
from antivenom.server.web.rows import Row


class ReasonView(Row, frozen=True):
    """Why a rule stops or warns of a record. `action` is stop or warn."""

    rule_id: str
    gate: str
    trigger: str
    trigger_id: str
    action: str
    message: str
    recommendation: str

    @classmethod
    def of(cls, reason: Reason) -> ReasonView:
        """The reason as lists and problems show it."""
        return ReasonView(
            reason.rule_id,
            reason.gate,
            reason.trigger,
            reason.trigger_id,
            reason.action.name,
            reason.message,
            reason.recommendation,
        )
