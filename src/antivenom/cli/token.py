"""`antivenom token`: what programs sign in with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption, parse_expiry, parse_name
from antivenom.cli.client import client
from antivenom.cli.output import Output, emit, note

commands = typer.Typer(no_args_is_help=True)

COLUMNS = ("name", "role", "created_at", "created_by", "expires_at", "last_used_at", "revoked_at")


@commands.command("create")
def create(
    name: Annotated[str, typer.Option("--name", help="What will use it, such as ci or ana-laptop.")],
    role: Annotated[str, typer.Option(help="A role: member, author, admin, one of your own, or none.")] = "member",
    expires: Annotated[
        str, typer.Option(help="After 12h, 30d, 8w, 1y, or on a date such as 2027-01-31. Default: never.")
    ] = "",
    output: OutputOption = Output.table,
) -> None:
    """Create a token and print it. Only its digest is stored, so it is shown this once."""
    body = {"name": name, "role": role, "expires_at": parse_expiry(expires, datetime.now(UTC))}
    answer = client().post("/api/v1/tokens", json=body)
    if output is Output.json:
        emit(answer, None, output)
        return
    note(answer["token"], to_stdout=True)
    note(f"token {name} ({answer['role']}) created; it is shown this once")
    note(f"use it as: conda install -c {client().url}/t/{answer['token']}/conda/CHANNEL PACKAGE")


@commands.command("list")
def list_tokens(output: OutputOption = Output.table) -> None:
    """List the tokens, revoked and expired ones too."""
    emit(client().list_items("/api/v1/tokens"), COLUMNS, output)


@commands.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(parser=parse_name, help="The token's name.")],
    output: OutputOption = Output.table,
) -> None:
    """End a token at once."""
    answer = client().delete(f"/api/v1/tokens/{name}")
    note(f"token {name} revoked")
    if output is Output.json:
        emit(answer, None, output)
