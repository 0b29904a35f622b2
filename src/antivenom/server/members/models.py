"""Members, groups, roles and who holds them; sessions and tokens. Secrets are stored hashed only."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from antivenom.server.db.base import At, Base, BigId, Document, OptionalAt


class Role(Base):
    """A level for each category (core/rights.py); categories that are absent have the level none."""

    __tablename__ = "role"

    name: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str] = mapped_column(server_default="")
    levels: Mapped[Document]  # {"channels": "write", …}
    is_default: Mapped[bool] = mapped_column(server_default="false")  # one of a new installation: it cannot be removed


class Member(Base):
    __tablename__ = "member"

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]  # argon2id
    role: Mapped[str | None] = mapped_column(ForeignKey("role.name"), index=True)  # their own, for the installation
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
    role: Mapped[str | None] = mapped_column(ForeignKey("role.name"), index=True)  # its own, for the installation
    created_at: Mapped[At]
    created_by: Mapped[str]
    expires_at: Mapped[OptionalAt]
    last_used_at: Mapped[OptionalAt]
    revoked_at: Mapped[OptionalAt]


class MemberGroup(Base):
    __tablename__ = "member_group"

    id: Mapped[BigId]
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[At]
    created_by: Mapped[str]


class GroupMember(Base):
    """A member of a group, or a group whose members are members of it too. Groups never contain themselves."""

    __tablename__ = "group_member"
    __table_args__ = (
        CheckConstraint("num_nonnulls(member_id, child_id) = 1", name="one_member"),
        Index("uq_group_member", "group_id", "member_id", "child_id", unique=True, postgresql_nulls_not_distinct=True),
    )

    id: Mapped[BigId]
    group_id: Mapped[int] = mapped_column(ForeignKey("member_group.id", ondelete="CASCADE"))
    member_id: Mapped[int | None] = mapped_column(ForeignKey("member.id", ondelete="CASCADE"), index=True)
    child_id: Mapped[int | None] = mapped_column(ForeignKey("member_group.id", ondelete="CASCADE"), index=True)


class RoleGrant(Base):
    """A role that a member, a group, a token or (none of them) everyone holds, besides the one of their own."""

    __tablename__ = "role_grant"
    __table_args__ = (
        CheckConstraint("num_nonnulls(member_id, group_id, token_id) <= 1", name="one_holder"),
        Index(
            "uq_role_grant",
            *("role", "member_id", "group_id", "token_id", "channel"),
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: Mapped[BigId]
    role: Mapped[str] = mapped_column(ForeignKey("role.name"))
    member_id: Mapped[int | None] = mapped_column(ForeignKey("member.id", ondelete="CASCADE"), index=True)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("member_group.id", ondelete="CASCADE"), index=True)
    token_id: Mapped[int | None] = mapped_column(ForeignKey("token.id", ondelete="CASCADE"), index=True)
    # None: for the installation. Channels are a higher room; a grant for one ends with it.
    channel: Mapped[str | None] = mapped_column(ForeignKey("channel.name", ondelete="CASCADE"), index=True)
    created_at: Mapped[At]
    created_by: Mapped[str]
