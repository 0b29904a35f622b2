"""`antivenom worker`: a worker process over a database and a blob store of yours."""

from __future__ import annotations

import asyncio
import os

import typer

commands = typer.Typer()


@commands.command("worker")
def worker() -> None:
    """Run a worker process against ANTIVENOM_DATABASE_URL and ANTIVENOM_BLOB_URL, until Ctrl-C.

    Start as many as you like; they share the queue in the database.
    """
    from antivenom.server.db.engine import database_url
    from antivenom.server.home import make_home
    from antivenom.server.logs import start_logging
    from antivenom.server.settings import load_settings

    settings = load_settings(os.environ)
    database_url(settings.database_url)
    make_home(settings.home)
    start_logging("worker", settings.log_level)

    from antivenom.server.process import run_worker_process

    asyncio.run(run_worker_process(settings))
