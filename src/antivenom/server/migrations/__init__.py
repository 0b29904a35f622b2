"""The database's schema over time (Alembic), and bringing a database up to it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, create_engine, text

from antivenom.core.errors import UnavailableError
from antivenom.server.db.engine import database_url

HERE = Path(__file__).parent
# Any number that nobody else uses: processes that start together migrate one after another.
ADVISORY_LOCK = 0x616E7469
LOCK_TIMEOUT = "10s"  # a migration that would hold up a running server gives up instead


def migrate(url: str) -> None:
    """Bring the database to the newest schema; processes that start together wait for each other.

    Raises:
        UnavailableError: The database does not answer, or a lock could not be had in time.
    """
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.pool import NullPool

    engine = create_engine(database_url(url), poolclass=NullPool, connect_args={"connect_timeout": 10})
    try:
        with engine.connect() as connection:
            migrate_connection(connection)
    except OperationalError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        raise UnavailableError(
            f"the database cannot be brought up to date: {reason}",
            hint="is PostgreSQL running, and ANTIVENOM_DATABASE_URL right?",
        ) from None
    finally:
        engine.dispose()


def migrate_connection(connection: Connection) -> None:
    """As `migrate`, over an open connection outside a transaction."""
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
    try:
        connection.commit()
        if read_revision(connection) != HEAD:
            _upgrade(connection)
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        connection.commit()


def read_revision(connection: Connection) -> str | None:
    """The schema's revision in the database; None for an empty database."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


HEAD = max((path.name.partition("_")[0] for path in (HERE / "versions").glob("[0-9]*.py")), default="")
"""The newest revision: files are named by it, in order (0001_…, 0002_…)."""
