"""The migrations make exactly what the models say, once, however many start together."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, create_engine, text

from antivenom.core.errors import UnavailableError
from antivenom.server.adapters.stored_urls import request_url
from antivenom.server.db.engine import database_url as parse_url
from antivenom.server.migrations import HEAD, migrate, procrastinate, read_revision
from antivenom.server.migrations.comparison import list_differences
from antivenom.server.migrations.new import VERSIONS, list_edited, render_migration, write_migration
from tests.conftest import _execute, _url_of

NEW = 'write the next migration with: python -m antivenom.server.migrations.new "what it does"'


@pytest.fixture
def empty_database(postgres) -> Iterator[str]:
    _execute(postgres, "CREATE DATABASE empty_one")
    yield _url_of(postgres, "empty_one")
    _execute(postgres, "DROP DATABASE empty_one WITH (FORCE)")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A connection to a migrated database."""
    engine = create_engine(parse_url(database_url))
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def test_migrated_database_is_what_the_models_say(connection: Connection):
    assert read_revision(connection) == HEAD
    assert list_differences(connection) == [], NEW


def test_a_difference_would_be_seen(connection: Connection):
    connection.execute(text("ALTER TABLE token DROP COLUMN expires_at"))
    connection.execute(text("ALTER TABLE token ALTER COLUMN role TYPE varchar(3)"))
    assert len(list_differences(connection)) == 2
    connection.rollback()


# -- migrations that landed stay as they are, new ones are written from the models -------------------------------------


def test_migration_that_landed_is_never_edited():
    assert list_edited() == [], (
        "restore one that landed (git log says when), and write what it lacks as the next one; one that is new and was "
        "edited by hand needs: python -m antivenom.server.migrations.new --digest"
    )


def test_queue_of_procrastinate_is_the_one_that_landed():
    """0001 creates it as the installed version says: another version would be an edit of a migration that landed."""
    assert procrastinate.digest_of_schema() == procrastinate.SCHEMA_SHA256, procrastinate.__doc__


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """A copy of the folder of migrations."""
    return shutil.copytree(VERSIONS, tmp_path / "versions", ignore=shutil.ignore_patterns("__pycache__"))


def test_edited_lost_and_unlisted_migrations_are_seen(versions: Path):
    with (versions / "0001_initial.py").open("a") as file:
        file.write("# a new thought\n")
    (versions / "0999_extra.py").write_text("")
    assert list_edited(versions) == ["0001_initial.py", "0999_extra.py"]
    (versions / "0001_initial.py").unlink()
    assert list_edited(versions) == ["0001_initial.py", "0999_extra.py"]


def test_new_migration_is_empty_when_nothing_differs(connection: Connection):
    text = render_migration(connection, "fill in what is missing")
    assert text.startswith('"""Fill in what is missing."""\n')
    assert text.partition("def upgrade() -> None:\n")[2].strip() == "pass"


def test_new_migration_makes_the_database_what_the_models_say(connection: Connection, versions: Path):
    connection.execute(text("ALTER TABLE token DROP COLUMN expires_at"))
    connection.execute(text("DROP TABLE mirror"))
    path = write_migration(connection, "Add the mirrors, again!", versions)
    assert path.name == f"{int(HEAD) + 1:04}_add_the_mirrors_again.py"
    assert list_edited(versions) == []
    module = load_migration(path)
    assert module.down_revision == HEAD
    with Operations.context(MigrationContext.configure(connection)):
        module.upgrade()
    assert list_differences(connection) == []
    connection.rollback()


def load_migration(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("loaded_migration", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("location", "auth", "shown", "asked"),
    [
        ("https://a.example/x?k=s3cr3t", "", "https://a.example/x?k=***", ("https://a.example/x?k=s3cr3t", None)),
        (
            "https://a.example/x?k=s3cr3t",
            "basic:ana:s3cr3t@:/",
            "https://a.example/x?k=***",
            ("https://a.example/x?k=s3cr3t", ("ana", "s3cr3t@:/")),
        ),
        (
            "https://a.example/r/t/s3cr3t/main",
            "token:s3cr3t",
            "https://a.example/r/t/***/main",
            ("https://a.example/t/s3cr3t/r/t/s3cr3t/main", None),
        ),
        ("https://a.example/x", "basic:ana:p", "https://a.example/x", ("https://a.example/x", ("ana", "p"))),
        ("/srv/t/kev.json", "", "/srv/t/kev.json", ("/srv/t/kev.json", None)),
    ],
)
def test_secrets_that_an_earlier_release_showed_are_stored_apart(
    connection: Connection, location: str, auth: str, shown: str, asked: tuple[str, tuple[str, str] | None]
):
    made = {"location": location, "auth": auth, "failed": f"{location} answered 500"}
    insert = "INSERT INTO feed (kind, location, location_auth, created_at, last_error)"
    connection.execute(text(f"{insert} VALUES ('kev', :location, :auth, now(), :failed)"), made)
    event = "INSERT INTO event (at, actor, kind, subject, data) VALUES (now(), 'local', 'feed.added', 'feed:1',"
    connection.execute(text(f"{event} jsonb_build_object('location', CAST(:location AS text)))"), made)
    module = load_migration(VERSIONS / "0009_secrets_in_addresses_are_stored_apart.py")
    with Operations.context(MigrationContext.configure(connection)):
        module.upgrade()
    row = connection.execute(text("SELECT location, location_auth, last_error FROM feed WHERE kind = 'kev'")).one()
    assert (row.location, row.last_error) == (shown, f"{shown} answered 500")
    assert request_url(row.location, row.location_auth) == asked
    told = connection.execute(text("SELECT data FROM event WHERE kind = 'feed.added'")).scalars().all()
    assert told == [{"location": shown}]
    connection.rollback()


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
