"""The audit trail: what happened, to what, by whom; and when each periodic job was last due."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, Document


class Event(Base):
    __tablename__ = "event"
    __table_args__ = (Index("ix_event_subject_at", "subject", "at"), Index("ix_event_kind_at", "kind", "at"))

    id: Mapped[BigId]
    at: Mapped[At]
    actor: Mapped[str]  # "local", "token:NAME", "member:NAME", "system"
    kind: Mapped[str]  # past tense: "channel.created", "policy.revised", ...
    subject: Mapped[str]  # "channel:main"
    data: Mapped[Document]


class PeriodicTick(Base):
    """When a periodic job was last due, by the database's clock; see ticks.py."""

    __tablename__ = "periodic_tick"

    job: Mapped[str] = mapped_column(primary_key=True)
    every_s: Mapped[int]
    at: Mapped[At]


class RateLimit(Base):
    """How often something was done in the window that ends at `expires_at`; see rate_limits.py."""

    __tablename__ = "rate_limit"

    key: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    expires_at: Mapped[At] = mapped_column(index=True)
