"""Real clients against a whole server: what they install, what they are refused, and what they say about it."""

from __future__ import annotations

import json
import os
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer
from tests.e2e.conda_client import CondaClient, find_conda
from tests.e2e.node_client import find_node, find_package
from tests.e2e.node_client import solve as solve_with_node
from tests.e2e.upstream_channel import Package, make_artifact, make_index_record, write_upstream
from tests.upstreams import UpstreamServer, write_channel
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

PACKAGES = [
    Package("alpha", "1.0"),
    Package("alpha", "2.0"),
    Package("beta", "1.0", depends=("alpha",)),
    Package("gamma", "1.0", suffix=".tar.bz2"),
    Package("delta", "1.0", subdir="linux-64", payload=os.urandom(3_000_000)),
    Package("needs-old", "1.0", depends=("alpha 1.0",)),
]
POLICY = """\
name: baseline
rules:
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["alpha 1.0"]}}
"""


@dataclass
class ServedChannel:
    server: RunningServer
    upstream: UpstreamServer
    name: str

    @property
    def url(self) -> str:
        return f"{self.server.url}/conda/{self.name}"


@pytest.fixture(scope="module", params=["shards", "plain"])
def channel(
    request: pytest.FixtureRequest, up_server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedChannel]:
    """A mirror under a policy, of an upstream with and without shards."""
    folder = tmp_path_factory.mktemp("upstream")
    write_upstream(folder, PACKAGES, shards=request.param == "shards")
    policy = folder / "policy.yaml"
    policy.write_text(POLICY.replace("baseline", f"baseline-{request.param}"))
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    with UpstreamServer(folder) as upstream:
        up_server.cli("mirror", "create", name, "--upstream", upstream.url, "--policy", policy, "--subdir", "linux-64")
        up_server.cli("mirror", "sync", name, "--wait")
        yield ServedChannel(up_server, upstream, name)


@pytest.fixture(scope="session")
def conda_program() -> Path:
    return find_conda()


@pytest.fixture
def conda(conda_program: Path, tmp_path: Path) -> CondaClient:
    return CondaClient(conda_program, tmp_path / "conda-home")


def test_conda_creates_an_environment(channel: ServedChannel, conda: CondaClient, tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    done = conda.run("create", "-y", "-p", prefix, "-c", channel.url, "--override-channels", "beta", "delta")
    assert done.returncode == 0, done.stdout + done.stderr
    assert conda.installed(prefix) == {"alpha": "2.0", "beta": "1.0", "delta": "1.0"}
    assert (prefix / "share/delta/version.txt").read_bytes() == PACKAGES[4].payload


def test_conda_installs_a_tar_bz2_into_an_environment(
    channel: ServedChannel, conda: CondaClient, tmp_path: Path
) -> None:
    prefix = tmp_path / "env"
    assert conda.run("create", "-y", "-p", prefix, "-c", channel.url, "--override-channels", "alpha").returncode == 0
    done = conda.run("install", "-y", "-p", prefix, "-c", channel.url, "--override-channels", "gamma")
    assert done.returncode == 0, done.stdout + done.stderr
    assert conda.installed(prefix)["gamma"] == "1.0"


def test_conda_cannot_solve_for_what_is_withheld(channel: ServedChannel, conda: CondaClient, tmp_path: Path) -> None:
    for spec in ("alpha=1.0", "needs-old"):
        done = conda.run("create", "-y", "-p", tmp_path / "env", "-c", channel.url, "--override-channels", spec)
        assert done.returncode != 0
        assert "PackagesNotFoundError" in done.stderr


def test_conda_prints_why_it_is_refused_a_withheld_file(
    channel: ServedChannel, conda: CondaClient, tmp_path: Path
) -> None:
    done = conda.run("create", "-y", "-p", tmp_path / "env", f"{channel.url}/noarch/alpha-1.0-0.conda")
    printed = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "403 WITHHELD BY POLICY" in printed
    assert "alpha 1.0 is denied by the spec 'alpha 1.0'" in printed
    assert 'Install "alpha>=2.0" instead' in printed
    assert "exception to rule 'banned'" in printed
    assert not (tmp_path / "env" / "conda-meta").glob("alpha*") or conda.installed(tmp_path / "env") == {}


def test_conda_prints_that_a_withheld_file_is_malware(
    up_server: RunningServer, conda: CondaClient, tmp_path: Path
) -> None:
    name, upstream, policy, feed = (
        f"evil-{uuid.uuid4().hex[:8]}",
        tmp_path / "up",
        tmp_path / "p.yaml",
        tmp_path / "osv",
    )
    upstream.mkdir()
    write_upstream(upstream, [Package(name, "1.82.6"), Package(name, "1.82.7")])
    rule = "{id: malware, gate: vulnerabilities, trigger: malware, action: stop, recommendation: Never install it}"
    policy.write_text(f"name: {name}\nrules:\n  - {rule}\n")
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "versions": ["1.82.7"]}
    entry = {
        "id": "PYSEC-2026-2",
        "modified": "2026-01-01T00:00:00Z",
        "summary": f"Malware in {name}",
        "affected": [affected],
    }
    feed.write_text(json.dumps(entry) + "\n")
    up_server.cli("feed", "add", "osv", feed, "--wait")
    with UpstreamServer(upstream) as served:
        up_server.cli("mirror", "create", name, "--upstream", served.url, "--policy", policy)
        up_server.cli("mirror", "sync", name, "--wait")
        url = f"{up_server.url}/conda/{name}"
        wait_until(lambda: len(fetch_json(f"{url}/noarch/repodata.json")["packages.conda"]) == 1)
        done = conda.run("create", "-y", "-p", tmp_path / "env", f"{url}/noarch/{name}-1.82.7-0.conda")
    printed = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert f"{name} 1.82.7 may be malware (PYSEC-2026-2; equal name: PyPI {name})" in printed
    assert "Never install it" in printed


