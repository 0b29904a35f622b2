"""`antivenom`: the commands, found by name and imported only when they are asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Container
from typing import Annotated

import typer

from antivenom import __version__
from antivenom.core.errors import AntivenomError

GROUPS = {
    "up": "Start everything on this machine: database, server, worker.",
    "serve": "Run a web process against ANTIVENOM_DATABASE_URL.",
    "worker": "Run a worker process against ANTIVENOM_DATABASE_URL.",
    "channel": "Channels: create, look into, explain, roll back.",
    "mirror": "Mirrors: fill a channel from an upstream, under a policy.",
    "policy": "Policies: check, plan, set, look back.",
    "feed": "Feeds: where advisories and name maps come from.",
    "correction": "Corrections: what is wrong about a package, its effect, applying it.",
    "scan": "List the vulnerabilities of environments, lock files and SBOMs.",
    "match": "List the vulnerabilities of packages, without a channel.",
    "member": "Members: who may sign in, what they may do, and why.",
    "group": "Groups: members who hold the same roles.",
    "role": "Roles: what somebody may do, and who holds them.",
    "token": "Tokens: what programs sign in with.",
    "admin": "Passwords, the audit trail, the blob store and the demo.",
}
"""Name and help of each module of `antivenom.cli` with `commands`: a Typer, one command if it has no group."""


HELP = "Antivenom: the self-hosted security manager for conda."


def create_app(wanted: Container[str] = tuple(GROUPS)) -> typer.Typer:
    """The command line with the modules of the `wanted` commands; of the others, only name and help."""
    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_options)
    for name, summary in GROUPS.items():
        if importlib.util.find_spec(f"antivenom.cli.{name}") is None:
            continue
        if name in wanted:
            _attach(app, name, importlib.import_module(f"antivenom.cli.{name}").commands)
        else:
            app.command(name, help=summary)(_not_loaded)
    return app


def _attach(app: typer.Typer, name: str, commands: typer.Typer) -> None:
    """Add a module's commands: a group, or the command itself if the module has but one of its own name."""
    declared = commands.registered_commands
    if len(declared) == 1 and not commands.registered_groups and declared[0].name in (None, name):
        declared[0].name = name
        app.registered_commands.append(declared[0])
    else:
        app.add_typer(commands, name=name, help=GROUPS[name])


def _not_loaded() -> None:
    raise AssertionError("only the wanted command runs")


def _show_version(asked: bool) -> None:
    if asked:
        print(f"antivenom {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Antivenom: the self-hosted security manager for conda."""


def main() -> None:
    """The console script: errors become one message, a hint and an exit code."""
    try:
        create_app(sys.argv[1:2])()
    except AntivenomError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `antivenom … | head`
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
