"""The embedded PostgreSQL: which programs, as whom, where, and that only we get in."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from antivenom.core.errors import InvalidInputError
from antivenom.server.adapters import postgres as module
from antivenom.server.adapters.postgres import (
    SOCKET_NAME,
    SOCKET_PATH_MAX,
    WHEEL,
    EmbeddedPostgres,
    RunAs,
    can_reach,
    choose_user,
    find_programs,
)
from antivenom.server.adapters.processes import watch_parent
from tests.conftest import _readable_folder
from tests.processes import is_alive, is_waiting
from tests.waiting import wait_until

OWN = RunAs("me", os.geteuid(), os.getegid(), switch=False)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can become somebody else")


@pytest.fixture
def home() -> Iterator[Path]:
    folder = _readable_folder("postgres")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def wheel_programs() -> Path:
    return next(
        path for entry in sys.path for path in sorted(Path(entry).glob(f"{WHEEL}/pginstall*/bin"), reverse=True)
    )


def test_only_its_own_system_user_gets_in(postgres: EmbeddedPostgres):
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT current_user, inet_server_addr()").fetchone() == ("antivenom", None)
    with pytest.raises(psycopg.OperationalError, match=r"[Pp]eer authentication failed"):
        psycopg.connect(postgres.url.replace("//antivenom@", "//somebody@"))
    folder = Path(psycopg.conninfo.conninfo_to_dict(postgres.url)["host"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@as_root
def test_other_users_of_the_machine_are_kept_out(postgres: EmbeddedPostgres):
    code = f"import psycopg; psycopg.connect({postgres.url!r})"
    python = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    if subprocess.run([*become, python, "-c", "import psycopg"], env=environment, capture_output=True).returncode:
        pytest.skip("another user can run no Python with our libraries here")
    done = subprocess.run([*become, python, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr or "authentication failed" in done.stderr


@as_root
def test_it_never_runs_as_root(postgres: EmbeddedPostgres):
    assert postgres.process is not None
    status = Path(f"/proc/{postgres.process.pid}/status").read_text()
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    groups = next(line for line in status.splitlines() if line.startswith("Groups:")).split()[1:]
    assert "0" not in uids
    assert "0" not in groups


def test_socket_path_fits(postgres: EmbeddedPostgres):
    folder = psycopg.conninfo.conninfo_to_dict(postgres.url)["host"]
    assert len(os.fsencode(str(folder) + SOCKET_NAME)) <= SOCKET_PATH_MAX


@as_root
def test_programs_that_its_user_cannot_reach_are_copied_once(home: Path, monkeypatch: pytest.MonkeyPatch):
    package = wheel_programs().parent.parent
    private = home / "private"
    private.mkdir(mode=0o700)
    for folder in (package / wheel_programs().parent.name, package.with_name(f"{WHEEL}.libs")):
        shutil.copytree(folder, private / folder.relative_to(package.parent), symlinks=True)
    programs = private / wheel_programs().relative_to(package.parent)
    monkeypatch.setattr(module, "SHARED_FOLDER", home / "shared")
    monkeypatch.setattr(module, "_candidate_folders", lambda: iter([programs]))
    found = find_programs(None, choose_user())
    assert found.folder.is_relative_to(home / "shared")
    assert find_programs(None, choose_user()) == found
    (home / "home").mkdir(mode=0o700)
    server = EmbeddedPostgres(home / "home")
    server.start()
    try:
        server.wait_ready()
        with psycopg.connect(server.url) as connection:
            assert connection.info.server_version // 10_000 == found.major
        assert (home / "home" / "postgres").is_symlink()
    finally:
        server.stop()


def test_folder_that_is_closed_above_cannot_be_reached(tmp_path: Path):
    stranger = RunAs("stranger", 54321, 54321, switch=True)
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    tmp_path.chmod(0o700)
    assert not can_reach(open_folder / "x", stranger)
    assert can_reach(Path("/usr/bin/env"), stranger)


def test_setting_without_programs_is_refused(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="ANTIVENOM_POSTGRES_BIN"):
        find_programs(tmp_path, OWN)


def test_database_of_another_version_says_which_it_needs():
    with pytest.raises(InvalidInputError, match="made by PostgreSQL 7") as raised:
        find_programs(None, OWN, major=7)
    assert "ANTIVENOM_POSTGRES_BIN" in raised.value.hint


def test_programs_of_the_setting_come_first():
    assert find_programs(wheel_programs(), OWN).folder == wheel_programs()


@as_root
def test_user_that_does_not_exist_or_is_root_is_refused():
    for name in ("no-such-user-here", "root"):
        with pytest.raises(InvalidInputError, match=name):
            choose_user(name)
    assert choose_user("nobody").uid == pwd.getpwnam("nobody").pw_uid


def test_lock_file_of_a_dead_server_is_not_in_the_way(home: Path):
    server = EmbeddedPostgres(home)
    server.start()
    server.wait_ready()
    lock = home / "postgres" / "data" / "postmaster.pid"
    text = lock.read_text()
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    lines = text.splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]))  # the number now belongs to somebody else: us
    again = EmbeddedPostgres(home)
    again.start()
    try:
        again.wait_ready()
    finally:
        again.stop()


def test_watcher_ends_a_process_when_its_parent_is_gone(tmp_path: Path):
    """What stands in for prctl where there is none."""
    code = (
        "import signal, subprocess\n"
        "from antivenom.server.adapters.processes import watch_parent\n"
        "child = subprocess.Popen(['sleep', '3600'], start_new_session=True)\n"
        "watcher = watch_parent(child.pid, signal.SIGTERM)\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_alive(child))


def test_watcher_leaves_a_process_alone_while_its_parent_lives():
    child = subprocess.Popen(["sleep", "3600"])
    watcher = watch_parent(child.pid, signal.SIGTERM)
    wait_until(lambda: is_waiting(watcher.pid, "sh"))
    assert child.poll() is None
    assert watcher.stdin is not None
    watcher.stdin.close()
    assert child.wait() == -signal.SIGTERM
    watcher.wait()
