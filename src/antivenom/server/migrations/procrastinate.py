"""The job queue's own tables, as the installed procrastinate defines them."""

from __future__ import annotations

import contextlib

from alembic import op


def create_queue() -> None:
    """Create procrastinate's schema. It has several statements and `%`, so it goes to the driver without parameters."""
    from procrastinate.schema import SchemaManager

    with contextlib.closing(op.get_bind().connection.cursor()) as cursor:
        cursor.execute(SchemaManager.get_schema())
