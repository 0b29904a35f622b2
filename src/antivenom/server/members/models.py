"""Members, their sessions and tokens. Secrets are stored hashed only."""

from __future__ import annotations

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, OptionalAt


class Member(Base):
    __tablename__ = "member"

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]  # argon2id
    role: Mapped[str]  # "admin" | "author" | "reader"
    created_at: Mapped[At]
    must_change_password: Mapped[bool] = mapped_column(server_default="false")
    disabled_at: Mapped[OptionalAt]


class MemberSession(Base):
    __tablename__ = "member_session"

    id_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)  # sha256 of the cookie's value
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id", ondelete="CASCADE"), index=True)
    csrf: Mapped[str]
    created_at: Mapped[At]
    expires_at: Mapped[At]


class Token(Base):
    __tablename__ = "token"

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(unique=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)  # sha256: tokens have 256 random bits
    role: Mapped[str]
    created_at: Mapped[At]
    created_by: Mapped[str]
    expires_at: Mapped[OptionalAt]
    last_used_at: Mapped[OptionalAt]
    revoked_at: Mapped[OptionalAt]
