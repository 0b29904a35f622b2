"""`antivenom token`: what programs sign in with."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import typer

from antivenom.cli.client import client
from antivenom.cli.output import Output, emit, note
from antivenom.core.errors import InvalidInputError

commands = typer.Typer(help="Tokens: what programs sign in with.", no_args_is_help=True)

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for scripts.")]
COLUMNS = ("name", "role", "created_at", "created_by", "expires_at", "last_used_at", "revoked_at")
LIFE = re.compile(r"(\d{1,5})([hdwy])")
UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "y": timedelta(days=365)}


@commands.command("create")
def create(
    name: Annotated[str, typer.Option("--name", help="What will use it, such as ci or ana-laptop.")],
    role: Annotated[str, typer.Option(help="reader, author or admin.")] = "reader",
    expires: Annotated[
        str, typer.Option(help="After 12h, 30d, 8w, 1y; or at a date such as 2027-01-31. Default: never.")
    ] = "",
    output: OutputOption = Output.table,
) -> None:
    """Make a token and print it. Only its digest is kept, so this is the one time that it is shown."""
    body = {"name": name, "role": role, "expires_at": parse_expiry(expires, datetime.now(UTC))}
    answer = client().post("/api/v1/tokens", json=body)
    if output is Output.json:
        emit(answer, None, output)
        return
    note(answer["token"], to_stdout=True)
    note(f"token {name} ({answer['role']}) made; this is the only time that it is shown")
    note(f"use it as: conda install -c {client().url}/t/{answer['token']}/conda/CHANNEL PACKAGE")


def parse_expiry(text: str, now: datetime) -> str | None:
    """An expiry as the API wants it.

    Raises:
        InvalidInputError: Neither a length of time nor a date.
    """
    if not text:
        return None
    if found := LIFE.fullmatch(text.strip().lower()):
        return (now + int(found[1]) * UNITS[found[2]]).isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"--expires {text!r} is not understood", hint="such as 30d, 1y or 2027-01-31") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


@commands.command("list")
def list_tokens(output: OutputOption = Output.table) -> None:
    """List the tokens, revoked and expired ones too."""
    emit(_all_tokens(), COLUMNS, output)


def _all_tokens() -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    page = 1
    while True:
        answer = client().get("/api/v1/tokens", params={"page": page, "page_size": 500})
        items += answer["items"]
        if not answer["items"] or len(items) >= answer["total"]:
            return items
        page += 1


@commands.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="The token's name.")], output: OutputOption = Output.table) -> None:
    """End a token at once."""
    answer = client().delete(f"/api/v1/tokens/{quote(name, safe='')}")
    note(f"token {name} revoked")
    if output is Output.json:
        emit(answer, None, output)
