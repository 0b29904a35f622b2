"""The processes of a server under test, and whoever starts them again when they end, as systemd would."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil

from antivenom.server.adapters.postgres import ROLE, choose_user, find_programs
from antivenom.server.adapters.processes import start_child
from tests.soak.journal import Journal

RESTART_AFTER_S = 0.5
LOOK_EVERY_S = 0.1
REPO = Path(__file__).resolve().parents[2]
SOURCES = os.pathsep.join(str(REPO / folder) for folder in ("src", "client/src"))
ANTIVENOM = (sys.executable, "-P", "-m", "antivenom")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Part:
    """One program of the cluster. `expected` says that the soak itself has just ended it, so that its end is no news."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    folder: Path
    user: tuple[int, int] | None = None
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    is_wanted: bool = True
    expected: bool = False
    starts: int = 0
    before: Callable[[], None] = field(default=lambda: None)

    @property
    def pid(self) -> int | None:
        process = self.process
        return process.pid if process is not None and process.poll() is None else None


class Cluster:
    """Parts in the order in which they start; a thread starts again what ended."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder = folder
        self.journal = journal
        self.parts: list[Part] = []
        self.web_ports: list[int] = []
        self.is_unrest = threading.Event()  # set while a fault may make parts end by themselves
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper")

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._keeper.start()

    def stop(self) -> None:
        self._over.set()
        self._keeper.join()

    def _keep(self) -> None:
        """Start every part that is wanted and does not run. Ends them all at last: children live as long as a thread."""
        while not self._over.is_set():
            for part in self.parts:
                self._look_after(part)
            self._over.wait(LOOK_EVERY_S)
        for part in reversed(self.parts):
            self._end(part)

    def _look_after(self, part: Part) -> None:
        process = part.process
        if process is not None and process.poll() is not None:
            if not part.expected and not self.is_unrest.is_set():
                self.journal.find(
                    f"{part.name} ended by itself with exit code {process.returncode}; its log: {part.log}"
                )
            self.journal.note("ended", part.name, code=process.returncode)
            part.process, part.expected = None, False
            part.start_at = time.monotonic() + RESTART_AFTER_S
        if part.process is None and part.is_wanted and time.monotonic() >= part.start_at:
            self._start(part)

    def _start(self, part: Part) -> None:
        part.before()
        with part.log.open("ab") as log:
            part.process = start_child(
                part.command,
                on_parent_death=signal.SIGINT if part.name == "postgres" else signal.SIGKILL,
                environment=part.environment,
                output=log,
                user=part.user,
                folder=part.folder,
            )
        part.starts += 1
        self.journal.note("started", part.name, pid=part.process.pid)

    def _end(self, part: Part) -> None:
        process = part.process
        if process is None:
            return
        family = list(descendants(process.pid))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        process.send_signal(signal.SIGINT if part.name == "postgres" else signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in family:
            with contextlib.suppress(psutil.Error):
                child.kill()

    # -- who there is --------------------------------------------------------------------------------------------------

    def part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    def processes(self, kind: str) -> list[psutil.Process]:
        """Processes of a kind that run now: web, worker, child (of either), postmaster, backend, up, s3."""
        found = []
        for part in self.parts:
            if (pid := part.pid) is None:
                continue
            with contextlib.suppress(psutil.Error):
                found += [process for process in _family(pid) if kind_of(process, part.name) == kind]
        return found

    @property
    def database_url(self) -> str:
        raise LookupError

    @property
    def homes(self) -> list[Path]:
        raise LookupError

    @property
    def token(self) -> str:
        return (self.homes[0] / "local-token").read_text().strip()


def _family(pid: int) -> Iterator[psutil.Process]:
    process = psutil.Process(pid)
    yield process
    yield from process.children(recursive=True)


def descendants(pid: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        yield from psutil.Process(pid).children(recursive=True)


def kind_of(process: psutil.Process, part: str) -> str:
    """What a process is, by its command line; "" for helpers of Python itself."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return ""
    text = " ".join(command)
    if "antivenom.server.process web" in text or "antivenom serve" in text:
        return "web"
    if "antivenom.server.process worker" in text or "antivenom worker" in text:
        return "worker"
    if "antivenom up" in text:
        return "up"
    if "spawn_main" in text:
        return "child"
    if command and Path(command[0]).name == "postgres":
        return "postmaster"
    if text.startswith("postgres:"):
        return "backend" if "antivenom" in text else "helper"
    return "s3" if part == "s3" else ""


