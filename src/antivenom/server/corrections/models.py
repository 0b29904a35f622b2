"""What people say is wrong about a package, as rows of knowledge; applied ones are in `knowledge_row`, too."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.core.feeds.correcting import Proposal, Row
from antivenom.server.db.base import At, Base, BigId, OptionalAt, StoredAs


class Correction(Base):
    """One correction; none is ever deleted."""

    __tablename__ = "correction"
    __table_args__ = (Index("ix_correction_state", "state"), Index("ix_correction_name", "name"))

    id: Mapped[BigId]
    state: Mapped[str]  # proposed | applied | declined | reverted
    kind: Mapped[str]  # core.feeds.correcting.CorrectionKind
    name: Mapped[str]  # the conda package
    vulnerability: Mapped[str] = mapped_column(server_default="")
    proposal: Mapped[Proposal] = mapped_column(StoredAs(Proposal))
    rows: Mapped[list[Row]] = mapped_column(StoredAs(list[Row]))
    proposed_at: Mapped[At]
    proposed_by: Mapped[str]
    applied_at: Mapped[OptionalAt]
    applied_by: Mapped[str] = mapped_column(server_default="")
    ended_at: Mapped[OptionalAt]  # declined or reverted
    ended_by: Mapped[str] = mapped_column(server_default="")
