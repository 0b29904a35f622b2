"""`kill -9` in the middle of a sync, with real processes: what is shown is the old feed or the new one, never a mix."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from tests.conftest import RunningServer, launch_server
from tests.server.advisories.test_feed_files import entry

ENTRIES = 8_000
PATIENCE_S = 90.0


def write_feed(path: Path, generation: str) -> None:
    lines = (json.dumps(entry(n, summary=f"of the {generation} generation")) + "\n" for n in range(ENTRIES))
    path.write_text("".join(lines))


def get(server: RunningServer, path: str, **query: Any) -> Any:
    headers = {"Authorization": f"Bearer {server.token}"}
    with urlopen(Request(f"{server.url}{path}?{urlencode(query)}", headers=headers), timeout=30) as answer:
        return json.load(answer)


def count_of(server: RunningServer, generation: str) -> int:
    return int(get(server, "/api/v1/advisories", q=f"{generation} generation", page_size=1)["total"])


def processes_below(pid: int) -> dict[int, str]:
    """The processes that a process started, and those that they did: pid → command line."""
    listed = subprocess.run(["ps", "-ewwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    found: dict[int, str] = {}
    parents = {pid}
    while parents:
        children = {int(row[0]): row[2] for row in rows if int(row[1]) in parents and len(row) == 3}
        found |= children
        parents = set(children)
    return found


def find_process(server: RunningServer, mark: str) -> int:
    """The worker, or its child that reads feeds."""
    worker = next(
        p for p, args in processes_below(server.process.pid).items() if "antivenom.server.process worker" in args
    )
    if mark == "worker":
        return worker
    return next(p for p, args in processes_below(worker).items() if "spawn_main" in args)


def kill_in_phase(server: RunningServer, victim: str, phase: str) -> None:
    """Wait until the sync is in that phase, then end the process without a word."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        feed = get(server, "/api/v1/feeds/1")
        assert feed["state"] in ("queued", "syncing"), f"the sync was over before it was in phase {phase}"
        if feed["state"] == "syncing" and feed["progress"].get("phase") == phase:
            os.kill(find_process(server, victim), signal.SIGKILL)
            return
        time.sleep(0.01)
    raise AssertionError(f"the sync never came to {phase}")


def wait_for_state(server: RunningServer, state: str) -> dict[str, Any]:
    """The feed once its sync has ended so; every look in between sees one generation alone."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        assert count_of(server, "second") in (0, ENTRIES)
        feed: dict[str, Any] = get(server, "/api/v1/feeds/1")
        if feed["state"] == state:
            return feed
        time.sleep(0.1)
    raise AssertionError(f"the feed never was {state}: {feed}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path / "feed.jsonl"


@pytest.fixture
def server(new_home: Path, path: Path) -> Iterator[RunningServer]:
    """A server that has read the first generation and has just been asked to read the second."""
    server = launch_server(new_home, "--no-demo")
    try:
        write_feed(path, "first")
        server.cli("feed", "add", "osv", path)
        write_feed(path, "second")
        server.cli("feed", "sync", "1", "--no-wait")
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("phase", ["read", "store"])
def test_a_killed_worker_is_replaced_and_completes_the_sync(server: RunningServer, phase: str) -> None:
    kill_in_phase(server, "worker", phase)
    assert count_of(server, "first") == ENTRIES
    feed = wait_for_state(server, "ok")
    assert count_of(server, "second") == ENTRIES
    assert feed["counts"]["changed"] == ENTRIES
    listed = json.loads(server.cli("feed", "list", "--output", "json").stdout)
    assert [(row["state"], row["outcome"]) for row in listed] == [("ok", f"{ENTRIES:,} changed")]


def test_a_killed_reader_fails_the_sync_with_a_reason_and_the_next_one_completes_it(server: RunningServer) -> None:
    kill_in_phase(server, "child", "read")
    feed = wait_for_state(server, "failed")
    assert count_of(server, "first") == ENTRIES
    assert "died" in feed["last_error"]
    assert feed["next_sync_at"] is not None  # it is tried again by itself
    server.cli("feed", "sync", "1")
    assert count_of(server, "second") == ENTRIES
    assert get(server, "/api/v1/feeds/1")["last_error"] == ""
