"""`antivenom up`: one command, and nothing left behind however it ends."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from antivenom.server.adapters.postgres import choose_user, find_programs
from tests.conftest import ANTIVENOM, RunningServer, _clean_environment, launch_server
from tests.processes import is_alive
from tests.upstreams import UpstreamServer, make_record, write_channel
from tests.waiting import wait_until


def processes_of(home: Path) -> list[str]:
    """Command lines of living processes that have this home in their environment, arguments or working folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.name == str(os.getpid()) or not is_alive(int(folder.name)):
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (folder / "environ").read_bytes()
            place = os.readlink(folder / "cwd")
        except OSError:
            continue
        mark = str(home).encode()
        if b"ANTIVENOM_HOME=" + mark + b"\0" in environment or str(home) in command or place.startswith(str(home)):
            found.append(f"{folder.name}: {command}")
    return found


def wait_until_gone(home: Path) -> None:
    wait_until(lambda: not processes_of(home))


def ask(server: RunningServer, path: str, token: str = "") -> tuple[int, bytes]:
    request = urllib.request.Request(server.url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def is_ready(server: RunningServer) -> bool:
    try:
        return ask(server, "/readyz")[0] == 200
    except OSError:
        return False


def said(home: Path) -> str:
    """What `antivenom up` printed."""
    return (home.parent / f"{home.name}.out").read_text()


def test_first_start_answers_and_leaves_its_secrets_private(new_home: Path):
    server = launch_server(new_home, "--no-demo")
    try:
        assert ask(server, "/readyz") == (200, b'{"ready":true,"problems":[],"behind":[],"late":[],"lost":[]}')
        for name in ("admin-password", "local-token", "server.json"):
            assert stat.S_IMODE((new_home / name).stat().st_mode) == 0o600, name
        password = (new_home / "admin-password").read_text().strip()
        assert f"Antivenom runs at {server.url}" in said(new_home)
        assert password in said(new_home)
        logs = "".join(path.read_text(errors="replace") for path in (new_home / "logs").iterdir())
        assert password not in logs
        assert server.token not in logs
        token = json.loads(server.cli("token", "create", "--name", "ci", "--output", "json").stdout)["token"]
        assert json.loads(ask(server, "/api/v1/me", token)[1])["name"] == "ci"
    finally:
        code = server.stop()
    assert code == 0
    wait_until_gone(new_home)
    assert not (new_home / "server.json").exists()


def test_listens_on_ipv6_alone_and_its_own_command_line_finds_it(new_home: Path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    server = launch_server(new_home, "--no-demo", "--host", "::1")
    try:
        assert server.url.startswith("http://[::1]:")
        assert ask(server, "/healthz") == (200, b"ok\n")
        assert json.loads(server.cli("channel", "list", "-o", "json").stdout) == []
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))).close()
    finally:
        server.stop()


def test_second_start_prints_no_password_and_keeps_what_was_made(new_home: Path):
    first = launch_server(new_home, "--no-demo")
    first.cli("token", "create", "--name", "kept")
    first.stop()
    second = launch_server(new_home, "--no-demo")
    try:
        assert "password" not in said(new_home)
        assert [row["name"] for row in json.loads(second.cli("token", "list", "-o", "json").stdout)] == ["kept"]
    finally:
        second.stop()


def test_ctrl_c_stops_everything(new_home: Path):
    server = launch_server(new_home, "--no-demo")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait() == 0
    wait_until_gone(new_home)


def test_killed_server_leaves_no_process_and_the_next_start_recovers(new_home: Path):
    first = launch_server(new_home, "--no-demo")
    first.cli("token", "create", "--name", "survivor")
    assert len(processes_of(new_home)) > 3
    first.process.kill()
    first.process.wait()
    wait_until_gone(new_home)
    second = launch_server(new_home, "--no-demo")
    try:
        assert [row["name"] for row in json.loads(second.cli("token", "list", "-o", "json").stdout)] == ["survivor"]
    finally:
        second.stop()


