"""What channels should serve, leases, periodic ticks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "periodic_tick",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("every_s", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_periodic_tick")),
    )
    op.add_column("channel", sa.Column("wanted", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("channel", sa.Column("applied", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("channel", sa.Column("behind_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("channel", sa.Column("publish_failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("channel", sa.Column("publish_error", sa.Text(), server_default="", nullable=False))
    op.add_column("channel", sa.Column("publish_retry_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("feed", sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("mirror", sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True))
