"""The faults. Each is a context: it begins, lasts while the block runs, and has ended afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

import psutil
import psycopg
from psycopg import sql

from tests.soak import places, world
from tests.soak.upstream import MODES

if TYPE_CHECKING:
    from tests.soak.era import Era

Fault = Callable[["Era", random.Random], AbstractContextManager[None]]
FAULTS: dict[str, Fault] = {}
NEEDS: dict[str, str] = {}
CONNECT_S = 5


def fault(name: str, needs: str = "") -> Callable[[Callable[..., Iterator[None]]], Callable[..., Iterator[None]]]:
    """Register a fault. `needs`: a feature of the era (two, up, bucket, folder, mount, database-mount)."""

    def register(function: Callable[..., Iterator[None]]) -> Callable[..., Iterator[None]]:
        FAULTS[name] = contextmanager(function)
        NEEDS[name] = needs
        return function

    return register


# -- processes ---------------------------------------------------------------------------------------------------------

KINDS = ("web", "worker", "child", "postmaster", "backend", "up", "s3")
LETHAL = {"kill": signal.SIGKILL, "term": signal.SIGTERM}


def strike(era: Era, kind: str, number: signal.Signals, rng: random.Random, *, everyone: bool = False) -> None:
    """Send a signal to one process of a kind, or to all of them; does nothing when there is none."""
    found = era.cluster.processes(kind)
    for process in found if everyone else rng.sample(found, min(1, len(found))):
        for part in era.cluster.parts:
            if part.pid == process.pid and number in LETHAL.values():
                part.expected = True
        era.journal.note("signal", f"{number.name} to a {kind}", pid=process.pid)
        with contextlib.suppress(psutil.Error, OSError):
            os.kill(process.pid, number)


def _add_signals() -> None:
    for kind in KINDS:
        needs = {"up": "up", "s3": "bucket"}.get(kind, "")
        for word, number in LETHAL.items():
            if (kind, word) in (("child", "term"), ("backend", "term"), ("postmaster", "term")):
                continue  # the same as a kill; pg_terminate_backend; a smart shutdown that waits for ever

            def begin(
                era: Era, rng: random.Random, kind: str = kind, number: signal.Signals = number
            ) -> Iterator[None]:
                strike(era, kind, number, rng)
                yield

            fault(f"{word}-{kind}", needs)(begin)

        def stop(era: Era, rng: random.Random, kind: str = kind) -> Iterator[None]:
            stopped = rng.sample(found := era.cluster.processes(kind), min(1, len(found)))
            for process in stopped:
                era.journal.note("signal", f"SIGSTOP to a {kind}", pid=process.pid)
                os.kill(process.pid, signal.SIGSTOP)
            try:
                yield
            finally:
                for process in stopped:
                    with contextlib.suppress(psutil.Error, OSError):
                        os.kill(process.pid, signal.SIGCONT)

        fault(f"stop-{kind}", needs)(stop)


_add_signals()


@fault("kill-everyone")
def kill_everyone(era: Era, rng: random.Random) -> Iterator[None]:
    """A power cut, but for the disk's cache."""
    for kind in ("web", "worker", "child", "postmaster", "up"):
        strike(era, kind, signal.SIGKILL, rng, everyone=True)
    yield


@fault("kill-again-and-again")
def kill_again_and_again(era: Era, rng: random.Random) -> Iterator[None]:
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(rng.uniform(1.0, 3.0)):
            strike(era, rng.choice(("web", "worker", "child", "backend")), signal.SIGKILL, rng)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@fault("rolling-restart", "two")
def rolling_restart(era: Era, rng: random.Random) -> Iterator[None]:
    """One after another ends and comes back, the next only when the one before answers: nobody may notice."""
    for name in ("web-1", "web-2", "worker-1", "worker-2"):
        part = era.cluster.part(name)
        starts = part.starts
        part.expected = True
        if (pid := part.pid) is not None:
            era.journal.note("signal", f"SIGTERM to {name}", pid=pid)
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 60
        while time.monotonic() < until and not (part.starts > starts and era.answers(name)):
            time.sleep(0.1)
    yield


# -- the database ------------------------------------------------------------------------------------------------------


@fault("restart-postgres", "two")
def restart_postgres(era: Era, rng: random.Random) -> Iterator[None]:
    """SIGINT is the fast shutdown, SIGQUIT the immediate one; it stays away for a while."""
    part = era.cluster.part("postgres")
    part.is_wanted = False
    strike(era, "postmaster", rng.choice((signal.SIGINT, signal.SIGQUIT)), rng)
    part.expected = True
    try:
        yield
    finally:
        part.is_wanted = True


@fault("terminate-connections")
def terminate_connections(era: Era, rng: random.Random) -> Iterator[None]:
    with contextlib.suppress(psycopg.Error, OSError):
        with psycopg.connect(era.cluster.database_url, autocommit=True, connect_timeout=CONNECT_S) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
    yield


