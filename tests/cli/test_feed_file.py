"""`antivenom feed pull` and `feed export`, as people type them, and against a real server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from antivenom_client.manifest import fingerprint
from tests.client.publisher import FileServer
from tests.conftest import ANTIVENOM, RunningServer, _clean_environment
from tests.waiting import wait_until

OSV = {
    "id": "PYSEC-2026-1",
    "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "acme"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
        }
    ],
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "server").mkdir()
    with FileServer(tmp_path / "server") as publisher:
        publisher.publish([f"package{number}" for number in range(100)])
        yield publisher


def antivenom(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    told = {**_clean_environment(), "ANTIVENOM_HOME": str(home), "XDG_DATA_HOME": str(home), **environment}
    return subprocess.run([*ANTIVENOM, *arguments], env=told, capture_output=True, text=True)


def test_pull_keeps_the_file_and_says_what_it_trusts(server: FileServer, tmp_path: Path) -> None:
    first = antivenom(tmp_path, "feed", "pull", server.base)
    assert first.returncode == 0, first.stderr
    assert f"trusting the key {fingerprint(server.public)}" in first.stderr
    assert "got the whole file" in first.stderr
    assert "advisories of 2026-11-28 12:00 UTC" in first.stderr
    again = antivenom(tmp_path, "feed", "pull")
    assert (again.returncode, "nothing is new" in again.stderr) == (0, True)
    shown = json.loads(antivenom(tmp_path, "feed", "pull", "--status", "--output", "json").stdout)
    assert shown["file"] == str(tmp_path / "antivenom" / "advisories.db")
    assert shown["signed_by"] == fingerprint(server.public)
    assert shown["from"] == f"{server.base}/advisories/manifest.json"


def test_file_that_was_built_here_is_nobodys(server: FileServer, tmp_path: Path) -> None:
    assert antivenom(tmp_path, "feed", "pull", server.base).returncode == 0
    (tmp_path / "feed.jsonl").write_text(json.dumps(OSV) + "\n")
    built = antivenom(tmp_path, "feed", "build", "--from", f"osv:{tmp_path}/feed.jsonl")
    assert built.returncode == 0, built.stderr
    shown = json.loads(antivenom(tmp_path, "feed", "pull", "--status", "--output", "json").stdout)
    assert (shown["signed_by"], shown["from"], [feed["kind"] for feed in shown["feeds"]]) == ("", "", ["osv"])
    again = antivenom(tmp_path, "feed", "pull")
    assert "got the whole file" in again.stderr


def test_refusals_say_what_to_do(server: FileServer, tmp_path: Path) -> None:
    nothing = antivenom(tmp_path, "feed", "pull", "--status")
    assert (nothing.returncode, "hint: get it again: antivenom feed pull" in nothing.stderr) == (2, True)
    nowhere = antivenom(tmp_path, "feed", "pull")
    assert nowhere.returncode == 3
    assert "hint: name a server: antivenom feed pull URL" in nowhere.stderr
    wrong = antivenom(tmp_path, "feed", "pull", server.base, "--key", "SHA256:nonsense")
    assert (wrong.returncode, "not with SHA256:nonsense" in wrong.stderr) == (3, True)
    assert antivenom(tmp_path, "feed", "pull", "http://").returncode != 0


def test_token_goes_only_to_the_server_that_it_is_for(server: FileServer, tmp_path: Path) -> None:
    antivenom(tmp_path, "feed", "pull", server.base, ANTIVENOM_TOKEN="av-one")
    assert {asked[2] for asked in server.asked} == {"Bearer av-one"}
    server.asked.clear()
    antivenom(
        tmp_path, "feed", "pull", server.base, ANTIVENOM_TOKEN="av-two", ANTIVENOM_URL="https://elsewhere.example"
    )
    assert {asked[2] for asked in server.asked} == {""}


def test_exported_file_is_pulled_elsewhere(server: FileServer, tmp_path: Path) -> None:
    stick = tmp_path / "stick.db"
    exported = antivenom(tmp_path, "feed", "export", str(stick), ANTIVENOM_URL=server.base)
    assert exported.returncode == 0, exported.stderr
    there = tmp_path / "elsewhere"
    pulled = antivenom(there, "feed", "pull", str(stick), "--key", fingerprint(server.public))
    assert pulled.returncode == 0, pulled.stderr
    assert (there / "antivenom" / "advisories.db").read_bytes() == stick.read_bytes()


def test_file_of_a_running_server_finds_what_the_server_finds(up_server: RunningServer, tmp_path: Path) -> None:
    osv = tmp_path / "feed.jsonl"
    osv.write_text(json.dumps(OSV) + "\n")
    up_server.cli("feed", "add", "osv", osv)
    path, lock = tmp_path / "advisories.db", tmp_path / "requirements.txt"
    lock.write_text("acme==1.0\n")

    def found() -> set[str]:
        done = up_server.cli("feed", "pull", "--to", path, check=False)
        if done.returncode:
            assert "has not made an advisory file yet" in done.stderr, done.stderr
            return set()
        return ids(up_server.cli("scan", "--advisories", path, "--output", "json", lock, check=False))

    assert wait_until(found) == ids(
        up_server.cli("scan", "--server", up_server.url, "--output", "json", lock, check=False)
    )
    shown = up_server.cli("admin", "advisory-key").stdout.strip()
    assert json.loads(up_server.cli("feed", "pull", "--to", path, "--output", "json").stdout)["signed_by"] == shown
    rotated = up_server.cli("admin", "advisory-key", "--rotate").stdout.strip()
    assert rotated != shown
    again = up_server.cli("feed", "pull", "--to", path)
    assert f"the key {shown} was replaced by {rotated}" in again.stderr


def ids(scanned: subprocess.CompletedProcess[str]) -> set[str]:
    assert scanned.returncode in (0, 1), scanned.stderr
    return {text for text in ("PYSEC-2026-1",) if text in scanned.stdout}
