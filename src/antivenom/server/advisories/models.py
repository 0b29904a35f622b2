"""Feeds, the advisories they brought, the entries set aside, exploitation facts and name maps."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, Document, OptionalAt, Texts


class Feed(Base):
    __tablename__ = "feed"

    id: Mapped[BigId]
    kind: Mapped[str]
    location: Mapped[str]
    every_s: Mapped[int | None]
    created_at: Mapped[At]
    is_demo: Mapped[bool] = mapped_column(server_default="false")
    state: Mapped[str] = mapped_column(server_default="new")  # new | syncing | ok | failed
    cursor: Mapped[Document]  # etag, last modified, digest of the last file, resume position
    progress: Mapped[Document]  # {"phase", "done", "total"} while syncing
    counts: Mapped[Document]  # {"entries", "added", "changed", "withdrawn", "set_aside"} of the last sync
    last_error: Mapped[str] = mapped_column(server_default="")
    failures: Mapped[int] = mapped_column(server_default="0")
    last_sync_at: Mapped[OptionalAt]
    next_sync_at: Mapped[OptionalAt]


class SetAsideEntry(Base):
    """An entry that could not be read; shown, never fatal."""

    __tablename__ = "set_aside_entry"

    feed_id: Mapped[int] = mapped_column(ForeignKey("feed.id", ondelete="CASCADE"), primary_key=True)
    entry: Mapped[str] = mapped_column(primary_key=True)  # id, or "line 12"
    reason: Mapped[str]
    at: Mapped[At]


class AdvisoryRow(Base):
    """One advisory of one feed. `body` is msgpack of core.advisories.Advisory; the columns are for search."""

    __tablename__ = "advisory"
    __table_args__ = (
        Index("ix_advisory_aliases", "aliases", postgresql_using="gin"),
        Index("ix_advisory_package_keys", "package_keys", postgresql_using="gin"),
        Index("ix_advisory_id", "id"),
    )

    feed_id: Mapped[int] = mapped_column(ForeignKey("feed.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    aliases: Mapped[Texts]
    package_keys: Mapped[Texts]  # "pypi/django", "cpe/openssl:openssl"
    summary: Mapped[str]
    severity: Mapped[int]
    cvss: Mapped[float | None]
    published_at: Mapped[OptionalAt]
    modified_at: Mapped[OptionalAt]
    withdrawn_at: Mapped[OptionalAt]
    flags: Mapped[Texts]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    changed_revision: Mapped[int] = mapped_column(BigInteger, index=True)


class Exploitation(Base):
    """KEV and EPSS by CVE id."""

    __tablename__ = "exploitation"

    cve: Mapped[str] = mapped_column(primary_key=True)
    epss: Mapped[float | None]
    epss_percentile: Mapped[float | None]
    epss_date: Mapped[str | None]
    kev_added: Mapped[str | None]
    kev_due: Mapped[str | None]
    kev_ransomware: Mapped[bool] = mapped_column(server_default="false")
    kev_name: Mapped[str | None]


class NameMapping(Base):
    """conda name to package in another ecosystem, or to CPE products."""

    __tablename__ = "name_mapping"
    __table_args__ = (Index("ix_name_mapping_conda_name", "conda_name"),)

    feed_id: Mapped[int] = mapped_column(ForeignKey("feed.id", ondelete="CASCADE"), primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)  # "conda-forge", or "" for any
    conda_name: Mapped[str] = mapped_column(primary_key=True)
    ecosystem: Mapped[str] = mapped_column(primary_key=True)  # "pypi", "cpe", or for purl-cpe rows the purl's type
    names: Mapped[list[str]] = mapped_column(ARRAY(Text))  # empty: known to be none


class KnowledgeRevision(Base):
    """One row a change of what we know (advisories, maps, KEV, EPSS); findings name the revision they came from."""

    __tablename__ = "knowledge_revision"

    id: Mapped[BigId]
    at: Mapped[At]
    cause: Mapped[str]
    package_keys: Mapped[Texts]  # what changed; empty with `everything`
    everything: Mapped[bool] = mapped_column(server_default="false")
    index_key: Mapped[str | None]  # blob with the compiled match index of this revision
