"""Where a web or worker process begins: `python -m antivenom.server.process web|worker`.

The embedded supervisor (up.py) starts both this way; `antivenom serve` and `antivenom worker` call the same functions.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from antivenom.core.errors import AntivenomError
from antivenom.server.context import open_resources
from antivenom.server.home import ServerFacts, remove_server_facts, write_server_facts
from antivenom.server.logs import start_logging
from antivenom.server.readiness import prepare
from antivenom.server.settings import Settings, load_settings


async def run_web_process(settings: Settings, listening: socket.socket, *, ready: int | None = None) -> None:
    """Run a web process until SIGTERM or SIGINT."""
    from antivenom.server.app import run_web

    async with open_resources(settings) as resources:
        await prepare(resources)
        await run_web(resources, listening, ready=ready)


async def run_worker_process(settings: Settings, *, is_only_worker: bool = False) -> None:
    """Run a worker process until SIGTERM or SIGINT."""
    from antivenom.server.worker import run_jobs_forever

    async with open_resources(settings) as resources:
        await prepare(resources)
        await run_jobs_forever(resources, is_only_worker=is_only_worker)


@contextlib.contextmanager
def announced(home: Path, url: str) -> Iterator[None]:
    """Let commands on this machine find the server by its home while the block runs."""
    write_server_facts(home, ServerFacts(url, os.getpid()))
    try:
        yield
    finally:
        remove_server_facts(home)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("web", "worker"))
    parser.add_argument("--socket", type=int, help="file descriptor of the listening socket")
    parser.add_argument("--ready", type=int, help="file descriptor that gets a byte once the web process answers")
    options = parser.parse_args()
    try:
        settings = load_settings(os.environ)
        start_logging(options.part, settings.log_level)
        if options.part == "web":
            listening = socket.socket(fileno=options.socket)
            asyncio.run(run_web_process(settings, listening, ready=options.ready))
        else:
            asyncio.run(run_worker_process(settings, is_only_worker=True))
    except AntivenomError as error:
        print(f"{options.part}: {error}", file=sys.stderr)  # noqa: T201  # the supervisor's log
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