def test_start_right_after_a_kill_works(new_home: Path):
    first = launch_server(new_home, "--no-demo")
    first.process.kill()
    second = launch_server(new_home, "--no-demo")
    try:
        assert ask(second, "/readyz")[0] == 200
    finally:
        second.stop()
        first.process.wait()


def never_ending_initdb(folder: Path) -> tuple[Path, Path]:
    """PostgreSQL's programs with an initdb that, when all is written, waits on a pipe; the programs and the pipe."""
    programs, pipe = folder / "programs", folder / "pipe"
    programs.mkdir()
    os.mkfifo(pipe)
    real = find_programs(None, choose_user()).folder
    (programs / "postgres").symlink_to(real / "postgres")
    (programs / "initdb").write_text(f'#!/bin/sh\n"{real}/initdb" "$@" && read -r _ <"{pipe}"\n')
    (programs / "initdb").chmod(0o755)
    return programs, pipe


def test_kill_while_the_database_is_being_made_does_not_spoil_the_home(new_home: Path):
    programs, pipe = never_ending_initdb(new_home.parent)
    command = [*ANTIVENOM, "up", "--home", str(new_home), "--port", "0", "--no-demo"]
    environment = _clean_environment() | {"ANTIVENOM_POSTGRES_BIN": str(programs)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pipe.open("wb"):  # opens once initdb has opened it, too
        assert (new_home / "postgres" / "new" / "PG_VERSION").exists()
        process.kill()
        process.wait()
        wait_until_gone(new_home)
    assert not (new_home / "postgres" / "data").exists()
    server = launch_server(new_home, "--no-demo")
    try:
        assert "password" in said(new_home)
        assert ask(server, "/readyz")[0] == 200
    finally:
        server.stop()


def test_second_start_in_the_same_home_says_so_and_exits_3(up_server: RunningServer):
    done = up_server.cli("up", "--home", up_server.home, "--port", "0", check=False)
    assert done.returncode == 3
    assert f"already runs in {up_server.home}" in done.stderr
    assert str(up_server.process.pid) in done.stderr
    assert "Traceback" not in done.stderr
    assert ask(up_server, "/healthz")[0] == 200


def test_port_in_use_is_an_error_that_helps_and_exits_3(new_home: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*ANTIVENOM, "up", "--home", str(new_home), "--port", str(port)],
            env=_clean_environment(),
            capture_output=True,
            text=True,
        )
    assert done.returncode == 3
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in done.stderr
    assert "--port" in done.stderr
    wait_until_gone(new_home)


def test_home_with_a_space_and_beyond_the_length_of_a_socket_path_works(new_home: Path):
    home = new_home.parent / "a home with spaces" / ("long" * 30)
    home.parent.mkdir()
    server = launch_server(home, "--no-demo")
    try:
        assert ask(server, "/readyz")[0] == 200
        assert json.loads(server.cli("token", "create", "--name", "x", "-o", "json").stdout)["name"] == "x"
    finally:
        assert server.stop() == 0


def test_web_process_that_dies_is_started_again_on_the_same_port(new_home: Path):
    server = launch_server(new_home, "--no-demo")
    try:
        web = next(line for line in processes_of(new_home) if "antivenom.server.process web" in line)
        os.kill(int(web.partition(":")[0]), signal.SIGKILL)
        wait_until(lambda: "the web process ended with signal SIGKILL; starting it again" in said(new_home))
        wait_until(lambda: is_ready(server))
    finally:
        assert server.stop() == 0


