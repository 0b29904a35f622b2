"""Channels: names under which publications are served."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId


class Channel(Base):
    __tablename__ = "channel"

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(unique=True)  # ^[a-z][a-z0-9_-]*$
    description: Mapped[str] = mapped_column(server_default="")
    privacy: Mapped[str] = mapped_column(server_default="public")  # public | authenticated
    closure: Mapped[bool] = mapped_column(server_default="true")
    policy_revision_id: Mapped[int | None] = mapped_column(ForeignKey("policy_revision.id"))
    # Which publication is served: the one pointer that moves. No foreign key, for publication already points here.
    publication_id: Mapped[int | None] = mapped_column(BigInteger)
    # Where its records come from ("" when filled by uploads), and the channel whose name maps are the nearest.
    upstream: Mapped[str] = mapped_column(server_default="")
    mapping_channel: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[At]
    created_by: Mapped[str]
    is_demo: Mapped[bool] = mapped_column(server_default="false")
