"""Whether the models and a migrated database say the same; the test and `new.py` share it."""

from __future__ import annotations

from typing import Any

from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from antivenom.server import rooms
from antivenom.server.db.base import Base


def load_models() -> MetaData:
    """Every room's tables."""
    list(rooms.load("models"))
    return Base.metadata


def is_ours(name: str | None, kind: str, *_: Any) -> bool:
    """Leave the job queue's tables to procrastinate."""
    return not (kind == "table" and (name or "").startswith(("procrastinate_", "alembic_")))


def open_comparison(connection: Connection) -> MigrationContext:
    options = {"include_name": is_ours, "compare_type": True, "compare_server_default": True}
    return MigrationContext.configure(connection, opts=options)


def list_differences(connection: Connection) -> list[Any]:
    """What a migration would still have to do for the database to match the models; empty when they agree."""
    from alembic.autogenerate import compare_metadata

    return list(compare_metadata(open_comparison(connection), load_models()))
