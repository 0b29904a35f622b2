"""Components and what was found about them. Components are shared by everything that contains them."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import Base, BigId, Texts


class ComponentRow(Base):
    """A distinct (conda name, version, record purls) that has, or once had, findings.

    All that is known of it lies in the blobs of the publications that it is in (core/publishing/channel_findings.py):
    here it would be a hundred megabytes again.
    """

    __tablename__ = "component"
    __table_args__ = (UniqueConstraint("name", "version", "purls_key"),)

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(index=True)
    version: Mapped[str]
    purls_key: Mapped[str] = mapped_column(server_default="")  # "\n".join(sorted(purls)); "" when none
    knowledge_revision: Mapped[int] = mapped_column(BigInteger)


class FindingRow(Base):
    """One finding of one component; closed ones stay with `closed_revision` (findings are never deleted)."""

    __tablename__ = "finding"
    __table_args__ = (Index("ix_finding_ids", "ids", postgresql_using="gin"),)

    component_id: Mapped[int] = mapped_column(ForeignKey("component.id", ondelete="CASCADE"), primary_key=True)
    primary_id: Mapped[str] = mapped_column(primary_key=True)
    ids: Mapped[Texts]
    severity: Mapped[int]
    risk: Mapped[float]
    opened_revision: Mapped[int] = mapped_column(BigInteger)
    closed_revision: Mapped[int | None] = mapped_column(BigInteger)


class Curation(Base):
    """The statements of an artifact's own info/security.json (cleared, mitigated, … by CVE id)."""

    __tablename__ = "curation"

    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    fn: Mapped[str]
    statuses: Mapped[bytes] = mapped_column(LargeBinary)  # msgpack {cve: {"status", "note"}}