@fault("clock-jump")
def clock_jump(era: Era, rng: random.Random) -> Iterator[None]:
    """The database's clock jumps. What the clock says and what was stored before move apart, so all that was stored is
    moved the other way, in one transaction."""
    seconds = rng.choice((1, -1)) * rng.choice((600, 3600, 86_400, 366 * 86_400))
    era.journal.note("clock", f"{seconds:+d} s")
    with contextlib.suppress(psycopg.Error, OSError):
        with psycopg.connect(era.cluster.database_url, connect_timeout=CONNECT_S) as connection:
            connection.execute("SET LOCAL lock_timeout = '5s'")
            columns = connection.execute(
                "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns "
                "JOIN information_schema.tables USING (table_schema, table_name) WHERE table_schema = 'public' "
                "AND table_type = 'BASE TABLE' AND data_type = 'timestamp with time zone' GROUP BY table_name"
            ).fetchall()
            for table, names in columns:
                moves = [
                    sql.SQL("{0} = {0} - make_interval(secs => {1})").format(sql.Identifier(name), seconds)
                    for name in names
                ]
                connection.execute(sql.SQL("UPDATE {} SET {}").format(sql.Identifier(table), sql.SQL(", ").join(moves)))
    yield


# -- disks -------------------------------------------------------------------------------------------------------------


@fault("full-disk", "folder")
def full_disk(era: Era, rng: random.Random) -> Iterator[None]:
    """The disk of the blobs; of `antivenom up` also that of everything else."""
    if not era.blobs.is_mount:
        with places.no_file_grows(lambda: [p for k in ("web", "worker", "child") for p in era.cluster.processes(k)]):
            yield
        return
    era.blobs.fill()
    try:
        yield
    finally:
        era.blobs.free()


@fault("full-database-disk", "database-mount")
def full_database_disk(era: Era, rng: random.Random) -> Iterator[None]:
    assert era.database_place is not None
    era.database_place.fill()
    try:
        yield
    finally:
        era.database_place.free()


@fault("read-only-blobs", "read-only")
def read_only_blobs(era: Era, rng: random.Random) -> Iterator[None]:
    try:
        era.blobs.set_read_only(True)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        era.blobs.set_read_only(False)


@fault("lost-blobs", "folder")
def lost_blobs(era: Era, rng: random.Random) -> Iterator[None]:
    """Some blobs are deleted, cut short or have a bit flipped; somebody has them verified and repaired afterwards."""
    store = era.blobs.folder / ("store" if era.shape == "two" else "home/blobs")
    found = sorted(path for path in store.rglob("*") if path.is_file() and not path.name.startswith("."))
    for path in rng.sample(found, min(rng.randint(1, 4), len(found))):
        how = rng.choice(("deleted", "cut short", "flipped"))
        era.journal.note("blob", str(path.relative_to(store)), now=how)
        with contextlib.suppress(OSError):  # it may have been collected meanwhile
            if how == "deleted":
                path.unlink()
            elif how == "cut short":
                os.truncate(path, path.stat().st_size // 2)
            else:
                with path.open("r+b") as file:
                    file.seek(rng.randrange(max(1, path.stat().st_size)))
                    byte = file.read(1)
                    file.seek(-len(byte), os.SEEK_CUR)
                    file.write(bytes(b ^ 1 for b in byte))
    try:
        yield
    finally:
        era.needs_repair = True


# -- upstreams ---------------------------------------------------------------------------------------------------------


def _add_modes() -> None:
    for mode in MODES:

        def begin(era: Era, rng: random.Random, mode: str = mode) -> Iterator[None]:
            names = [*world.UPSTREAMS, "feeds"]
            chosen = rng.sample(names, rng.randint(1, len(names)))
            era.journal.note("upstream", mode, of=chosen)
            era.present(chosen, older=mode in ("old", "stale-zst"))
            era.upstreams.faults = dict.fromkeys(chosen, mode)
            try:
                yield
            finally:
                era.upstreams.faults = {}

        fault(f"upstream-{mode}")(begin)


_add_modes()


# -- the bucket --------------------------------------------------------------------------------------------------------


def _add_lines() -> None:
    for mode in ("refuse", "cut", "hang"):

        def begin(era: Era, rng: random.Random, mode: str = mode) -> Iterator[None]:
            assert era.bucket is not None
            era.bucket.line.mode = mode
            try:
                yield
            finally:
                era.bucket.line.mode = "pass"

        fault(f"bucket-{mode}", "bucket")(begin)


_add_lines()


# -- several at once ---------------------------------------------------------------------------------------------------


def choose(era: Era, rng: random.Random, only: list[str]) -> list[str]:
    """One fault, or now and then two or three that have nothing to do with each other."""
    possible = [name for name in FAULTS if (not NEEDS[name] or NEEDS[name] in era.features)]
    possible = [name for name in possible if not only or any(name.startswith(word) for word in only)] or possible
    count = rng.choices((1, 2, 3), (6, 3, 1))[0]
    chosen: list[str] = []
    for name in rng.sample(possible, len(possible)):
        family = name.split("-")[-1] if name.split("-")[0] in ("kill", "term", "stop") else name.split("-")[0]
        if all(family not in other for other in chosen) and len(chosen) < count:
            chosen.append(name)
    return chosen


@contextmanager
def begun(era: Era, rng: random.Random, names: list[str]) -> Iterator[None]:
    with ExitStack() as stack:
        for name in names:
            era.journal.counts[f"fault {name}"] += 1
            stack.enter_context(FAULTS[name](era, rng))
        yield
