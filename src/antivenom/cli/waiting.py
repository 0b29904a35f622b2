"""Waiting for the sync of a mirror or a feed, and the `--wait` option."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from antivenom.cli.client import JsonObject, client
from antivenom.cli.output import progress
from antivenom.core.errors import UnavailableError

BUSY = ("new", "queued", "syncing")
POLL_FIRST_S, POLL_LONGEST_S = 0.1, 0.5  # a long sync is polled less often
MENDING_PATIENCE_S = 180.0  # the server tries again after one minute, then after two

WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait for the sync; exit 3 when it fails. --no-wait: only request it.")
]


def wait_for_run(run: JsonObject) -> JsonObject:
    """The run over the blob store once it is done.

    Raises:
        UnavailableError: It failed; the message says why.
    """
    pause_s = POLL_FIRST_S
    with progress("blob store") as show_progress:
        while run["state"] in ("queued", "running"):
            show_progress({"phase": "waiting for a worker" if run["state"] == "queued" else "reading"})
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.2, POLL_LONGEST_S)
            run = client().get(f"/api/v1/storage/runs/{run['id']}")
    if run["state"] == "failed":
        raise UnavailableError(run["error"], hint="try again in a while; the server does so by itself")
    return run


def wait_until_mended(keys: set[str]) -> set[str]:
    """Those lost blobs that are still lost when all are mended, or when none was for a few minutes."""
    left, total, changed_at = keys, len(keys), time.monotonic()
    with progress("blob store") as show_progress:
        while left and time.monotonic() - changed_at < MENDING_PATIENCE_S:
            show_progress({"phase": "mending", "done": total - len(left), "total": total})
            time.sleep(POLL_LONGEST_S)
            now = left & {row["key"] for row in client().list_items("/api/v1/storage/lost")}
            if now != left:
                left, changed_at = now, time.monotonic()
    return left


def wait_for_sync(path: str, title: str) -> JsonObject:
    """The row at `path` once no sync of it waits or runs; its progress goes to stderr meanwhile."""
    pause_s = POLL_FIRST_S
    with progress(title) as show_progress:
        while (row := client().get(path))["state"] in BUSY:
            show_progress(row["progress"])
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.2, POLL_LONGEST_S)
    return dict(row)
