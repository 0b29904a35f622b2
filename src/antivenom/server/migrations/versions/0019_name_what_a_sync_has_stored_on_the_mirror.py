"""Name what a sync has stored on the mirror."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mirror", sa.Column("stored_keys", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False))
