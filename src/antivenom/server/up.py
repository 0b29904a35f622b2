"""`antivenom up`: PostgreSQL, a web process and a worker under one supervisor, from one command.

The supervisor only starts, watches and stops; it opens no database and imports little, so that it starts fast. While it
makes the database, both processes import and then wait for it. None of them outlives it, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from antivenom.core.errors import AlreadyRunningError, UnavailableError
from antivenom.server.adapters.postgres import EmbeddedPostgres
from antivenom.server.adapters.processes import start_child, stop_child
from antivenom.server.home import (
    ADMIN_PASSWORD,
    DEMO_WANTED,
    ServerFacts,
    make_home,
    remove_server_facts,
    write_local_token,
    write_private,
    write_server_facts,
)
from antivenom.server.listening import address_of, open_listening_socket
from antivenom.server.settings import Settings

STOP_PATIENCE = ((signal.SIGTERM, 2.5), (signal.SIGKILL, 5.0))
RESTART_PAUSES_S = (0.2, 1.0, 3.0, 10.0, 30.0)
CRASH_WINDOW_S = 120.0
LOG_MAX_BYTES = 20_000_000  # at a start; then the last log is kept as .1


@dataclass(slots=True)
class Part:
    """One child that is started again when it ends by itself."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    crashes: list[float] = field(default_factory=list)
    start_at: float = 0.0


def run(settings: Settings, *, demo: bool) -> int:
    """Start everything, wait for a signal, stop everything; the exit code.

    Raises:
        AlreadyRunningError: A server runs in this home.
        UnavailableError: The port is taken, or a part does not start.
        InvalidInputError: The home or the PostgreSQL programs cannot be used.
    """
    make_home(settings.home)
    with lock_home(settings.home):
        supervisor = Supervisor(settings, demo=demo)
        try:
            supervisor.start()
            return supervisor.watch()
        finally:
            supervisor.stop()


