"""Secrets in addresses are stored apart: also those in the middle of a path, in a query or in a fragment.

Where such an address was shown, in events and in failures, it is written anew without them.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

import sqlalchemy as sa
from alembic import op

from antivenom.core.redaction import redact_url

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ADDRESSES = (("mirror", "upstream", "upstream_auth"), ("feed", "location", "location_auth"))
SHOWN_IN = (("channel", "upstream"), ("mirror", "last_error"), ("feed", "last_error"))


def upgrade() -> None:
    connection = op.get_bind()
    for table, column, auth_column in ADDRESSES:
        rows = sa.table(table, sa.column("id"), sa.column(column), sa.column(auth_column))
        for row_id, address, auth in connection.execute(
            sa.select(rows.c.id, rows.c[column], rows.c[auth_column])
        ).all():
            shown = redact_url(address)
            if "://" not in address or shown == address:
                continue
            stored = {column: shown, auth_column: _whole(address, auth)}
            connection.execute(sa.update(rows).where(rows.c.id == row_id).values(stored))
            _hide(connection, address, shown)


def _whole(address: str, auth: str) -> str:
    """The address with user and password, or the token before the path, as an earlier release stored them."""
    kind, _, secret = auth.partition(":")
    parts = urlsplit(address)
    if kind == "basic":
        user = ":".join(quote(part, safe="") for part in secret.split(":", 1))
        return urlunsplit((parts.scheme, f"{user}@{parts.netloc}", *parts[2:]))
    if kind == "token":
        return urlunsplit((parts.scheme, parts.netloc, f"/t/{secret}{parts.path}", *parts[3:]))
    return address


def _hide(connection: sa.Connection, address: str, shown: str) -> None:
    values = {"old": address, "new": shown}
    statements = [
        f"UPDATE {table} SET {column} = replace({column}, :old, :new) WHERE strpos({column}, :old) > 0"  # noqa: S608  # constants
        for table, column in SHOWN_IN
    ]
    statements += ["UPDATE event SET data = replace(data::text, :old, :new)::jsonb WHERE strpos(data::text, :old) > 0"]
    for statement in statements:
        connection.execute(sa.text(statement), values)
