"""What the API takes and answers about mirrors."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from antivenom.server.events.schemas import ProgressView, view_progress
from antivenom.server.mirrors.models import Mirror
from antivenom.server.mirrors.service import MirrorSettings, NotedRecord, SetAsideRecord, freshness_of
from antivenom.server.mirrors.subdir_state import count_noted, count_set_aside, list_absent, list_found, list_warnings


class MirrorCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    channel: str
    upstream: str
    mode: Literal["passive", "active"] = "passive"
    subdirs: list[str] = Field(default_factory=list, max_length=50)
    specs: list[str] = Field(default_factory=list, max_length=1000)
    policy: str | None = None
    every_s: int | None = None
    shards: bool = True
    with_dependencies: bool = True
    closure: bool = True


class MirrorChange(BaseModel):
    """What is absent stays as it is; `every_s: null` means only on request."""

    model_config = ConfigDict(extra="forbid")

    upstream: str | None = None
    mode: Literal["passive", "active"] | None = None
    subdirs: list[str] | None = Field(default=None, max_length=50)
    specs: list[str] | None = Field(default=None, max_length=1000)
    every_s: int | None = None
    shards: bool | None = None
    with_dependencies: bool | None = None

    def applied_to(self, mirror: Mirror) -> MirrorSettings:
        """The mirror's settings with what was sent in its place."""
        return MirrorSettings(
            upstream=mirror.upstream if self.upstream is None else self.upstream,
            mode=mirror.mode if self.mode is None else self.mode,
            subdirs=mirror.subdirs if self.subdirs is None else self.subdirs,
            specs=mirror.specs if self.specs is None else self.specs,
            every_s=self.every_s if "every_s" in self.model_fields_set else mirror.every_s,
            by_shards=mirror.by_shards if self.shards is None else self.shards,
            with_dependencies=mirror.with_dependencies if self.with_dependencies is None else self.with_dependencies,
        )


class HeldView(BaseModel):
    """How many records a subdir had, and how many its upstream lists now."""

    before: int
    now: int


class MirrorView(BaseModel):
    channel: str
    upstream: str
    mode: str
    subdirs: list[str]
    specs: list[str]
    every_s: int | None
    shards: bool
    with_dependencies: bool
    unmet: list[str]
    unmet_total: int
    state: str
    progress: ProgressView
    last_error: str
    failures: int
    subdirs_found: list[str]
    subdirs_absent: list[str]
    set_aside: int
    noted: int
    warnings: list[str]
    held: dict[str, HeldView]
    last_sync_at: datetime | None
    last_success_at: datetime | None
    next_sync_at: datetime | None
    changed_at: datetime | None  # when a sync last brought something new
    stale: str  # why no sync succeeded for too long; "" when one did
    frozen: str  # why it is odd that nothing new came; "" when it is not

    @classmethod
    def of(cls, channel: str, mirror: Mirror, now: datetime) -> MirrorView:
        freshness = freshness_of(mirror, now)
        return cls(
            channel=channel,
            upstream=mirror.upstream,
            mode=mirror.mode,
            subdirs=mirror.subdirs,
            specs=mirror.specs,
            every_s=mirror.every_s,
            shards=mirror.by_shards,
            with_dependencies=mirror.with_dependencies,
            unmet=list(mirror.selection.unmet),
            unmet_total=mirror.selection.unmet_count,
            state=mirror.state,
            progress=view_progress(mirror.progress),
            last_error=mirror.last_error,
            failures=mirror.failures,
            subdirs_found=list_found(mirror.subdir_states),
            subdirs_absent=list_absent(mirror.subdir_states),
            set_aside=count_set_aside(mirror.subdir_states),
            noted=count_noted(mirror.subdir_states),
            held={subdir: HeldView(before=loss.before, now=loss.now) for subdir, loss in mirror.held.items()},
            warnings=list_warnings(mirror.subdir_states),
            last_sync_at=mirror.last_sync_at,
            last_success_at=mirror.last_success_at,
            next_sync_at=mirror.next_sync_at,
            changed_at=mirror.changed_at,
            stale=freshness.stale,
            frozen=freshness.frozen,
        )


class NotedRecordView(BaseModel):
    """A record of the upstream that was put in order before it is served, and how."""

    subdir: str
    fn: str
    note: str

    @classmethod
    def of(cls, record: NotedRecord) -> NotedRecordView:
        return cls(subdir=record.subdir, fn=record.fn, note=record.note)


class SetAsideRecordView(BaseModel):
    """A record of the upstream that is not mirrored, because it breaks a rule that clients rely on."""

    subdir: str
    fn: str
    reason: str

    @classmethod
    def of(cls, record: SetAsideRecord) -> SetAsideRecordView:
        return cls(subdir=record.subdir, fn=record.fn, reason=record.reason)
