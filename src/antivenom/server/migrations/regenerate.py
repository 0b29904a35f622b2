"""Write versions/0001_initial.py from the models: `python -m antivenom.server.migrations.regenerate`.

Only until the first release. From then on a change of the models is a new file in `versions`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from sqlalchemy import create_engine

from antivenom.server.adapters.postgres import EmbeddedPostgres
from antivenom.server.db.engine import database_url
from antivenom.server.migrations import HERE
from antivenom.server.migrations.comparison import load_models, open_comparison

FILE = HERE / "versions" / "0001_initial.py"
HEAD = '''"""The first schema. Written from the models by regenerate.py; do not edit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from antivenom.server.migrations.procrastinate import create_queue

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_queue()
'''


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o755)
        database = EmbeddedPostgres(home)
        database.start()
        try:
            database.wait_ready()
            engine = create_engine(database_url(database.url))
            with engine.connect() as connection:
                script = produce_migrations(open_comparison(connection), load_models())
                code = render_python_code(script.upgrade_ops)  # type: ignore[arg-type]  # it was just produced
            engine.dispose()
        finally:
            database.stop()
    lines = [
        line
        for line in code.splitlines()
        if "commands auto generated" not in line and "end Alembic commands" not in line
    ]
    body = re.sub(
        r"(?<![.\w])Text\(\)", "sa.Text()", "\n".join(lines)
    )  # Alembic forgets the prefix inside JSONB and ARRAY
    FILE.write_text(f"{HEAD}{body}\n")
    for command in (["format"], ["check", "--fix"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--quiet", str(FILE)], check=True)


if __name__ == "__main__":
    main()
