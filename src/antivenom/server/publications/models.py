"""Publications: immutable published indexes. Records live in blobs; a row names the blobs."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, Document, OptionalAt


class Publication(Base):
    __tablename__ = "publication"
    __table_args__ = (UniqueConstraint("channel_id", "number"),)

    id: Mapped[BigId]
    channel_id: Mapped[int] = mapped_column(ForeignKey("channel.id", ondelete="CASCADE"))
    number: Mapped[int]  # 1, 2, 3 ... within the channel
    created_at: Mapped[At]
    created_by: Mapped[str]
    cause: Mapped[str]  # "sync", "policy", "advisories", "time", "curation"
    policy_revision_id: Mapped[int | None] = mapped_column(ForeignKey("policy_revision.id"))
    knowledge_revision: Mapped[int] = mapped_column(BigInteger)
    # {subdir: {"source", "index", "monolith": blob keys, "monolith_bytes"}}
    subdirs: Mapped[Document]
    findings_key: Mapped[str | None]  # blob with findings.ChannelFindings of this publication
    counts: Mapped[Document]  # {"records", "kept", "withheld", "warned", "by_rule": {...}, "by_severity": {...}, ...}
    holds_until: Mapped[OptionalAt]  # the earliest instant at which time alone changes a verdict
    collected_at: Mapped[OptionalAt]  # its blobs were thrown away; it can no longer be served
