"""`antivenom role`: levels for each category, and who holds them."""

from __future__ import annotations

from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption, YesOption, confirm, parse_name
from antivenom.cli.client import JsonObject, client
from antivenom.cli.output import Output, emit, note
from antivenom.core.errors import InvalidInputError
from antivenom.core.rights import CATEGORIES, Level

commands = typer.Typer(no_args_is_help=True)

GRANT_COLUMNS = ("role", "holder", "channel", "created_at", "created_by")
RoleArgument = Annotated[str, typer.Argument(metavar="ROLE", parser=parse_name, help="The role's name.")]
LevelOption = Annotated[
    list[str] | None,
    typer.Option("--level", metavar="CATEGORY=LEVEL", help="Such as channels=write; repeat it for others."),
]
DescriptionOption = Annotated[str | None, typer.Option("--description", help="What the role is for.")]
HolderArgument = Annotated[str, typer.Argument(metavar="WHO", help="member:NAME, group:NAME, token:NAME or everyone.")]
ChannelOption = Annotated[
    str | None, typer.Option("--channel", parser=parse_name, help="For this channel; without it, for the installation.")
]


@commands.command("list")
def list_roles(output: OutputOption = Output.table) -> None:
    """List the roles as a matrix: their level for each category."""
    roles = client().get("/api/v1/roles")["items"]
    if output is Output.json:
        emit(roles, None, output)
        return
    names = [role["name"] for role in roles]
    rows = ({"category": c, **{role["name"]: role["levels"][c] for role in roles}} for c in CATEGORIES)
    emit(rows, ("category", *names), output)


@commands.command("show")
def show(name: RoleArgument, output: OutputOption = Output.table) -> None:
    """Show a role's levels, and to whom it is granted."""
    role = client().get(f"/api/v1/roles/{name}")
    role["grants"] = client().get("/api/v1/grants", params={"role": role["name"]})["items"]
    if output is Output.json:
        emit(role, None, output)
        return
    grants = role.pop("grants")
    emit(role, None, output)
    if grants:
        note("", to_stdout=True)
        emit(grants, GRANT_COLUMNS, output)


@commands.command("add")
def add(
    name: RoleArgument,
    level: LevelOption = None,
    description: DescriptionOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Add a role; categories without --level have the level none."""
    body = {"name": name, "levels": _read_levels(level), "description": description or ""}
    emit(client().post("/api/v1/roles", json=body), None, output)


@commands.command("edit")
def edit(
    name: RoleArgument,
    level: LevelOption = None,
    description: DescriptionOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Change levels of a role for everybody who holds it; the others stay."""
    if not level and description is None:
        raise InvalidInputError("nothing to change", hint="--level CATEGORY=LEVEL or --description TEXT")
    body: JsonObject = {"levels": _read_levels(level) if level else None, "description": description}
    emit(client().patch(f"/api/v1/roles/{name}", json=body), None, output)


@commands.command("remove")
def remove(name: RoleArgument, yes: YesOption = False, output: OutputOption = Output.table) -> None:
    """Remove a role that nobody holds."""
    if not yes:
        confirm(f"remove the role {name}?")
    client().delete(f"/api/v1/roles/{name}")
    if output is Output.json:
        emit({"name": name, "removed": True}, None, output)
    note(f"role {name} removed")


@commands.command("grants")
def grants(
    who: Annotated[str, typer.Option("--who", help="Only of member:NAME, group:NAME, token:NAME or everyone.")] = "",
    role: Annotated[str, typer.Option(help="Only of this role.")] = "",
    channel: ChannelOption = None,
    output: OutputOption = Output.table,
) -> None:
    """List who is granted which role, besides the one that members and tokens have of their own."""
    filters = {"holder": who, "role": role, "channel": channel or ""}
    emit(client().get("/api/v1/grants", params=filters)["items"], GRANT_COLUMNS, output)


@commands.command("grant")
def grant(
    role: RoleArgument, who: HolderArgument, channel: ChannelOption = None, output: OutputOption = Output.table
) -> None:
    """Let somebody hold a role, for the installation or for one channel."""
    answer = client().post("/api/v1/grants", json={"role": role, "holder": who, "channel": channel})
    if output is Output.json:
        emit(answer, None, output)
        return
    note(f"{who} holds the role {answer['role']} {_place(channel)}")


@commands.command("revoke")
def revoke(
    role: RoleArgument, who: HolderArgument, channel: ChannelOption = None, output: OutputOption = Output.table
) -> None:
    """Take back what `antivenom role grant` gave."""
    client().post("/api/v1/grants/revoke", json={"role": role, "holder": who, "channel": channel})
    if output is Output.json:
        emit({"role": role, "holder": who, "channel": channel, "revoked": True}, None, output)
    note(f"{who} is no longer granted the role {role} {_place(channel)}")


def _place(channel: str | None) -> str:
    return f"for the channel {channel}" if channel else "for the installation"


def _read_levels(texts: list[str] | None) -> dict[str, str]:
    levels = {}
    for text in texts or ():
        category, found, level = text.partition("=")
        if not found or category not in CATEGORIES or level not in Level.__members__:
            raise InvalidInputError(
                f"{text!r} is not CATEGORY=LEVEL",
                hint=f"categories: {', '.join(CATEGORIES)}; levels: {', '.join(Level.__members__)}",
            )
        levels[category] = level
    return levels