def test_database_that_dies_is_started_again_and_nothing_is_lost(new_home: Path):
    server = launch_server(new_home, "--no-demo")
    try:
        server.cli("token", "create", "--name", "durable")
        pid = int((new_home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "PostgreSQL ended; starting it again" in said(new_home))
        wait_until(lambda: is_ready(server))
        assert [row["name"] for row in json.loads(server.cli("token", "list", "-o", "json").stdout)] == ["durable"]
    finally:
        assert server.stop() == 0


def test_wrong_settings_are_reported_together_without_a_trace(new_home: Path):
    environment = _clean_environment() | {
        "ANTIVENOM_PORT": "http",
        "ANTIVENOM_OUTBOUND_ALLOW": "10.0.0.0/99",
        "ANTIVENOM_HOMEE": "/x",
    }
    done = subprocess.run([*ANTIVENOM, "up", "--home", str(new_home)], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    for part in ("3 settings are wrong", "ANTIVENOM_PORT", "10.0.0.0/99", "did you mean ANTIVENOM_HOME"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not new_home.exists()


def test_home_that_cannot_be_made_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    done = subprocess.run(
        [*ANTIVENOM, "up", "--home", str(tmp_path / "file" / "home")],
        env=_clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can become somebody else; the other tests run as that")
def test_it_works_for_root_in_a_home_that_only_root_may_enter(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("private")
    folder.chmod(0o700)
    server = launch_server(folder / "home", "--no-demo")
    place = (folder / "home" / "postgres").resolve()
    try:
        assert ask(server, "/readyz")[0] == 200
        owner = place.stat().st_uid
        assert owner != 0
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    finally:
        assert server.stop() == 0
        if not place.is_relative_to(folder):
            shutil.rmtree(place, ignore_errors=True)


def find_interpreter(become: list[str], environment: dict[str, str]) -> str:
    """A Python with our libraries that the other user can run: ours, or the system's of the same version."""
    for candidate in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        check = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', 'import antivenom.server.context']))"
        try:
            done = subprocess.run([*become, candidate, "-c", check], env=environment, capture_output=True, cwd="/")
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    pytest.skip("another user can run no Python with our libraries here")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can become somebody else; the other tests run as that")
def test_it_works_for_a_normal_user(new_home: Path):
    nobody = pwd.getpwnam("nobody")
    os.chown(new_home.parent, nobody.pw_uid, nobody.pw_gid)
    environment = _clean_environment() | {"HOME": str(new_home.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    become = ["setpriv", "--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups"]
    antivenom = [*become, find_interpreter(become, environment), "-m", "antivenom"]
    output = new_home.parent / "out"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [*antivenom, "up", "--home", str(new_home), "--port", "0", "--no-demo"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
        )
    try:
        wait_until(lambda: (new_home / "server.json").exists() or process.poll() is not None)
        assert process.poll() is None, output.read_text()
        done = subprocess.run(
            [*antivenom, "token", "create", "--name", "ci", "--output", "json"],
            env=environment | {"ANTIVENOM_HOME": str(new_home)},
            capture_output=True,
            text=True,
            cwd="/",
        )
        assert json.loads(done.stdout)["token"].startswith("av-"), done.stderr
        assert (new_home / "postgres").stat().st_uid == nobody.pw_uid
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0, output.read_text()


CEL_POLICY = """
name: expressions
rules:
  - {id: big, gate: expression, trigger: cel, action: stop, params: {expr: "record.size_bytes > 100000000"}}
"""


def test_nothing_is_imported_from_the_folder_that_it_is_started_in(new_home: Path, tmp_path: Path):
    """Neither by the command, nor by the processes that it starts, nor by their children."""
    folder = tmp_path / "somebody's"
    folder.mkdir()
    for name in ("cel", "yaml", "msgspec", "zstandard", "sqlalchemy", "rich", "cvss", "packageurl"):
        (folder / f"{name}.py").write_text("raise SystemExit('taken from the working directory')\n")
    (folder / "policy.yaml").write_text(CEL_POLICY)
    write_channel(tmp_path / "upstream", {"noarch": [make_record("numpy", "2.0", subdir="noarch")]})
    server = launch_server(new_home, "--no-demo", folder=folder)
    try:
        with UpstreamServer(tmp_path / "upstream") as upstream:  # judged in a child of the worker
            command = ["mirror", "create", "main", "--upstream", upstream.url, "--policy", "policy.yaml", "--wait"]
            done = subprocess.run(
                [*ANTIVENOM, *command], cwd=folder, env=server.environment, capture_output=True, text=True
            )
        assert done.returncode == 0, done.stderr
        assert json.loads(server.cli("channel", "list", "--output", "json").stdout)[0]["records"] == 1
    finally:
        server.stop()
    assert "taken from" not in (new_home / "logs" / "antivenom.log").read_text()
