"""Publications name the upstream's channeldata."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("publication", sa.Column("channeldata", sa.Text(), server_default="", nullable=False))
