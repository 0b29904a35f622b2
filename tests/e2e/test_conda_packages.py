"""Antivenom's own conda packages: built here by rattler-build, installed by a real conda, and run.

The conda of these tests has no `python` record and conda-forge cannot be reached: a stand-in channel has a python that
is this one, and an empty package for everything else that ours need.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from rattler import Channel, Gateway, SourceConfig, install, solve
from rattler.index import index_fs
from rattler_build import Package as CondaPackage
from rattler_build import assemble_package

from antivenom.server.distribution.own_channel import PACKAGES
from tests.conftest import RunningServer
from tests.e2e.conda_client import CondaClient, find_conda
from tests.e2e.upstream_channel import Package, make_artifact
from tests.upstreams import UpstreamServer

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = REPOSITORY / "packaging/conda"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ABI = f"cp{PYTHON.replace('.', '')}"
OURS = ("antivenom", "antivenom-client", "common-expression-language")
ADVISORY = {
    "id": "GHSA-xxxx-yyyy-zzzz",
    "modified": "2026-01-01T00:00:00Z",
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "rich"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}],
        }
    ],
}
START = """\
#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd)
PYTHONPATH="$here/lib/python{version}/site-packages" exec "{python}" "$@"
"""


@pytest.fixture(scope="module")
def built() -> Path:
    """The channel as `make packages` makes it, where servers look for it."""
    done = subprocess.run((sys.executable, str(RECIPES / "build.py")), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return PACKAGES


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel with a python that runs this one, and an empty package for each name that the recipes require."""
    folder = tmp_path_factory.mktemp("stand-in")
    (folder / "noarch").mkdir()
    for name, lowest in sorted(required_names().items()):
        package = Package(name, lowest)
        (folder / "noarch" / package.fn).write_bytes(make_artifact(package))
    staged = folder / "staged"
    (staged / "bin").mkdir(parents=True)
    program = staged / "bin" / f"python{PYTHON}"
    program.write_text(START.format(version=PYTHON, python=sys.executable))
    program.chmod(0o755)
    (staged / "bin/python").symlink_to(program.name)
    (folder / "linux-64").mkdir()
    version = ".".join(map(str, sys.version_info[:3]))
    assemble_package("python", version, "linux-64", "0_cpython", folder / "linux-64", files_dir=staged)
    (staged / "share").mkdir()
    (staged / "share/abi").write_text(ABI)
    assemble_package("python_abi", PYTHON, "linux-64", f"8_{ABI}", folder / "linux-64", files_dir=staged / "share")
    asyncio.run(index_fs(folder))
    return folder


def required_names() -> dict[str, str]:
    """What the recipes require of other channels, with the lowest version that will do for all of them."""
    found: dict[str, str] = {}
    for name in OURS:
        text = (RECIPES / name / "recipe.yaml").read_text()
        run = text.partition("  run:\n")[2].partition("\n\n")[0]
        for required, lowest in re.findall(r"- (\S+) >=([\d.]+)", run):
            found[required] = max(found.get(required, "0"), lowest, key=lambda v: [int(part) for part in v.split(".")])
    return {name: lowest for name, lowest in found.items() if name not in OURS and name != "python"}


@pytest.fixture
def conda(tmp_path: Path) -> CondaClient:
    return CondaClient(find_conda(), tmp_path / "conda-home")


@pytest.fixture
def channels(built: Path, stand_in: Path, up_server: RunningServer) -> Iterator[tuple[str, ...]]:
    """The arguments that name both channels: ours as a server serves it."""
    with UpstreamServer(stand_in) as others:
        yield ("--override-channels", "-c", f"{up_server.url}/antivenom", "-c", others.url)


def packages_of(channel: Path) -> dict[str, CondaPackage]:
    return {package.name: package for package in map(CondaPackage.from_file, channel.glob("*/*.conda"))}


def paths_of(package: CondaPackage) -> list[str]:
    return [str(path) for path in package.files]


def test_the_channel_lists_what_was_built_with_index_and_shards(built: Path) -> None:
    listed = {}
    for subdir in ("noarch", "linux-64"):
        for record in json.loads((built / subdir / "repodata.json").read_bytes())["packages.conda"].values():
            listed[record["name"]] = record["subdir"]
        assert (built / subdir / "repodata.json.zst").exists()
        assert (built / subdir / "repodata_shards.msgpack.zst").exists()
    assert listed == {
        "antivenom": "noarch",
        "antivenom-client": "noarch",
        "common-expression-language": "linux-64",
    }
    assert {path.name for path in built.iterdir()} == {"noarch", "linux-64"}