def test_conda_reads_a_private_channel_with_a_token_only(
    up_server: RunningServer, channel: ServedChannel, conda: CondaClient, tmp_path: Path
) -> None:
    name = f"private-{uuid.uuid4().hex[:8]}"
    up_server.cli("channel", "create", name, "--privacy", "authenticated")
    up_server.cli("mirror", "create", name, "--upstream", channel.upstream.url, "--subdir", "linux-64")
    up_server.cli("mirror", "sync", name, "--wait")
    made = up_server.cli("token", "create", "--name", name, "--output", "json")
    token = json.loads(made.stdout)["token"]
    open_url = f"{up_server.url}/conda/{name}"
    refused = conda.run("create", "-y", "-p", tmp_path / "a", "-c", open_url, "--override-channels", "alpha")
    assert refused.returncode != 0
    assert "401" in refused.stderr
    token_url = f"{up_server.url}/t/{token}/conda/{name}"
    done = conda.run("create", "-y", "-p", tmp_path / "b", "-c", token_url, "--override-channels", "alpha=1.0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert conda.installed(tmp_path / "b") == {"alpha": "1.0"}


@pytest.fixture
def rattler_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "rattler-cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


async def test_rattler_solves_from_shards_and_installs(channel: ServedChannel, rattler_home: Path) -> None:
    from rattler import Channel, Gateway, SourceConfig, install, solve

    gateway = Gateway(cache_dir=str(rattler_home / "repodata"), default_config=SourceConfig(sharded_enabled=True))
    records = await solve([Channel(channel.url)], ["beta", "delta"], gateway=gateway, platforms=["linux-64", "noarch"])
    assert {r.name.normalized: str(r.version) for r in records} == {"alpha": "2.0", "beta": "1.0", "delta": "1.0"}
    assert (rattler_home / "repodata" / "shards-v1").is_dir() or list(rattler_home.rglob("*shard*"))
    target = rattler_home / "env"
    await install(records, target_prefix=str(target), cache_dir=str(rattler_home / "pkgs"), show_progress=False)
    assert (target / "share/alpha/version.txt").read_text() == "2.0\n"


async def test_rattler_solves_from_the_whole_index(channel: ServedChannel, rattler_home: Path) -> None:
    from rattler import Channel, Gateway, SourceConfig, solve

    gateway = Gateway(cache_dir=str(rattler_home / "repodata"), default_config=SourceConfig(sharded_enabled=False))
    records = await solve([Channel(channel.url)], ["beta"], gateway=gateway, platforms=["linux-64", "noarch"])
    assert {r.name.normalized: str(r.version) for r in records} == {"alpha": "2.0", "beta": "1.0"}


async def test_rattler_cannot_solve_for_what_is_withheld(channel: ServedChannel, rattler_home: Path) -> None:
    from rattler import Channel, Gateway, solve
    from rattler.exceptions import SolverError

    gateway = Gateway(cache_dir=str(rattler_home / "repodata"))
    with pytest.raises(SolverError):
        await solve([Channel(channel.url)], ["alpha ==1.0"], gateway=gateway, platforms=["linux-64", "noarch"])


@pytest.mark.parametrize("sharded", [True, False])
async def test_rattler_excludes_what_the_channel_listed_later_however_old_its_build_says_it_is(
    up_server: RunningServer, tmp_path: Path, rattler_home: Path, sharded: bool
) -> None:
    """What pixi's `exclude-newer` does: pixi solves with this library, and `indexed_timestamp` is what it compares."""
    from rattler import Channel, Gateway, SourceConfig, solve

    name, folder = f"newer-{uuid.uuid4().hex[:8]}", tmp_path / "up"
    packages = [Package("alpha", "1.0"), Package("alpha", "2.0")]  # their builds say the same, old date
    records = [(package.fn, make_index_record(package, make_artifact(package))) for package in packages]
    write_channel(folder, {"noarch": records[:1]})
    with UpstreamServer(folder) as upstream:
        up_server.cli("mirror", "create", name, "--upstream", upstream.url)
        up_server.cli("mirror", "sync", name, "--wait")
        write_channel(folder, {"noarch": records})
        up_server.cli("mirror", "sync", name, "--wait")
        url = f"{up_server.url}/conda/{name}"
        wait_until(lambda: len(fetch_json(f"{url}/noarch/repodata.json")["packages.conda"]) == 2)
        config = SourceConfig(sharded_enabled=sharded)

        async def version(exclude_newer: timedelta | None) -> str:
            [found] = await solve(
                [Channel(url)],
                ["alpha"],
                gateway=Gateway(cache_dir=str(rattler_home / "repodata"), default_config=config),
                platforms=["noarch"],
                exclude_newer=exclude_newer,
                timestamp_policy="require-indexed-timestamp",
            )
            return str(found.version)

        assert await version(None) == "2.0"
        assert await version(timedelta(hours=1)) == "1.0"


def test_rattler_for_javascript_solves_and_cannot_have_what_is_withheld(channel: ServedChannel) -> None:
    node = find_node()
    if node is None:
        pytest.skip("node 20 or later and npm are not on this machine")
    folder = find_package()
    done = solve_with_node(node, folder, channel.url, "beta", "delta")
    assert done.returncode == 0, done.stderr
    assert dict(json.loads(done.stdout)) == {"alpha": "2.0", "beta": "1.0", "delta": "1.0"}
    refused = solve_with_node(node, folder, channel.url, "alpha ==1.0")
    assert refused.returncode == 1
    assert "alpha" in refused.stderr


def test_a_policy_edit_reaches_clients(up_server: RunningServer, channel: ServedChannel, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    name = f"edited-{uuid.uuid4().hex[:8]}"
    policy.write_text(POLICY.replace("baseline", name))
    up_server.cli(
        "mirror", "create", name, "--upstream", channel.upstream.url, "--policy", policy, "--subdir", "linux-64"
    )
    up_server.cli("mirror", "sync", name, "--wait")
    url = f"{up_server.url}/conda/{name}/noarch/repodata.json"
    assert "gamma-1.0-0.tar.bz2" in fetch_json(url)["packages"]
    policy.write_text(policy.read_text().replace('["alpha 1.0"]', '["alpha 1.0", "gamma"]'))
    up_server.cli("policy", "set", policy, "--channel", name)
    wait_until(lambda: fetch_json(url)["packages"] == {})


def fetch_json(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)
