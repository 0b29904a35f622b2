"""What the API takes and answers about the policies of channels; see also plans.py."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PolicyText(BaseModel):
    """A policy as YAML or JSON."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=1_000_000)


class ChannelPolicyView(BaseModel):
    """The policy of a channel; `policy` and `revision` are null and `text` is empty when it has none."""

    policy: str | None
    revision: int | None
    text: str


class AttachedPolicy(BaseModel):
    """The revision of a policy that was attached to a channel."""

    channel: str
    policy: str
    revision: int


class RevisedPolicy(BaseModel):
    """The revision of a policy that was attached to every channel under it."""

    policy: str
    revision: int
    channels: list[str]
