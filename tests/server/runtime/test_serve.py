"""`antivenom serve` and `antivenom worker`: the same server over a database and a blob store of one's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from antivenom.core.errors import UnavailableError
from antivenom.server import readiness
from antivenom.server.listening import open_listening_socket
from tests.conftest import ANTIVENOM, _clean_environment, _execute, _url_of
from tests.waiting import wait_until


@pytest.fixture
def empty_database(postgres) -> Iterator[str]:
    _execute(postgres, "CREATE DATABASE served")
    yield _url_of(postgres, "served")
    _execute(postgres, "DROP DATABASE served WITH (FORCE)")


def run(environment: dict[str, str], *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ANTIVENOM, *arguments], env=environment, capture_output=True, text=True)


def test_processes_on_one_database_make_one_server(empty_database: str, tmp_path: Path):
    environment = _clean_environment() | {
        "ANTIVENOM_HOME": str(tmp_path / "home"),
        "ANTIVENOM_DATABASE_URL": empty_database,
        "ANTIVENOM_BLOB_URL": str(tmp_path / "blobs"),
        "ANTIVENOM_ADMIN_PASSWORD": "a password for tests",
        "ANTIVENOM_PORT": "0",
    }
    log = (tmp_path / "log").open("wb")
    started = [subprocess.Popen([*ANTIVENOM, part], env=environment, stderr=log) for part in ("serve", "worker")]
    try:
        url = wait_until(lambda: find_ready(tmp_path / "home" / "server.json", started, tmp_path / "log"))
        token = json.loads(run(environment, "token", "create", "--name", "ci", "-o", "json").stdout)["token"]
        remote = _clean_environment() | {"ANTIVENOM_URL": url, "ANTIVENOM_TOKEN": token}
        status = json.loads(run(remote, "admin", "status", "-o", "json").stdout)
        assert status["you"] == "token (member)"
        refused = run(remote, "token", "list")
        assert refused.returncode == 2
        assert "role member" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert "a password for tests" not in (tmp_path / "log").read_text()
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait() for process in started]
    assert codes == [0, 0], (tmp_path / "log").read_text()
    assert not (tmp_path / "home" / "server.json").exists()


def find_ready(facts: Path, processes: list[subprocess.Popen[bytes]], log: Path) -> str:
    """The address of the server once it is ready; empty while it is not."""
    assert all(process.poll() is None for process in processes), log.read_text()
    try:
        url = str(json.loads(facts.read_text())["url"])
        with urllib.request.urlopen(f"{url}/readyz"):
            return url
    except (OSError, ValueError):
        return ""


@pytest.mark.parametrize("part", ["serve", "worker"])
def test_without_a_database_it_says_what_to_set(part: str, tmp_path: Path):
    done = run(_clean_environment() | {"ANTIVENOM_HOME": str(tmp_path)}, part)
    assert done.returncode == 2
    assert "ANTIVENOM_DATABASE_URL is not set" in done.stderr
    assert "antivenom up" in done.stderr


def test_command_without_a_server_says_how_to_start_one(tmp_path: Path):
    done = run(_clean_environment() | {"ANTIVENOM_HOME": str(tmp_path)}, "channel", "list")
    assert done.returncode == 3
    assert "start it with: antivenom up" in done.stderr
    gone = run(_clean_environment() | {"ANTIVENOM_URL": "http://127.0.0.1:1"}, "channel", "list")
    assert gone.returncode == 3
    assert "is ANTIVENOM_URL right" in gone.stderr


def test_server_that_is_none_of_ours_is_said_so(tmp_path: Path):
    import http.server
    import threading

    handler = http.server.SimpleHTTPRequestHandler
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        environment = _clean_environment() | {"ANTIVENOM_URL": f"http://127.0.0.1:{server.server_address[1]}"}
        done = run(environment, "channel", "list")
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 3
    assert "is ANTIVENOM_URL an Antivenom server?" in done.stderr


def test_local_token_goes_to_no_other_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from antivenom.cli.client import find_server

    (tmp_path / "server.json").write_text('{"url": "http://127.0.0.1:1", "pid": 1}')
    (tmp_path / "local-token").write_text("avlocal-secret")
    monkeypatch.setenv("ANTIVENOM_HOME", str(tmp_path))
    monkeypatch.delenv("ANTIVENOM_URL", raising=False)
    assert find_server() == ("http://127.0.0.1:1", "avlocal-secret")
    monkeypatch.setenv("ANTIVENOM_URL", "http://example.org")
    assert find_server() == ("http://example.org", "")


def test_help_and_version_import_no_server(tmp_path: Path):
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    for option in ("--help", "--version"):
        done = run(environment, option)
        assert done.returncode == 0
        assert "antivenom" in done.stdout.lower()
        assert "sqlalchemy" not in done.stderr
        assert "rattler" not in done.stderr


@pytest.mark.parametrize("host", ["nonsense..host", "a" * 70, "\u00fc..x"])
def test_a_host_that_is_none_is_told_without_a_trace(host: str):
    with pytest.raises(UnavailableError) as refused:
        open_listening_socket(host, 0)
    assert host in refused.value.message
    assert "--host" in refused.value.hint


async def test_a_database_that_is_not_there_is_told_while_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(readiness, "QUIET_WAIT_S", 0.0)
    monkeypatch.setattr(readiness, "time", SimpleNamespace(monotonic=iter([0.0, 1.0, 100.0]).__next__))
    nowhere = SimpleNamespace(engine=create_async_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing"))
    with caplog.at_level("WARNING"), pytest.raises(UnavailableError):
        await readiness.wait_for_database(nowhere, patience_s=60.0)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("waiting for the database, 60 s at most: ")
