"""Homes and databases that earlier releases wrote are opened, served and carried on by this one.

Each `*.tar.zst` beside this file was written by the release that its name dates (see make.py), with a demo channel,
an edited policy, a token, and one republish still waiting in the queue.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import zstandard

from antivenom.server.adapters.postgres import choose_user, find_programs
from antivenom.server.migrations import HEAD, migrate
from tests.conftest import RunJobs, _execute, _url_of

HERE = Path(__file__).parent
HOMES = sorted(path.name.removesuffix(".tar.zst") for path in HERE.glob("*.tar.zst"))


@dataclass(frozen=True)
class StoredHome:
    """A home of an earlier release, unpacked: its database restored and migrated, its blobs in `folder`."""

    folder: Path
    database_url: str
    facts: dict[str, Any]


def restore(url: str, sql: bytes) -> None:
    psql = find_programs(None, choose_user()).folder / "psql"
    done = subprocess.run(
        [str(psql), "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", url], input=sql, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(params=HOMES)
def stored_home(request: pytest.FixtureRequest, postgres, tmp_path: Path) -> Iterator[StoredHome]:
    archive = zstandard.ZstdDecompressor().decompress(
        (HERE / f"{request.param}.tar.zst").read_bytes(), max_output_size=1 << 28
    )
    folder = tmp_path / "home"
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    name = f"home_{uuid.uuid4().hex}"
    _execute(postgres, f"CREATE DATABASE {name}")
    url = _url_of(postgres, name)
    restore(url, (folder / "database.sql").read_bytes())
    migrate(url)
    yield StoredHome(folder, url, json.loads((folder / "facts.json").read_text()))
    _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def resources(stored_home: StoredHome, heavy_work) -> AsyncIterator[Any]:
    """Resources over the stored home instead of an empty one."""
    from antivenom.server.context import open_resources
    from antivenom.server.settings import load_settings

    environment = {"ANTIVENOM_HOME": str(stored_home.folder), "ANTIVENOM_DATABASE_URL": stored_home.database_url}
    async with open_resources(load_settings(environment)) as opened:
        opened.cpu = opened.publishing_cpu = opened.checks = heavy_work
        opened.previews = opened.judgements = opened.plans = opened.archives = heavy_work
        yield opened


def test_there_is_a_home_to_open():
    assert HOMES


def test_database_of_an_earlier_release_is_migrated(stored_home: StoredHome):
    with psycopg.connect(stored_home.database_url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


DERIVED = ("current_repodata.json", "run_exports.json", "channeldata.json")


async def test_channel_files_are_served_byte_for_byte(stored_home: StoredHome, app_client):
    for path, digest in stored_home.facts["served"].items():
        answer = await app_client.get(path)
        assert answer.status_code == 200, path
        if path.rpartition("/")[2] in DERIVED:  # made when asked for: a release may say more in them
            assert answer.json()["packages"] or answer.json()["packages.conda"] or "run_exports" in path, path
        else:
            assert hashlib.sha256(answer.content).hexdigest() == digest, path


@pytest.mark.parametrize(
    ("listed", "path", "key"),
    [
        ("channels", "/api/v1/channels", "name"),
        ("mirrors", "/api/v1/mirrors", "channel"),
        ("feeds", "/api/v1/feeds", "location"),
        ("policies", "/api/v1/policies", "name"),
        ("history", "/api/v1/channels/demo/history", "number"),
        ("tokens", "/api/v1/tokens", "name"),
    ],
)
async def test_lists_say_what_the_release_said(stored_home: StoredHome, app_client, listed: str, path: str, key: str):
    answer = (await app_client.get(path)).json()
    assert [row[key] for row in answer["items"]] == [row[key] for row in stored_home.facts["lists"][listed]]


async def test_job_that_was_waiting_is_done(stored_home: StoredHome, app_client, resources, run_jobs: RunJobs):
    """Jobs are found by the names under which the earlier release queued them."""
    assert await run_jobs(resources) == []
    with psycopg.connect(stored_home.database_url) as connection:
        waiting = connection.execute("SELECT task_name FROM procrastinate_jobs WHERE status IN ('todo', 'doing')")
        assert waiting.fetchall() == []


async def test_next_policy_is_published(stored_home: StoredHome, app_client, resources, run_jobs: RunJobs):
    """What is stored is not only read but carried on from."""
    policy = 'name: demo\nrules:\n  - {id: no-zlib, gate: packages, trigger: match_spec, action: stop, params: {deny: ["zlib"]}}\n'
    answer = await app_client.put("/api/v1/channels/demo/policy", json={"text": policy})
    assert answer.status_code == 200, answer.text
    assert await run_jobs(resources) == []
    records = (await app_client.get("/conda/demo/linux-64/repodata.json")).json()
    names = {record["name"] for record in (records["packages"] | records["packages.conda"]).values()}
    assert names
    assert "zlib" not in names


async def test_vulnerabilities_are_formed_again_by_todays_rules(stored_home: StoredHome, app_client, resources):
    from antivenom.server.advisories import jobs

    before = (await app_client.get("/api/v1/advisories?page_size=500")).json()
    assert before["total"] > 0
    await jobs.regroup(resources)
    after = (await app_client.get("/api/v1/advisories?page_size=500")).json()
    kept = ("id", "ids", "severity", "cvss", "epss", "kev", "packages", "sources", "published")  # not: risk, summary
    by_id = [sorted(([row[key] for key in kept] for row in page["items"]), key=str) for page in (before, after)]
    assert by_id[0] == by_id[1]
    with psycopg.connect(stored_home.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM vulnerability WHERE impact IS NULL").fetchone() == (0,)
        causes = connection.execute("SELECT cause FROM knowledge_revision ORDER BY id DESC LIMIT 1")
        assert causes.fetchone() == ("release",)
