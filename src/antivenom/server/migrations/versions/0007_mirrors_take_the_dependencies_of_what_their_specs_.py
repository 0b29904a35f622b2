"""Mirrors take the dependencies of what their specs match."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mirror", sa.Column("with_dependencies", sa.Boolean(), server_default="false", nullable=False))
    op.add_column(
        "mirror", sa.Column("selection", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False)
    )
