"""Alembic's entry: run the migrations over the connection that `migrate` holds."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from antivenom.server.migrations import LOCK_TIMEOUT

connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    context.run_migrations()
