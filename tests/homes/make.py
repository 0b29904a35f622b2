"""Write a home as this release leaves it behind, so that every later release can be shown to open it.

    python -m tests.homes.make NAME

Runs this release's own `antivenom up` with the demo, does what an administrator does, leaves one job waiting in the
queue, and packs the database (plain SQL), the blobs and what was served into `tests/homes/NAME.tar.zst`. A file that
was written once is never written again: it is the evidence of what that release stored.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import zstandard

from antivenom.server.adapters.postgres import EmbeddedPostgres, choose_user, find_programs
from tests.conftest import RunningServer, launch_server
from tests.waiting import wait_until

HERE = Path(__file__).parent
DOCUMENTS = (
    "repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst", "current_repodata.json", "run_exports.json",
)  # fmt: skip
SUBDIRS = ("noarch", "linux-64", "osx-arm64", "win-64")
EDITED = """
name: demo
rules:
  - {id: exploited, gate: vulnerabilities, trigger: package, action: stop, params: {kev: true}}
  - {id: network-copyleft, gate: licenses, trigger: license, action: stop, params: {families: [agpl]}}
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["zlib <1.2.12"]}}
  - {id: cooldown, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7}}
allowlist:
  - {id: own-weights, gate: vulnerabilities, trigger_id: "CVE-2025-32434+pytorch", owner: ana, reason: "Our own files.",
     expires_on: 2030-06-30T00:00:00Z}
"""


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        body: bytes = answer.read()
    return body


def wait_for_demo(server: RunningServer) -> None:
    """Return once the demo's first publication that knows its feeds is served."""

    def is_published() -> bool:
        listed = json.loads(server.cli("channel", "list", "--output", "json").stdout)
        return any(channel["name"] == "demo" and channel["withheld"] for channel in listed)

    wait_until(is_published)


def served(server: RunningServer) -> dict[str, str]:
    """sha256 of each document of the demo, by its path below the server's address."""
    paths = [f"/conda/demo/{subdir}/{document}" for subdir in SUBDIRS for document in DOCUMENTS]
    paths.append("/conda/demo/channeldata.json")
    return {path: hashlib.sha256(fetch(server.url + path)).hexdigest() for path in paths}


def describe(server: RunningServer) -> dict[str, Any]:
    """What the release's own lists say; a later release has to say it too."""
    lists = {
        "channels": ("channel", "list"),
        "mirrors": ("mirror", "list"),
        "feeds": ("feed", "list"),
        "policies": ("policy", "list"),
        "history": ("channel", "history", "demo"),
        "tokens": ("token", "list"),
    }
    return {name: json.loads(server.cli(*words, "--output", "json").stdout) for name, words in lists.items()}


def dump(home: Path) -> bytes:
    """The database of a stopped home, as SQL that psql of the same or a newer PostgreSQL reads."""
    database = EmbeddedPostgres(home)
    database.start()
    try:
        database.wait_ready()
        queue_one_job(database.url)
        program = find_programs(None, choose_user()).folder / "pg_dump"
        command = [str(program), "--no-owner", "--no-privileges", "--dbname", database.url]
        return subprocess.run(command, check=True, capture_output=True).stdout
    finally:
        database.stop()


def queue_one_job(url: str) -> None:
    """Leave one republish in the queue, as a release that was stopped right after `policy set` leaves it."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE procrastinate_jobs SET status = 'todo', attempts = 0 WHERE id = ("
            "SELECT max(id) FROM procrastinate_jobs WHERE task_name = 'publication.republish')"
        )


def write(name: str) -> None:
    target = HERE / f"{name}.tar.zst"
    if target.exists():
        raise SystemExit(f"{target.name} is there already, and a home that was written is never written again")
    folder = Path(tempfile.mkdtemp(prefix="antivenom-home-"))
    folder.chmod(0o755)
    home = folder / "home"
    try:
        server = launch_server(home)
        try:
            wait_for_demo(server)
            edit(server, folder / "policy.yaml")
            facts = {"served": served(server), "lists": describe(server)}
        finally:
            server.stop()
        pack(target, dump(home), home / "blobs", facts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{target.name}: {target.stat().st_size:,} bytes")


def edit(server: RunningServer, policy: Path) -> None:
    """What an administrator does: a token, an edited policy with an exception; returns once the edit is served."""
    server.cli("token", "create", "--name", "ci", "--role", "reader")
    policy.write_text(EDITED)
    before = publication(server)
    server.cli("policy", "set", policy, "--channel", "demo")
    wait_until(lambda: publication(server) != before)


def publication(server: RunningServer) -> int:
    listed = json.loads(server.cli("channel", "list", "--output", "json").stdout)
    return next(channel["publication"] or 0 for channel in listed if channel["name"] == "demo")


def pack(target: Path, database: bytes, blobs: Path, facts: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in (("database.sql", database), ("facts.json", json.dumps(facts, indent=1).encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        archive.add(blobs, "blobs")
    target.write_bytes(zstandard.compress(buffer.getvalue(), 19))


if __name__ == "__main__":
    write(sys.argv[1])