@contextlib.contextmanager
def lock_home(home: Path) -> Iterator[None]:
    """Keep every other server out of the home. The kernel releases the lock when this process ends, however it ends."""
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip()
            raise AlreadyRunningError(
                f"a server already runs in {home}" + (f" (process {owner})" if owner else ""),
                hint="use it, stop it first, or choose another home with --home",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


class Supervisor:
    """The three children and the signals."""

    def __init__(self, settings: Settings, *, demo: bool) -> None:
        self._settings = settings
        self._home = settings.home
        self._is_first_start = not (self._home / "postgres" / "data").exists()
        self._is_demo_wanted = demo
        self._postgres = EmbeddedPostgres(self._home, programs=settings.postgres_bin, user=settings.postgres_user)
        self._database = Part("postgres")
        self._web, self._worker = Part("web"), Part("worker")
        self._asked_to_stop = False
        self._is_ready = False
        self._password = ""
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waker, False)
        self._ready, self._announce = os.pipe()
        os.set_inheritable(self._announce, True)

    @property
    def _parts(self) -> list[Part]:
        return [self._web, self._worker] if self._is_ready else [self._web]

    def start(self) -> None:
        """Start everything; return while the database still starts and the web process imports."""
        self._listen_to_signals()
        self._listening = open_listening_socket(self._settings.host, self._settings.port)
        self._url = self._settings.public_url or address_of(self._listening)
        write_local_token(self._home)
        if self._is_first_start:
            self._prepare_first_start()
        self._log = self._open_log()
        self._postgres.choose_socket()
        self._start_part(self._web)  # it imports while the database is made; the worker starts later
        self._postgres.start()

    def _prepare_first_start(self) -> None:
        from antivenom.server.members.passwords import make_password

        self._password = self._settings.admin_password or make_password()
        write_private(self._home / ADMIN_PASSWORD, self._password + "\n")
        if self._is_demo_wanted:
            (self._home / DEMO_WANTED).touch()

    def _open_log(self) -> IO[bytes]:
        path = self._home / "logs" / "antivenom.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            if path.stat().st_size > LOG_MAX_BYTES:
                path.replace(path.with_name("antivenom.log.1"))
        return path.open("ab")

    def _listen_to_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it only has to wake `watch`
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)

    def _handle_signal(self, number: int, _frame: object) -> None:
        if self._asked_to_stop and number == signal.SIGINT:  # a second Ctrl-C: at once
            for part in self._parts:
                if part.process is not None:
                    part.process.kill()
        self._asked_to_stop = True

    def _start_part(self, part: Part) -> None:
        # -P: nothing is imported from the folder that somebody started the server in.
        command = [sys.executable, "-P", "-m", "antivenom.server.process", part.name]
        inherited_fds: tuple[int, ...] = ()
        if part.name == "web":
            inherited_fds = (self._listening.fileno(), self._announce)
            command += ["--socket", str(inherited_fds[0]), "--ready", str(inherited_fds[1])]
        part.process = start_child(
            command,
            on_parent_death=signal.SIGKILL,
            environment=self._environment(),
            output=self._log,
            inherited_fds=inherited_fds,
        )

    def _environment(self) -> dict[str, str]:
        environment = {
            **os.environ,
            "ANTIVENOM_HOME": str(self._home),
            "ANTIVENOM_DATABASE_URL": self._postgres.url,
            "ANTIVENOM_PUBLIC_URL": self._url,
            "PYTHONUNBUFFERED": "1",
        }
        environment.pop("ANTIVENOM_DATABASE_URL_FILE", None)
        if not self._settings.admin_password and (self._home / ADMIN_PASSWORD).exists():
            environment["ANTIVENOM_ADMIN_PASSWORD_FILE"] = str(self._home / ADMIN_PASSWORD)
        return environment

    # -- watching ----------------------------------------------------------------------------------------------------

    def watch(self) -> int:
        """Restart what ends, until a signal asks to stop.

        Raises:
            UnavailableError: A part does not stay alive.
        """
        while not self._asked_to_stop:
            if not self._is_ready and self._is_web_answering():
                self._is_ready = True
                self._start_part(self._worker)
                self._announce_start()
            now = time.monotonic()
            self._look_after_postgres(now)
            for part in self._parts:
                self._restart_if_ended(part, now)
            select.select([self._wake] if self._is_ready else [self._wake, self._ready], [], [], 0.5)
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 512)
        _print("stopping")
        return 0

    def _is_web_answering(self) -> bool:
        return bool(select.select([self._ready], [], [], 0)[0])

    def _restart_if_ended(self, part: Part, now: float) -> None:
        if part.process is not None and part.process.poll() is not None:
            status = part.process.returncode
            part.process = None
            self._count_crash(part, now, f"the {part.name} process ended with {_describe(status)}")
            part.start_at = now + _pause_s(part)
        if part.process is None and now >= part.start_at:
            self._start_part(part)

    def _look_after_postgres(self, now: float) -> None:
        """Start PostgreSQL again when it ended, after a pause.

        What a killed one leaves behind (shared memory that a dying backend still holds) keeps the next from starting
        for a moment: five starts in a row within that moment say nothing about the sixth.
        """
        if self._postgres.is_running:
            return
        if self._postgres.process is not None:
            self._postgres.process = None
            self._count_crash(self._database, now, "PostgreSQL ended")
            self._database.start_at = now + _pause_s(self._database)
        if now >= self._database.start_at:
            self._postgres.start()

    def _count_crash(self, part: Part, now: float, what: str) -> None:
        """Note that a part ended by itself; a server that never answered yet gives up."""
        part.crashes = [at for at in part.crashes if now - at < CRASH_WINDOW_S] + [now]
        if not self._is_ready:
            raise UnavailableError(f"{what}: {self._read_last_line()}", hint=f"see the log: {self._log.name}")
        _print(f"{what}; starting it again")

    def _read_last_line(self) -> str:
        with contextlib.suppress(OSError):
            lines = Path(self._log.name).read_text(errors="replace").splitlines()
            return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
        return "its log is empty"

    # -- announcing and stopping -------------------------------------------------------------------------------------

    def _announce_start(self) -> None:
        write_server_facts(self._home, ServerFacts(address_of(self._listening), os.getpid()))
        _print(f"Antivenom runs at {self._url}")
        if self._is_first_start:
            _print(f"sign in as admin with the password {self._password}")
            _print(f"(it is also in {self._home / ADMIN_PASSWORD}; change it after you signed in)")
        _print(f"logs are in {self._home / 'logs'}; stop with Ctrl-C")

    def stop(self) -> None:
        """End every child, the database last."""
        remove_server_facts(self._home)
        signal.set_wakeup_fd(-1)
        running = [part.process for part in self._parts if part.process is not None]
        for process in running:  # both at once, then wait for each
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in running:
            stop_child(process, STOP_PATIENCE)
        self._postgres.stop()


def _pause_s(part: Part) -> float:
    """How long to wait before a part is started again: longer the more often it ended lately, never for ever."""
    return RESTART_PAUSES_S[min(len(part.crashes), len(RESTART_PAUSES_S)) - 1]


def _describe(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the terminal is this program's surface
