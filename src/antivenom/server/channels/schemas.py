"""What the API takes and answers about channels."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from antivenom.server.channels.models import Channel


class ChannelCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    description: str = ""
    privacy: Literal["public", "authenticated"] = "public"
    closure: bool = True


class ChannelUpdate(BaseModel):
    """What is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

    description: str | None = None
    privacy: Literal["public", "authenticated"] | None = None
    closure: bool | None = None
    trust_build_statements: bool | None = None


class ChannelView(BaseModel):
    name: str
    description: str
    privacy: str
    closure: bool
    trust_build_statements: bool
    created_at: datetime
    created_by: str
    demo: bool

    @classmethod
    def of(cls, channel: Channel) -> ChannelView:
        return cls(
            name=channel.name,
            description=channel.description,
            privacy=channel.privacy,
            closure=channel.closure,
            trust_build_statements=channel.trust_build_statements,
            created_at=channel.created_at,
            created_by=channel.created_by,
            demo=channel.is_demo,
        )
