"""When a sync last brought something new."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feed", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("feed", sa.Column("longest_gap_s", sa.Integer(), server_default="0", nullable=False))
    op.add_column("mirror", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("mirror", sa.Column("longest_gap_s", sa.Integer(), server_default="0", nullable=False))
