"""What is only asked for is solved from a channel, in a process that may be ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from antivenom.cli import scan_solving
from antivenom.cli.scan_solving import Solver
from antivenom.cli.scan_targets import Reading
from antivenom.core.errors import InvalidInputError

WANTED = "name: work\ndependencies:\n- app >=1\n- pip:\n  - flask==2.0\n  - requests\n"


def record(name: str, version: str, *depends: str, subdir: str = "linux-64") -> dict[str, Any]:
    return {
        "name": name, "version": version, "build": "h0_1", "build_number": 1, "depends": list(depends), "subdir": subdir,
        "md5": "a" * 32, "sha256": "b" * 64, "size": 7, "license": "MIT", "timestamp": 1_700_000_000_000,
    }  # fmt: skip


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A channel in a folder; a cache of its own."""
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "cache"))
    records = {
        "linux-64": [record("app", "1.0", "library >=1", "__glibc >=2.17"), record("library", "1.5")],
        "osx-arm64": [record("app", "2.0", "__osx >=11", subdir="osx-arm64")],
        "noarch": [record("big", "1", "no-such-thing", subdir="noarch")],
    }
    for subdir, of in records.items():
        (tmp_path / "channel" / subdir).mkdir(parents=True)
        packages = {f"{r['name']}-{r['version']}-{r['build']}.conda": r for r in of}
        document = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": packages}
        (tmp_path / "channel" / subdir / "repodata.json").write_text(json.dumps(document))
    return tmp_path / "channel"


def write(folder: Path, text: str = WANTED) -> str:
    (folder / "environment.yml").write_text(text)
    return str(folder / "environment.yml")


@pytest.mark.parametrize(
    ("platform", "expected"), [("linux-64", [("app", "1.0"), ("library", "1.5")]), ("osx-arm64", [("app", "2.0")])]
)
def test_an_installation_of_today_is_scanned(
    channel: Path, capsys: pytest.CaptureFixture[str], platform: str, expected: list[tuple[str, str]]
) -> None:
    [target] = Reading([write(channel)], "", Solver(str(channel), platform).solve)
    [snapshot] = target.snapshots
    of_conda = [c for c in snapshot.components if c.type == "conda"]
    assert sorted((c.name, c.version) for c in of_conda) == expected
    assert (target.kind, snapshot.platform, snapshot.wanted) == ("solved", platform, ("requests (of pip)",))
    assert [c.name for c in snapshot.components if c.type == "pypi"] == ["flask"]
    app = next(c for c in of_conda if c.name == "app")
    assert (app.build, app.md5, app.license, app.size_bytes) == ("h0_1", "a" * 32, "MIT", 7)
    assert (app.channel, app.timestamp_ms) == (channel.as_uri(), 1_700_000_000_000)
    assert f"solved from {channel.as_uri()} for {platform}" in capsys.readouterr().err


def test_a_lock_file_is_not_solved(channel: Path) -> None:
    (channel / "requirements.txt").write_text("flask==2.0\nrequests\n")
    [target] = Reading([str(channel / "requirements.txt")], "requirements", Solver("nowhere", "linux-64").solve)
    assert target.kind == "requirements"


def test_what_has_no_solution_says_why_and_the_rest_goes_on(channel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / "a").mkdir(parents=True)
    broken = write(folder / "a", "dependencies:\n- big\n")
    write(folder)
    reading = Reading([str(folder)], "", Solver(str(channel), "linux-64").solve)
    errors = {Path(target.path).parent.name: target.error for target in reading}
    assert (errors["project"], "no-such-thing" in errors["a"], reading.failed) == ("", True, [])
    alone = Reading([broken], "", Solver(str(channel), "linux-64").solve)
    assert ["no-such-thing" in target.error for target in alone] == [True]
    assert alone.is_lost


@pytest.mark.parametrize("data", [b"{", b"\0" * 100, b'{"packages": []}'])
def test_repodata_that_is_none_is_an_error_and_no_crash(channel: Path, data: bytes) -> None:
    (channel / "linux-64" / "repodata.json").write_bytes(data)
    with pytest.raises(InvalidInputError, match="cannot be solved from"):
        next(iter(_solve(channel)))


def test_a_solver_that_takes_too_long_or_too_much_is_ended(channel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(scan_solving, "MEMORY_BYTES", 1 << 20)
        with pytest.raises(InvalidInputError, match="cannot be solved from"):
            _solve(channel)
    monkeypatch.setattr(scan_solving, "WAIT_S", 0)
    with pytest.raises(InvalidInputError, match="not solved within"):
        _solve(channel)


def _solve(channel: Path) -> Any:
    from antivenom.cli.scan_targets import read_target

    [target] = read_target(write(channel))
    return Solver(str(channel), "linux-64").solve(target)


def test_a_platform_is_one_and_this_machine_has_one() -> None:
    with pytest.raises(InvalidInputError, match="is no platform"):
        Solver("x", "../linux")
    assert scan_solving.this_platform().count("-") >= 1
