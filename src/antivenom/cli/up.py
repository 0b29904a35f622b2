"""`antivenom up`: everything on this machine by one command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()


@commands.command("up")
def up(
    home: Annotated[
        Path | None,
        typer.Option(help="Where everything is kept. Default: ANTIVENOM_HOME, or ~/.local/share/antivenom."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port to listen on; 0 means any free one. Default: 8080.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on. Default: 127.0.0.1.")] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Start empty: without the demo channel.")] = False,
) -> None:
    """Start database, server and worker on this machine, until Ctrl-C.

    The first start makes a member `admin` and prints its password once.
    """
    from antivenom.server.settings import load_settings
    from antivenom.server.up import run

    settings = load_settings(
        os.environ,
        home=str(home) if home else None,
        port=None if port is None else str(port),
        host=host,
    )
    sys.exit(run(settings, demo=not no_demo))
