"""Publications note their format."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("publication", sa.Column("format", sa.Integer(), server_default="0", nullable=False))
