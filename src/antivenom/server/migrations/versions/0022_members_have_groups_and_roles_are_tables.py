"""Members have groups and roles are tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_READABLE = (
    "channels",
    "subchannels",
    "mirrors",
    "artifacts",
    "policies",
    "exceptions",
    "advisories",
    "environments",
    "images",
    "alerts",
)
ROLES = {
    "admin": (
        "Everything.",
        {**dict.fromkeys((*_READABLE, "members", "settings"), "manage"), "audit": "read"},
    ),
    "author": (
        "Reads and edits what the installation serves and knows, and reads the audit trail.",
        {**dict.fromkeys(_READABLE, "write"), "audit": "read"},
    ),
    "member": ("Reads and downloads.", dict.fromkeys(_READABLE, "read")),
    "everyone": ("Held by anybody, also by those who are not signed in.", {}),
}
"""The roles of a new installation, as this release has them."""


def upgrade() -> None:
    op.create_table(
        "member_group",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member_group")),
        sa.UniqueConstraint("name", name=op.f("uq_member_group_name")),
    )
    op.create_table(
        "role",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("levels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default="false", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_role")),
    )
    role = sa.table(
        "role",
        sa.column("name", sa.Text()),
        sa.column("description", sa.Text()),
        sa.column("levels", postgresql.JSONB()),
        sa.column("is_default", sa.Boolean()),
    )
    op.bulk_insert(
        role,
        [
            {"name": name, "description": description, "levels": levels, "is_default": True}
            for name, (description, levels) in ROLES.items()
        ],
    )
    op.create_table(
        "group_member",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=True),
        sa.Column("child_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("num_nonnulls(member_id, child_id) = 1", name=op.f("ck_group_member_one_member")),
        sa.ForeignKeyConstraint(
            ["child_id"], ["member_group.id"], name=op.f("fk_group_member_child_id_member_group"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["member_group.id"], name=op.f("fk_group_member_group_id_member_group"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_group_member_member_id_member"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_member")),
    )
    op.create_index(op.f("ix_group_member_child_id"), "group_member", ["child_id"], unique=False)
    op.create_index(op.f("ix_group_member_member_id"), "group_member", ["member_id"], unique=False)
    op.create_index(
        "uq_group_member",
        "group_member",
        ["group_id", "member_id", "child_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "role_grant",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=True),
        sa.Column("group_id", sa.BigInteger(), nullable=True),
        sa.Column("token_id", sa.BigInteger(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("num_nonnulls(member_id, group_id, token_id) <= 1", name=op.f("ck_role_grant_one_holder")),
        sa.ForeignKeyConstraint(
            ["channel"], ["channel.name"], name=op.f("fk_role_grant_channel_channel"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["member_group.id"], name=op.f("fk_role_grant_group_id_member_group"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_role_grant_member_id_member"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["role"], ["role.name"], name=op.f("fk_role_grant_role_role")),
        sa.ForeignKeyConstraint(
            ["token_id"], ["token.id"], name=op.f("fk_role_grant_token_id_token"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_grant")),
    )
    op.create_index(op.f("ix_role_grant_channel"), "role_grant", ["channel"], unique=False)
    op.create_index(op.f("ix_role_grant_group_id"), "role_grant", ["group_id"], unique=False)
    op.create_index(op.f("ix_role_grant_member_id"), "role_grant", ["member_id"], unique=False)
    op.create_index(op.f("ix_role_grant_token_id"), "role_grant", ["token_id"], unique=False)
    op.create_index(
        "uq_role_grant",
        "role_grant",
        ["role", "member_id", "group_id", "token_id", "channel"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.alter_column("member", "role", existing_type=sa.TEXT(), nullable=True)
    op.alter_column("token", "role", existing_type=sa.TEXT(), nullable=True)
    # `reader` is called `member` now. A role that was none never granted anything.
    op.execute("UPDATE member SET role = 'member' WHERE role = 'reader'")
    op.execute("UPDATE token SET role = 'member' WHERE role = 'reader'")
    op.execute("UPDATE member SET role = NULL WHERE role NOT IN ('admin', 'author', 'member')")
    op.execute("UPDATE token SET role = NULL WHERE role NOT IN ('admin', 'author', 'member')")
    op.create_index(op.f("ix_member_role"), "member", ["role"], unique=False)
    op.create_foreign_key(op.f("fk_member_role_role"), "member", "role", ["role"], ["name"])
    op.create_index(op.f("ix_token_role"), "token", ["role"], unique=False)
    op.create_foreign_key(op.f("fk_token_role_role"), "token", "role", ["role"], ["name"])