# -- the two shapes ----------------------------------------------------------------------------------------------------


def clean_environment(**settings: str) -> dict[str, str]:
    """Ours, without settings of whoever started the soak. What is tried is the source beside these tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANTIVENOM_", "AWS_"))}
    kept["PYTHONPATH"] = SOURCES
    return kept | {f"ANTIVENOM_{name.upper()}": value for name, value in settings.items()}


COMMON = {
    "outbound_allow": "127.0.0.0/8",
    "outbound_attempts": "2",
    "outbound_idle_timeout_s": "5",
}


class UpCluster(Cluster):
    """One `antivenom up`."""

    def __init__(self, folder: Path, journal: Journal, blobs: str, **settings: str) -> None:
        super().__init__(folder, journal)
        self._home = folder / "home"
        self.web_ports = [free_port()]
        environment = clean_environment(**COMMON, **settings, home=str(self._home), blob_url=blobs)
        command = [*ANTIVENOM, "up", "--port", str(self.web_ports[0]), "--no-demo"]
        self.parts = [Part("up", command, environment, folder / "up.log", folder)]

    @property
    def homes(self) -> list[Path]:
        return [self._home]

    @property
    def database_url(self) -> str:
        folder = (self._home / "socket-folder").read_text()
        return f"postgresql://{ROLE}@/postgres?host={quote(folder, safe='')}"


class TwoCluster(Cluster):
    """PostgreSQL, two servers and two workers, each with a home of its own; the blobs are shared."""

    def __init__(self, folder: Path, journal: Journal, blobs: str, database: Path, **settings: str) -> None:
        super().__init__(folder, journal)
        self.database = Database(folder, database)
        self.web_ports = [free_port(), free_port()]
        self._names = ("web-1", "web-2", "worker-1", "worker-2")
        self.parts = [self.database.part()]
        for name in self._names:
            home = folder / name
            environment = clean_environment(
                **COMMON, **settings, home=str(home), blob_url=blobs, database_url=self.database.url
            )
            command = [*ANTIVENOM, "worker"]
            if name.startswith("web"):
                command = [*ANTIVENOM, "serve", "--port", str(self.web_ports[int(name[-1]) - 1])]
            self.parts.append(Part(name, command, environment, folder / f"{name}.log", folder))

    def stop(self) -> None:
        super().stop()
        self.database.close()

    @property
    def homes(self) -> list[Path]:
        return [self.folder / name for name in self._names]

    @property
    def database_url(self) -> str:
        return self.database.url


class Database:
    """A PostgreSQL of the soak's own: started and watched like every part, so that it can be killed like every part."""

    def __init__(self, folder: Path, data: Path) -> None:
        self._folder, self._data = folder, data / "data"
        self._user = choose_user()
        self._programs = find_programs(None, self._user).folder
        self._socket = Path(f"/tmp/antivenom-soak-{os.getpid()}-{free_port()}")
        self.url = f"postgresql://{ROLE}@/postgres?host={quote(str(self._socket), safe='')}"
        self._prepare(data)

    def _prepare(self, data: Path) -> None:
        self._socket.mkdir(mode=0o755)
        data.mkdir(exist_ok=True)
        ids = self._user.ids
        for folder in (self._socket, data):
            if ids:
                os.chown(folder, *ids)
        make = [str(self._programs / "initdb"), "-D", str(self._data), "-U", ROLE, "-A", "trust", "-E", "UTF8"]
        subprocess.run(
            [*make, "--locale=C", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=data,
            user=ids[0] if ids else None,
            group=ids[1] if ids else None,
            extra_groups=[] if ids else None,
        )

    def close(self) -> None:
        shutil.rmtree(self._socket, ignore_errors=True)

    def part(self) -> Part:
        options = {
            "listen_addresses": "",
            "shared_buffers": "64MB",
            "max_wal_size": "128MB",
            "log_line_prefix": "%m [%p] ",
        }
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self._socket)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        log = self._folder / "postgres.log"
        return Part("postgres", command, environment, log, self._data, self._user.ids, before=self._forget_the_dead)

    def _forget_the_dead(self) -> None:
        """Remove the lock file of a postmaster that was killed, and end what of it still holds its memory."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            if not psutil.pid_exists(pid):
                (self._data / "postmaster.pid").unlink()
