"""Policies and their immutable revisions."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, Document


class Policy(Base):
    __tablename__ = "policy"

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[At]
    is_demo: Mapped[bool] = mapped_column(server_default="false")


class PolicyRevision(Base):
    __tablename__ = "policy_revision"
    __table_args__ = (UniqueConstraint("policy_id", "number"),)

    id: Mapped[BigId]
    policy_id: Mapped[int] = mapped_column(ForeignKey("policy.id", ondelete="CASCADE"))
    number: Mapped[int]  # 1, 2, 3 ... within the policy
    text: Mapped[str]  # as written, comments and all
    document: Mapped[Document]  # as parsed
    created_at: Mapped[At]
    created_by: Mapped[str]
