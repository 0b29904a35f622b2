"""Publications: immutable published indexes. A row names the blobs that hold the records."""

from __future__ import annotations

import msgspec
from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, OptionalAt, StoredAs
from antivenom.server.publications.counts import PublicationCounts


class SubdirBlobs(msgspec.Struct, frozen=True):
    """The blob keys of one subdir of a publication. `monolith` is `repodata.json.zst`, "" when there is none."""

    source: str
    index: str
    monolith: str = ""
    monolith_bytes: int = 0


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
    subdirs: Mapped[dict[str, SubdirBlobs]] = mapped_column(StoredAs(dict[str, SubdirBlobs]), server_default="{}")
    findings_key: Mapped[str | None]  # blob with the ChannelFindings of this publication
    counts: Mapped[PublicationCounts] = mapped_column(StoredAs(PublicationCounts), server_default="{}")
    holds_until: Mapped[OptionalAt]  # the earliest instant at which time alone changes a verdict
    collected_at: Mapped[OptionalAt]  # when it was retired: its blobs may be deleted, so it cannot be served
