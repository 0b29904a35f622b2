"""`antivenom member`: who may sign in, what they may do, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption, YesOption, confirm, parse_name
from antivenom.cli.client import JsonObject, client
from antivenom.cli.output import Output, emit, note
from antivenom.core.errors import InvalidInputError
from antivenom.core.rights import CATEGORIES

commands = typer.Typer(no_args_is_help=True)

COLUMNS = ("name", "role", "created_at", "disabled_at")
MemberArgument = Annotated[str, typer.Argument(metavar="NAME", parser=parse_name, help="The member's name.")]


@commands.command("list")
def list_members(output: OutputOption = Output.table) -> None:
    """List the members, disabled ones too."""
    emit(client().list_items("/api/v1/members"), COLUMNS, output)


@commands.command("show")
def show(name: MemberArgument, output: OutputOption = Output.table) -> None:
    """Show a member."""
    emit(client().get(f"/api/v1/members/{name}"), None, output)


@commands.command("add")
def add(
    name: MemberArgument,
    role: Annotated[str, typer.Option(help="Their own role, or none.")] = "member",
    output: OutputOption = Output.table,
) -> None:
    """Add a member and print their first password, which is shown this once."""
    answer = client().post("/api/v1/members", json={"name": name, "role": role})
    if output is Output.json:
        emit(answer, None, output)
        return
    note(answer["password"], to_stdout=True)
    note(f"member {name} ({answer['role']}) added; the password is shown this once")


@commands.command("edit")
def edit(
    name: MemberArgument,
    role: Annotated[str | None, typer.Option(help="Their own role, or none.")] = None,
    disable: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Sign them out and keep them out, or let them in again.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Change a member's own role, or whether they may sign in."""
    if role is None and disable is None:
        raise InvalidInputError("nothing to change", hint="--role ROLE, --disable or --enable")
    answer = client().patch(f"/api/v1/members/{name}", json={"role": role, "disabled": disable})
    if output is Output.json:
        emit(answer, None, output)
        return
    note(f"member {name}: {answer['role']}, {'disabled' if answer['disabled_at'] else 'may sign in'}")


@commands.command("remove")
def remove(name: MemberArgument, yes: YesOption = False, output: OutputOption = Output.table) -> None:
    """Remove a member with their sessions and grants. Tokens that they made stay."""
    if not yes:
        confirm(f"remove the member {name}?")
    client().delete(f"/api/v1/members/{name}")
    if output is Output.json:
        emit({"name": name, "removed": True}, None, output)
    note(f"member {name} removed")


@commands.command("explain")
def explain(
    name: MemberArgument,
    thing: Annotated[
        str, typer.Argument(metavar="[THING]", help="A channel, a category such as policies, or both: main:policies.")
    ] = "",
    output: OutputOption = Output.table,
) -> None:
    """Show what a member may do with a channel, or with the installation, and which roles give it to them."""
    channel, category = _read_thing(thing)
    answer = client().get(f"/api/v1/members/{name}/rights", params={"channel": channel} if channel else None)
    if category:
        answer["categories"] = [row for row in answer["categories"] if row["category"] == category]
    if output is Output.json:
        emit(answer, None, output)
        return
    rows = ({**row, "because": _describe(row["because"])} for row in answer["categories"])
    emit(rows, ("category", "level", "because"), output)
    if not channel and answer["channels"]:
        note(f"they may do more with: {', '.join(answer['channels'])}; antivenom member explain {name} CHANNEL")


def _read_thing(thing: str) -> tuple[str, str]:
    """(channel, category) of what was asked about; "" for none."""
    if thing in CATEGORIES:
        return "", thing
    channel, _, category = thing.removeprefix("channel:").partition(":")
    if category and category not in CATEGORIES:
        raise InvalidInputError(f"there is no category {category!r}", hint=f"one of {', '.join(CATEGORIES)}")
    return channel, category


def _describe(because: list[JsonObject]) -> str:
    places = (f"{why['role']}{' for ' + why['channel'] if why['channel'] else ''} ({why['via']})" for why in because)
    return "; ".join(places) or "no role of theirs gives it"
