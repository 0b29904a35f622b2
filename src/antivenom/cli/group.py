"""`antivenom group`: members who hold the same roles."""

from __future__ import annotations

from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption, YesOption, confirm, parse_name
from antivenom.cli.client import client
from antivenom.cli.output import Output, emit, note
from antivenom.core.errors import InvalidInputError

commands = typer.Typer(no_args_is_help=True)

COLUMNS = ("name", "members", "groups", "description")
GroupArgument = Annotated[str, typer.Argument(metavar="GROUP", parser=parse_name, help="The group's name.")]
DescriptionOption = Annotated[str, typer.Option("--description", help="What the group is for.")]
AddOption = Annotated[list[str] | None, typer.Option("--add", metavar="WHO", help="member:NAME or group:NAME.")]
TakeOption = Annotated[list[str] | None, typer.Option("--take", metavar="WHO", help="member:NAME or group:NAME.")]


@commands.command("list")
def list_groups(output: OutputOption = Output.table) -> None:
    """List the groups, with how many members and groups are directly in them."""
    emit(client().get("/api/v1/groups")["items"], COLUMNS, output)


@commands.command("show")
def show(name: GroupArgument, output: OutputOption = Output.table) -> None:
    """Show a group, who is directly in it, and the groups that it is in."""
    emit(client().get(f"/api/v1/groups/{name}"), None, output)


@commands.command("add")
def add(
    name: GroupArgument,
    description: DescriptionOption = "",
    add: AddOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Add a group, with members at once where --add names some."""
    client().post("/api/v1/groups", json={"name": name, "description": description})
    for who in add or ():
        client().post(f"/api/v1/groups/{name}/members", json={"member": _who(who)})
    _tell(name, output)


@commands.command("edit")
def edit(
    name: GroupArgument,
    add: AddOption = None,
    take: TakeOption = None,
    description: Annotated[str | None, typer.Option("--description", help="What the group is for.")] = None,
    output: OutputOption = Output.table,
) -> None:
    """Put members or groups into a group (--add), take some out (--take), or say what it is for."""
    if not add and not take and description is None:
        raise InvalidInputError("nothing to change", hint="--add WHO, --take WHO or --description TEXT")
    if description is not None:
        client().patch(f"/api/v1/groups/{name}", json={"description": description})
    for who in add or ():
        client().post(f"/api/v1/groups/{name}/members", json={"member": _who(who)})
    for who in take or ():
        client().delete(f"/api/v1/groups/{name}/members/{_who(who)}")
    _tell(name, output)


@commands.command("remove")
def remove(name: GroupArgument, yes: YesOption = False, output: OutputOption = Output.table) -> None:
    """Remove a group; its members stay, without what it gave them."""
    if not yes:
        confirm(f"remove the group {name}?")
    client().delete(f"/api/v1/groups/{name}")
    if output is Output.json:
        emit({"name": name, "removed": True}, None, output)
    note(f"group {name} removed")


def _who(text: str) -> str:
    """ "ana" is "member:ana"; no other character than a name's comes into an address."""
    kind, _, name = text.rpartition(":")
    return f"{kind or 'member'}:{parse_name(name)}" if kind in ("", "member", "group") else _refuse(text)


def _refuse(text: str) -> str:
    raise InvalidInputError(f"{text!r} cannot be in a group", hint="member:NAME or group:NAME")


def _tell(name: str, output: Output) -> None:
    emit(client().get(f"/api/v1/groups/{name}"), None, output)