def test_the_client_needs_python_alone(built: Path) -> None:
    assert list(packages_of(built)["antivenom-client"].depends) == ["python >=3.10"]


def test_no_package_has_the_channel_in_it_that_it_is_served_from(built: Path) -> None:
    paths = paths_of(packages_of(built)["antivenom"])
    assert "site-packages/antivenom/cli/main.py" in paths
    assert not [path for path in paths if path.startswith("site-packages/antivenom/server/packages/")]


def test_each_package_has_its_licence_and_nothing_of_the_machine(built: Path) -> None:
    for package in packages_of(built).values():
        assert package.license == "Apache-2.0"
        assert not [path for path in paths_of(package) if path.endswith((".pyc", "direct_url.json", "INSTALLER"))]


def test_the_package_requires_what_the_project_requires(built: Path) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    required = {re.split(r"[<>=]", line)[0]: line for line in project["dependencies"]}
    depends = {spec.partition(" ")[0]: spec.replace(" ", "") for spec in packages_of(built)["antivenom"].depends}
    assert depends.pop("python") == "python" + project["requires-python"]
    assert depends == required


def test_conda_installs_the_client_and_it_reads_that_environment(
    channels: tuple[str, ...], conda: CondaClient, tmp_path: Path
) -> None:
    prefix = tmp_path / "env"
    made = conda.run("create", "-y", "-p", prefix, *channels, "antivenom-client")
    assert made.returncode == 0, made.stdout + made.stderr
    assert set(conda.installed(prefix)) == {"antivenom-client", "python"}
    done = run(prefix / "bin/python", "-c", "import antivenom_client.advisory_file as m; print(m.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(prefix), done.stderr


def test_conda_installs_antivenom_and_it_scans_that_environment(
    channels: tuple[str, ...], conda: CondaClient, tmp_path: Path
) -> None:
    prefix = tmp_path / "env"
    made = conda.run("create", "-y", "-p", prefix, *channels, "antivenom")
    assert made.returncode == 0, made.stdout + made.stderr
    assert set(OURS) < set(conda.installed(prefix))
    where = run(prefix / "bin/python", "-c", "import antivenom, cel; print(antivenom.__file__); print(cel.__file__)")
    assert all(Path(line).is_relative_to(prefix) for line in where.stdout.split("\n") if line), where.stderr
    advisories = tmp_path / "advisories.db"
    (tmp_path / "advisory.json").write_text(json.dumps(ADVISORY))
    made = run(prefix / "bin/antivenom", "feed", "build", "--from", f"osv:{tmp_path}/advisory.json", "-o", advisories)
    assert made.returncode == 0, made.stderr
    scanned = run(prefix / "bin/antivenom", "scan", "-p", prefix, "--advisories", advisories, "--fail-on", "high")
    assert "GHSA-xxxx-yyyy-zzzz" in scanned.stdout, scanned.stderr
    assert scanned.returncode == 1


@pytest.mark.parametrize("sharded", [True, False])
async def test_rattler_installs_from_shards_and_from_the_whole_index(
    channels: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sharded: bool
) -> None:
    """pixi and rattler-build solve with this library."""
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "rattler-cache"))
    gateway = Gateway(cache_dir=str(tmp_path / "repodata"), default_config=SourceConfig(sharded_enabled=sharded))
    sources = [Channel(channels[2]), Channel(channels[4])]
    records = await solve(sources, ["antivenom"], gateway=gateway, platforms=["linux-64", "noarch"])
    assert {record.name.normalized for record in records} > set(OURS)
    assert bool(list(tmp_path.rglob("*shard*"))) is sharded
    prefix = tmp_path / "env"
    await install(records, target_prefix=str(prefix), cache_dir=str(tmp_path / "pkgs"), show_progress=False)
    done = await asyncio.to_thread(run, prefix / "bin/antivenom", "--version")
    assert done.stdout.startswith("antivenom "), done.stderr


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "COLUMNS": "120"}
    return subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
