"""Channels may trust build statements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("channel", sa.Column("trust_build_statements", sa.Boolean(), server_default="false", nullable=False))
    # Until now every statement counted: what is served because of one is decided anew.
    op.execute(
        "UPDATE channel SET wanted = wanted + 1, behind_since = now()"
        " WHERE publication_id IS NOT NULL AND EXISTS (SELECT FROM curation)"
    )
