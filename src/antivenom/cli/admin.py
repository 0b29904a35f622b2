"""`antivenom admin`: passwords, the audit trail, the state of the server."""

from __future__ import annotations

import itertools
from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption, parse_name
from antivenom.cli.client import client
from antivenom.cli.output import Output, count_of, emit, note

commands = typer.Typer(no_args_is_help=True)


@commands.command("reset-password")
def reset_password(
    name: Annotated[str, typer.Argument(parser=parse_name, help="The member.")] = "admin",
    output: OutputOption = Output.table,
) -> None:
    """Give a member a new random password, print it, and end their sessions."""
    answer = client().post(f"/api/v1/members/{name}/password", json={})
    if output is Output.json:
        emit(answer, None, output)
        return
    note(answer["password"], to_stdout=True)
    note(f"new password of {name}; it is shown this once")


@commands.command("events")
def events(
    kind: Annotated[str, typer.Option(help="Only this kind, such as policy.revised.")] = "",
    subject: Annotated[str, typer.Option(help="Only this subject, such as channel:main.")] = "",
    actor: Annotated[str, typer.Option(help="Only this actor, such as token:ci.")] = "",
    text: Annotated[str, typer.Option(help="Only those with this text anywhere.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 100,
    output: OutputOption = Output.table,
) -> None:
    """List what happened, to what and by whom, the newest first."""
    filters = {"kind": kind, "subject": subject, "actor": actor, "q": text}
    rows = itertools.islice(client().list_items("/api/v1/events", params=filters), limit)
    emit(rows, ("at", "actor", "kind", "subject", "data"), output)


@commands.command("status")
def status(output: OutputOption = Output.table) -> None:
    """Show which server answers, its version, and who you are to it."""
    me = client().get("/api/v1/me")
    emit({"url": client().url, "version": me["version"], "you": f"{me['kind']} ({me['role']})"}, None, output)


@commands.command("remove-demo")
def remove_demo(output: OutputOption = Output.table) -> None:
    """Remove the demo: its channel, its feeds with their advisories, its policy."""
    removed = client().delete("/api/v1/demo")
    if output is Output.json:
        emit(removed, None, output)
        return
    parts = ", ".join(count_of(count, what) for what, count in removed.items())
    note(f"removed the demo: {parts}" if any(removed.values()) else "there is no demo on this server")
