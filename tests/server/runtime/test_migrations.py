"""The migrations make exactly what the models say, once, however many start together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import create_engine, text

from antivenom.core.errors import UnavailableError
from antivenom.server.db.engine import database_url as parse_url
from antivenom.server.migrations import HEAD, migrate, read_revision
from antivenom.server.migrations.comparison import list_differences
from tests.conftest import _execute, _url_of


@pytest.fixture
def empty_database(postgres) -> Iterator[str]:
    _execute(postgres, "CREATE DATABASE empty_one")
    yield _url_of(postgres, "empty_one")
    _execute(postgres, "DROP DATABASE empty_one WITH (FORCE)")


def test_migrated_database_is_what_the_models_say(database_url: str):
    engine = create_engine(parse_url(database_url))
    with engine.connect() as connection:
        assert read_revision(connection) == HEAD
        assert list_differences(connection) == [], "run: python -m antivenom.server.migrations.regenerate"
    engine.dispose()


def test_a_difference_would_be_seen(database_url: str):
    engine = create_engine(parse_url(database_url))
    with engine.connect() as connection:
        connection.execute(text("ALTER TABLE token DROP COLUMN expires_at"))
        connection.execute(text("ALTER TABLE token ALTER COLUMN role TYPE varchar(3)"))
        assert len(list_differences(connection)) == 2
        connection.rollback()
    engine.dispose()


async def test_processes_that_start_together_migrate_once(empty_database: str):
    await asyncio.gather(*(asyncio.to_thread(migrate, empty_database) for _ in range(4)))
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


def test_migration_that_fails_leaves_nothing(empty_database: str, monkeypatch: pytest.MonkeyPatch):
    from alembic import op

    create = op.create_table
    made = []

    def fail_at_third(name: str, *arguments: object, **options: object) -> object:
        made.append(name)
        if len(made) == 3:
            raise RuntimeError("power cut")
        return create(name, *arguments, **options)

    monkeypatch.setattr(op, "create_table", fail_at_third)
    with pytest.raises(RuntimeError):
        migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    monkeypatch.undo()
    migrate(empty_database)


def test_database_that_does_not_answer_is_said_so():
    with pytest.raises(UnavailableError, match="cannot be brought up to date"):
        migrate("postgresql://127.0.0.1:1/none")
