"""`kill -9` in the middle of a sync, with real processes: what is shown is the old feed or the new one, never a mix.

A sync stays in the middle because the test holds it there: it reads the feed from a pipe that gives half of it, and it
stores a feed whose row the test has locked.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import psycopg
import pytest

from tests.conftest import RunningServer, _readable_folder, launch_server
from tests.server.advisories.test_feed_files import entry
from tests.waiting import wait_until

ENTRIES = 3_000  # half of them fill the pipe and every buffer of the reader several times

# Whoever has written advisories in its open transaction and waits for a lock.
STORING_AND_WAITING = """
    SELECT count(*) FROM pg_locks written JOIN pg_locks wanted USING (pid)
    WHERE written.relation = 'advisory'::regclass AND written.mode = 'RowExclusiveLock' AND NOT wanted.granted
"""


def lines_of(generation: str) -> list[bytes]:
    return [json.dumps(entry(n, summary=f"of the {generation} generation")).encode() + b"\n" for n in range(ENTRIES)]


def get(server: RunningServer, path: str, **query: Any) -> Any:
    headers = {"Authorization": f"Bearer {server.token}"}
    with urlopen(Request(f"{server.url}{path}?{urlencode(query)}", headers=headers)) as answer:
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


def kill(server: RunningServer, victim: str) -> None:
    """End the worker, or its child that reads feeds, without a word."""
    below = processes_below(server.process.pid)
    pid = next(pid for pid, args in below.items() if "antivenom.server.process worker" in args)
    if victim == "reader":
        pid = next(child for child, args in processes_below(pid).items() if "spawn_main" in args)
    os.kill(pid, signal.SIGKILL)


def put_file(path: Path) -> None:
    """Put the whole second generation there, for the next reading."""
    file = path.with_name("file")
    file.write_bytes(b"".join(lines_of("second")))
    file.replace(path)


def put_pipe(path: Path) -> None:
    """Put a pipe there, at which the next reading waits."""
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    pipe.replace(path)


def begin_sync(server: RunningServer, path: Path) -> None:
    """Ask for a sync that reads from a pipe."""
    put_pipe(path)
    server.cli("feed", "sync", "1", "--no-wait")


@contextlib.contextmanager
def half_read(path: Path, put_next: Callable[[Path], None]) -> Iterator[BinaryIO]:
    """A reading that has taken half of the second generation and waits for the rest, which the block may write.

    Args:
        put_next: Puts at `path` what the next reading finds.
    """
    with path.open("wb") as writing:  # opens once the reader has opened it, too
        writing.writelines(lines_of("second")[: ENTRIES // 2])
        writing.flush()  # returns once the reader has taken all but what the pipe holds
        put_next(path)
        yield writing


def finish_reading(pipe: BinaryIO) -> None:
    pipe.writelines(lines_of("second")[ENTRIES // 2 :])
    pipe.close()


def wait_for_event(server: RunningServer, kind: str) -> dict[str, Any]:
    """The last event of a kind about the feed; every look until then sees one generation alone."""

    def look() -> list[dict[str, Any]]:
        assert count_of(server, "second") in (0, ENTRIES)
        found: list[dict[str, Any]] = get(server, "/api/v1/events", kind=kind, subject="feed:1")["items"]
        return found

    return wait_until(look)[0]


def wait_for_second_sync(server: RunningServer) -> dict[str, Any]:
    """The feed once the second generation is stored and nothing is left to do."""

    def look() -> Any:
        assert count_of(server, "second") in (0, ENTRIES)
        feed = get(server, "/api/v1/feeds/1")
        assert feed["state"] != "failed", feed
        return feed if feed["state"] == "ok" and count_of(server, "second") else None

    return wait_until(look)


@pytest.fixture(scope="module")
def running() -> Iterator[RunningServer]:
    """A server for all tests of this file, with one feed."""
    folder = _readable_folder("killed")
    server = launch_server(folder / "home", "--no-demo")
    try:
        (folder / "feed.jsonl").write_bytes(b"".join(lines_of("first")))
        server.cli("feed", "add", "osv", folder / "feed.jsonl")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def path(running: RunningServer) -> Path:
    """Where the feed is."""
    return running.home.parent / "feed.jsonl"


@pytest.fixture
def server(running: RunningServer, path: Path) -> RunningServer:
    """The server once it has read the first generation."""
    path.write_bytes(b"".join(lines_of("first")))
    running.cli("feed", "sync", "1")
    assert count_of(running, "first") == ENTRIES
    return running


def check_second_generation(server: RunningServer, feed: dict[str, Any]) -> None:
    assert count_of(server, "second") == ENTRIES
    assert feed["counts"]["changed"] == ENTRIES
    listed = json.loads(server.cli("feed", "list", "--output", "json").stdout)
    assert [(row["state"], row["outcome"]) for row in listed if not row["built_in"]] == [("ok", f"{ENTRIES:,} changed")]


def test_a_worker_killed_while_it_reads_is_replaced_and_completes_the_sync(server: RunningServer, path: Path) -> None:
    begin_sync(server, path)
    with half_read(path, put_file):
        assert get(server, "/api/v1/feeds/1")["state"] == "syncing"
        kill(server, "worker")
    assert count_of(server, "first") == ENTRIES
    check_second_generation(server, wait_for_second_sync(server))


def test_a_worker_killed_while_it_stores_is_replaced_and_completes_the_sync(server: RunningServer, path: Path) -> None:
    with psycopg.connect(server.database_url) as holder, psycopg.connect(server.database_url, autocommit=True) as watch:
        begin_sync(server, path)
        with half_read(path, put_file) as pipe:
            holder.execute("SELECT FROM feed WHERE id = 1 FOR UPDATE")
            finish_reading(pipe)
        wait_until(lambda: watch.execute(STORING_AND_WAITING).fetchone() == (1,))  # all is written, nothing committed
        assert count_of(server, "second") == 0
        kill(server, "worker")
        assert count_of(server, "first") == ENTRIES
    check_second_generation(server, wait_for_second_sync(server))


def test_a_killed_reader_is_replaced_and_the_sync_completes(server: RunningServer, path: Path) -> None:
    begin_sync(server, path)
    with half_read(path, put_file):
        kill(server, "reader")
    check_second_generation(server, wait_for_second_sync(server))


def test_a_reader_killed_twice_fails_the_sync_with_a_reason_and_the_next_one_completes_it(
    server: RunningServer, path: Path
) -> None:
    begin_sync(server, path)
    with half_read(path, put_pipe):
        kill(server, "reader")
    with half_read(path, put_file):
        kill(server, "reader")
    failed = wait_for_event(server, "feed.failed")
    assert "died" in failed["data"]["error"]
    assert count_of(server, "first") == ENTRIES
    assert get(server, "/api/v1/feeds/1")["next_sync_at"] is not None  # it is tried again by itself
    server.cli("feed", "sync", "1")
    assert count_of(server, "second") == ENTRIES
    assert get(server, "/api/v1/feeds/1")["last_error"] == ""
