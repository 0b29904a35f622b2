"""Mirrors hold losses back and keep channeldata."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "mirror", sa.Column("channeldata", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False)
    )
    op.add_column(
        "mirror", sa.Column("held", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False)
    )
