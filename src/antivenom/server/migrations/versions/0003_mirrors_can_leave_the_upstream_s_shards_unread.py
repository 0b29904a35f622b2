"""Mirrors can leave the upstream's shards unread."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mirror", sa.Column("by_shards", sa.Boolean(), server_default="true", nullable=False))
