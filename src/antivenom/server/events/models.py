"""The audit trail: what happened, to what, by whom."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

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
