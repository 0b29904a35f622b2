"""Mirrors: which upstream fills a channel, and how its last sync went."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, OptionalAt, StoredAs, Texts
from antivenom.server.events.progress import JobProgress
from antivenom.server.mirrors.subdir_state import HeldLosses, Selection, SubdirStates, UpstreamFile


class UnreadableArchive(Base):
    """A stored artifact that cannot be read within bounds: it is not tried again."""

    __tablename__ = "unreadable_archive"

    key: Mapped[str] = mapped_column(primary_key=True)  # of its blob
    fn: Mapped[str]
    reason: Mapped[str]
    at: Mapped[At]


class Mirror(Base):
    __tablename__ = "mirror"

    id: Mapped[BigId]
    channel_id: Mapped[int] = mapped_column(ForeignKey("channel.id", ondelete="CASCADE"), unique=True)
    upstream: Mapped[str]  # without secrets (adapters/stored_urls.py)
    upstream_auth: Mapped[str] = mapped_column(server_default="")
    mode: Mapped[str]  # "passive" | "active"
    subdirs: Mapped[Texts]
    specs: Mapped[Texts]
    every_s: Mapped[int | None]
    with_dependencies: Mapped[bool] = mapped_column(server_default="false")  # older mirrors take what they took
    by_shards: Mapped[bool] = mapped_column(server_default="true")
    created_at: Mapped[At]
    created_by: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="new")  # new | queued | syncing | ok | held | failed
    progress: Mapped[JobProgress] = mapped_column(StoredAs(JobProgress), server_default="{}")
    subdir_states: Mapped[SubdirStates] = mapped_column("upstream_state", StoredAs(SubdirStates), server_default="{}")
    channeldata: Mapped[UpstreamFile] = mapped_column(StoredAs(UpstreamFile), server_default="{}")
    selection: Mapped[Selection] = mapped_column(StoredAs(Selection), server_default="{}")
    # Keys of what the last sync has stored, for as long as the columns above do not name it.
    stored_keys: Mapped[Texts]
    held: Mapped[HeldLosses] = mapped_column(StoredAs(HeldLosses), server_default="{}")
    last_error: Mapped[str] = mapped_column(server_default="")
    failures: Mapped[int] = mapped_column(server_default="0")
    last_sync_at: Mapped[OptionalAt]
    last_success_at: Mapped[OptionalAt]
    next_sync_at: Mapped[OptionalAt]
    # When a sync last brought something new, and the longest time between two that did.
    changed_at: Mapped[OptionalAt]
    longest_gap_s: Mapped[int] = mapped_column(server_default="0")
    # While queued or syncing: whoever works on it renews this; past it, nobody does, and the sync starts again.
    lease_until: Mapped[OptionalAt]
