"""Mirrors: which upstream fills a channel, and how its last sync went."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, Document, OptionalAt, Texts


class Mirror(Base):
    __tablename__ = "mirror"

    id: Mapped[BigId]
    channel_id: Mapped[int] = mapped_column(ForeignKey("channel.id", ondelete="CASCADE"), unique=True)
    upstream: Mapped[str]  # no credentials: they are in `upstream_auth`
    upstream_auth: Mapped[str] = mapped_column(server_default="")
    mode: Mapped[str]  # "passive" | "active"
    subdirs: Mapped[Texts]
    specs: Mapped[Texts]
    every_s: Mapped[int | None]
    created_at: Mapped[At]
    created_by: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="new")  # new | syncing | ok | failed
    progress: Mapped[Document]  # {"phase", "done", "total", "subdir"} while syncing
    upstream_state: Mapped[Document]  # {subdir: {"etag", "last_modified", "digest", "source": blob key}}
    last_error: Mapped[str] = mapped_column(server_default="")
    failures: Mapped[int] = mapped_column(server_default="0")
    last_sync_at: Mapped[OptionalAt]
    last_success_at: Mapped[OptionalAt]
    next_sync_at: Mapped[OptionalAt]
