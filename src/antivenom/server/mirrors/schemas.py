"""What the API takes and answers about mirrors."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from antivenom.server.events.schemas import ProgressView, view_progress
from antivenom.server.mirrors.models import Mirror
from antivenom.server.mirrors.subdir_state import count_set_aside


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


class MirrorChange(BaseModel):
    """What is absent stays as it is; `every_s: null` means: only when asked."""

    model_config = ConfigDict(extra="forbid")

    upstream: str | None = None
    mode: Literal["passive", "active"] | None = None
    subdirs: list[str] | None = Field(default=None, max_length=50)
    specs: list[str] | None = Field(default=None, max_length=1000)
    every_s: int | None = None

    def over(self, mirror: Mirror) -> dict[str, Any]:
        """Every argument of update_mirror: what was sent over what is."""
        fields = ("upstream", "mode", "subdirs", "specs", "every_s")
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        given = {name: value for name, value in sent.items() if value is not None or name == "every_s"}
        return {name: getattr(mirror, name) for name in fields} | given


class MirrorView(BaseModel):
    channel: str
    upstream: str
    mode: str
    subdirs: list[str]
    specs: list[str]
    every_s: int | None
    state: str
    progress: ProgressView
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
            progress=view_progress(mirror.progress),
            last_error=mirror.last_error,
            failures=mirror.failures,
            set_aside=count_set_aside(mirror.subdir_states),
            last_sync_at=mirror.last_sync_at,
            last_success_at=mirror.last_success_at,
            next_sync_at=mirror.next_sync_at,
        )


class SetAsideView(BaseModel):
    subdir: str
    fn: str
    reason: str
