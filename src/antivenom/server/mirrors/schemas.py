"""What the API takes and answers about mirrors."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from antivenom.server.mirrors.models import Mirror


class MirrorCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    channel: str
    upstream: str
    mode: Literal["passive", "active"] = "passive"
    subdirs: list[str] = Field(default_factory=list, max_length=50)
    specs: list[str] = Field(default_factory=list, max_length=1000)
    policy: str | None = None
    every_s: int | None = None
    closure: bool = True


class MirrorView(BaseModel):
    channel: str
    upstream: str
    mode: str
    subdirs: list[str]
    specs: list[str]
    every_s: int | None
    state: str
    progress: dict[str, Any]
    last_error: str
    failures: int
    set_aside: int
    last_sync_at: datetime | None
    last_success_at: datetime | None
    next_sync_at: datetime | None

    @classmethod
    def of(cls, channel: str, mirror: Mirror) -> MirrorView:
        return cls(
            channel=channel,
            upstream=mirror.upstream,
            mode=mirror.mode,
            subdirs=mirror.subdirs,
            specs=mirror.specs,
            every_s=mirror.every_s,
            state=mirror.state,
            progress=mirror.progress,
            last_error=mirror.last_error,
            failures=mirror.failures,
            set_aside=sum(s.get("set_aside", 0) for s in mirror.upstream_state.values()),
            last_sync_at=mirror.last_sync_at,
            last_success_at=mirror.last_success_at,
            next_sync_at=mirror.next_sync_at,
        )
