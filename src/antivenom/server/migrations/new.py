"""Write the next migration: `python -m antivenom.server.migrations.new "add notes to channel"`.

Starts a database of its own, migrates it, compares it with the models, and writes what is missing as the next numbered
file of `versions/`, with its digest in `landed.sha256`. Where nothing is missing, the upgrade is empty: write what it
does to stored rows by hand. After an edit by hand, `--digest` instead of the words renews its line.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from sqlalchemy import Connection, TypeDecorator, create_engine

from antivenom.server.adapters.postgres import EmbeddedPostgres
from antivenom.server.db.engine import database_url
from antivenom.server.migrations import HEAD, HERE, migrate_connection
from antivenom.server.migrations.comparison import load_models, open_comparison

VERSIONS = HERE / "versions"
LANDED = "landed.sha256"  # lines of `sha256sum`, one for each file
TEMPLATE = '''"""{what}"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "{revision}"
down_revision = "{down_revision}"
branch_labels = None
depends_on = None


def upgrade() -> None:
{body}
'''


def list_migrations(folder: Path = VERSIONS) -> list[Path]:
    """The migrations, in the order in which they run."""
    return sorted(folder.glob("[0-9]*.py"))


def read_digests(folder: Path = VERSIONS) -> dict[str, str]:
    """The sha256 of each landed migration by its file name."""
    lines = (folder / LANDED).read_text().splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def digest_of(path: Path) -> str:
    """The sha256 of a file, as `landed.sha256` holds it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def list_edited(folder: Path = VERSIONS) -> list[str]:
    """The migrations that are not what their line says, have no line, or have only a line left."""
    found = {path.name: digest_of(path) for path in list_migrations(folder)}
    landed = read_digests(folder)
    return sorted(name for name in found.keys() | landed.keys() if found.get(name) != landed.get(name))


def write_digest(path: Path) -> None:
    """Note the digest of the newest migration; those of older ones stay, for they landed."""
    digests = read_digests(path.parent) | {path.name: digest_of(path)}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(digests.items())]
    (path.parent / LANDED).write_text("".join(lines))


def render_migration(connection: Connection, what: str, *, after: str = HEAD) -> str:
    """The text of the migration that makes the connection's database what the models say."""
    context = open_comparison(connection)
    script = produce_migrations(context, load_models())
    operations: Any = script.upgrade_ops  # not None: it was just produced
    code = render_python_code(operations, render_item=_render_stored_type, migration_context=context)
    body = "\n".join(line for line in code.splitlines() if not line.strip().startswith("# ###"))
    summary = what[:1].upper() + what[1:].rstrip(".") + "."
    revision = f"{int(after or 0) + 1:04}"
    return TEMPLATE.format(what=summary, revision=revision, down_revision=after, body=body)


def _render_stored_type(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """A type of ours as the one that it is stored as: a migration must not follow our code when that changes."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return "postgresql.JSONB(astext_type=sa.Text())"
    return False


def write_migration(connection: Connection, what: str, folder: Path = VERSIONS) -> Path:
    """Write the next migration into a folder of migrations and note its digest; its path."""
    newest = list_migrations(folder)[-1].name.partition("_")[0]
    slug = re.sub(r"[^a-z0-9]+", "_", what.lower()).strip("_")[:50]
    path = folder / f"{int(newest) + 1:04}_{slug}.py"
    path.write_text(render_migration(connection, what, after=newest))
    for command in (["format"], ["check", "--fix", "--exit-zero"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--quiet", str(path)], check=True)
    write_digest(path)
    return path


@contextmanager
def open_migrated_database() -> Iterator[Connection]:
    """A connection to a new database at the newest migration, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o755)
        database = EmbeddedPostgres(home)
        database.start()
        try:
            database.wait_ready()
            engine = create_engine(database_url(database.url))
            with engine.connect() as connection:
                migrate_connection(connection)
                yield connection
            engine.dispose()
        finally:
            database.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", help="what the migration does, such as 'add notes to channel'")
    parser.add_argument("--digest", action="store_true", help="only renew the digest of the newest migration")
    options = parser.parse_args()
    if options.digest:
        path = list_migrations()[-1]
        write_digest(path)
    elif options.what:
        with open_migrated_database() as connection:
            path = write_migration(connection, options.what)
    else:
        parser.error("say what the migration does")
    print(path)  # noqa: T201  # what the command is asked for


if __name__ == "__main__":
    main()
