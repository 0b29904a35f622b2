"""The job queue's own tables, as the installed procrastinate defines them.

A procrastinate with another schema must come with a migration: databases that exist have the old one, new ones get its
own. The migration runs the files of `procrastinate/sql/migrations` that a database lacks; then renew the digest here.
"""

from __future__ import annotations

import contextlib
import hashlib

from alembic import op

SCHEMA_SHA256 = "c70ec4b400a60ad9592787653aae5ae77ae41bf801d56b5bd2712751a07f2009"


def create_queue() -> None:
    """Create procrastinate's tables. The text has several statements and `%`, so it takes no parameters."""
    with contextlib.closing(op.get_bind().connection.cursor()) as cursor:
        cursor.execute(_read_schema())


def digest_of_schema() -> str:
    """The sha256 of the schema that the installed procrastinate creates."""
    return hashlib.sha256(_read_schema().encode()).hexdigest()


def _read_schema() -> str:
    from procrastinate.schema import SchemaManager

    return SchemaManager.get_schema()
