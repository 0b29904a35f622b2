"""Publications: immutable published indexes. A row names the blobs that hold the records."""

from __future__ import annotations

import msgspec
from sqlalchemy import BigInteger, ForeignKey, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.core.publication.client_documents import ChannelKeys, SubdirKeys
from antivenom.server.db.base import At, Base, BigId, OptionalAt, StoredAs
from antivenom.server.publications.counts import PublicationCounts


class SubdirBlobs(msgspec.Struct, frozen=True):
    """The blob keys of one subdir of a publication. `monolith` is `repodata.json.zst`, "" when there is none.

    `run_exports` and `patch_instructions` are the upstream's files as they came; "" when it has none.
    """

    source: str
    index: str
    monolith: str = ""
    monolith_bytes: int = 0
    run_exports: str = ""
    patch_instructions: str = ""


class ArtifactIndexRow(Base):
    """What a fetched artifact's own info/index.json says, whether the artifact was taken or refused."""

    __tablename__ = "artifact_index"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)  # the sha256; the md5 where there is no other
    said: Mapped[bytes] = mapped_column(LargeBinary)  # msgpack of ArtifactIndex


class UpstreamDocuments(msgspec.Struct, frozen=True):
    """The blob keys of what an upstream publishes beside its records; the first two by subdir, where it has them."""

    run_exports: dict[str, str] = {}
    patch_instructions: dict[str, str] = {}
    channeldata: str = ""


class Publication(Base):
    __tablename__ = "publication"
    __table_args__ = (UniqueConstraint("channel_id", "number"),)

    id: Mapped[BigId]
    channel_id: Mapped[int] = mapped_column(ForeignKey("channel.id", ondelete="CASCADE"))
    number: Mapped[int]  # 1, 2, 3 ... within the channel
    created_at: Mapped[At]
    created_by: Mapped[str]
    cause: Mapped[str]  # "sync", "policy", "advisories", "time", "curation", "repair", "format", "request"
    policy_revision_id: Mapped[int | None] = mapped_column(ForeignKey("policy_revision.id"))
    knowledge_revision: Mapped[int] = mapped_column(BigInteger)
    subdirs: Mapped[dict[str, SubdirBlobs]] = mapped_column(StoredAs(dict[str, SubdirBlobs]), server_default="{}")
    channeldata: Mapped[str] = mapped_column(server_default="")  # blob: the upstream's channeldata.json as it came
    findings_key: Mapped[str | None]  # blob with the ChannelFindings of this publication
    format: Mapped[int] = mapped_column(server_default="0")  # of its maps; 0: a release that did not note it
    counts: Mapped[PublicationCounts] = mapped_column(StoredAs(PublicationCounts), server_default="{}")
    holds_until: Mapped[OptionalAt]  # the earliest instant at which time alone changes a verdict
    collected_at: Mapped[OptionalAt]  # when it was retired: its blobs may be deleted, so it cannot be served

    def client_documents(self) -> ChannelKeys:
        """What the documents for clients are made of."""
        subdirs = (SubdirKeys(s.index, s.run_exports, s.patch_instructions) for s in self.subdirs.values())
        return ChannelKeys(tuple(subdirs), self.channeldata)

    def upstream_documents(self) -> UpstreamDocuments:
        """What the upstream published beside the records."""
        return UpstreamDocuments(
            {subdir: blobs.run_exports for subdir, blobs in self.subdirs.items() if blobs.run_exports},
            {subdir: blobs.patch_instructions for subdir, blobs in self.subdirs.items() if blobs.patch_instructions},
            self.channeldata,
        )
