"""`antivenom serve`: a web process over a database and a blob store of yours."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

commands = typer.Typer()


@commands.command("serve")
def serve(
    port: Annotated[int | None, typer.Option(help="The port to listen on. Default: ANTIVENOM_PORT, or 8080.")] = None,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on. Default: ANTIVENOM_HOST, or 127.0.0.1.")
    ] = None,
) -> None:
    """Run a web process against ANTIVENOM_DATABASE_URL and ANTIVENOM_BLOB_URL, until Ctrl-C.

    Start as many as you like. Jobs need at least one `antivenom worker`.
    """
    from antivenom.server.db.engine import database_url
    from antivenom.server.home import make_home, write_local_token
    from antivenom.server.logs import start_logging
    from antivenom.server.settings import load_settings

    settings = load_settings(os.environ, port=None if port is None else str(port), host=host)
    database_url(settings.database_url)
    make_home(settings.home)
    write_local_token(settings.home)
    start_logging("web", settings.log_level)

    from antivenom.server.listening import address_of, open_listening_socket
    from antivenom.server.process import announced, run_web_process

    listening = open_listening_socket(settings.host, settings.port)
    typer.echo(f"Antivenom listens on {address_of(listening)}", err=True)
    with announced(settings.home, address_of(listening)):
        asyncio.run(run_web_process(settings, listening))
