"""What the API takes and answers about publications."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from antivenom.core.policy.compile import Reason


class RollbackTo(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int | None = None


class ChannelSummary(BaseModel):
    """A channel with what it serves now."""

    name: str
    description: str
    privacy: str
    closure: bool
    upstream: str
    created_at: datetime
    demo: bool
    publication: int | None
    published_at: datetime | None
    cause: str
    policy: str | None
    policy_revision: int | None
    subdirs: list[str]
    records: int
    kept: int
    withheld: int
    warned: int
    counts: dict[str, Any]


class PublicationView(BaseModel):
    number: int
    current: bool
    served: bool  # False: its blobs were thrown away
    created_at: datetime
    created_by: str
    cause: str
    policy: str | None
    policy_revision: int | None
    records: int
    kept: int
    withheld: int
    warned: int
    counts: dict[str, Any]


def reason_row(reason: Reason) -> dict[str, Any]:
    return {
        "rule_id": reason.rule_id,
        "gate": reason.gate,
        "trigger": reason.trigger,
        "trigger_id": reason.trigger_id,
        "action": reason.action.name,
        "message": reason.message,
        "recommendation": reason.recommendation,
    }
