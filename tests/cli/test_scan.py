"""`antivenom scan` as people and their pipelines run it: against a whole server that knows one feed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from antivenom.cli.scan_targets import find_environment, read_target
from antivenom.core.errors import InvalidInputError
from tests.cli.test_match import ADVISORY
from tests.core.readers import samples

RECORD = {
    "name": "requests",
    "version": "2.25.0",
    "build": "py_0",
    "subdir": "noarch",
    "channel": "conda-forge",
    "files": [],
}


@pytest.fixture(scope="module")
def knowing(up_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("feed")
    folder.parent.chmod(0o755)
    (folder / "osv.jsonl").write_text(json.dumps(ADVISORY))
    up_server.cli("feed", "add", "osv", folder / "osv.jsonl")
    return up_server


def write_prefix(folder: Path, **record: Any) -> Path:
    (folder / "conda-meta").mkdir(parents=True)
    (folder / "conda-meta" / "history").write_text("")
    (folder / "conda-meta" / "requests-2.25.0-py_0.json").write_text(json.dumps(RECORD | record))
    info = folder / "lib" / "python3.12" / "site-packages" / "flask-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flask\nVersion: 2.0\n\n")
    return folder


def test_an_environment_is_scanned_and_what_is_not_known_is_said(knowing: Any, tmp_path: Path) -> None:
    write_prefix(tmp_path / "work")
    (tmp_path / "work" / "conda-meta" / "odd.json").write_text("{")
    done = knowing.cli("scan", tmp_path / "work")
    lines = done.stdout.splitlines()
    assert lines[0].endswith("work (work)")
    assert lines[2].split() == ["requests", "2.25.0", "CVE-2023-32681", "medium", *lines[2].split()[4:]]
    assert "update to 2.31.0 or later" in lines[2]
    assert "1 finding in 2 components of 1 environment" in done.stderr
    assert "conda-meta/odd.json is left out" in done.stderr
    strict = knowing.cli("scan", "--strict", "-p", tmp_path / "work", check=False)
    assert strict.returncode == 2


@pytest.mark.parametrize("output", ["json", "sarif", "junit", "markdown"])
def test_stdout_holds_the_result_alone(knowing: Any, tmp_path: Path, output: str) -> None:
    (tmp_path / "pixi.lock").write_text(samples.PIXI_7)
    text = knowing.cli("scan", tmp_path / "pixi.lock", "--output", output).stdout
    if output == "json":
        assert (json.loads(text)["components"], json.loads(text)["findings"]) == (2, 1)
    elif output == "sarif":
        assert len(json.loads(text)["runs"][0]["results"]) == 1
    elif output == "junit":
        assert ElementTree.fromstring(text)[0].get("failures") == "1"
    else:
        assert text.startswith("## Antivenom: 1 finding in 2 components")


@pytest.mark.parametrize(
    ("limits", "code"),
    [(["high"], 0), (["kev"], 0), (["medium"], 1), (["high", "low"], 1), (["any"], 1), (["nothing"], 2)],
)
def test_the_exit_code_is_that_of_the_limits(knowing: Any, tmp_path: Path, limits: list[str], code: int) -> None:
    (tmp_path / "requirements.txt").write_text("requests==2.25.0\n")
    options = [part for limit in limits for part in ("--fail-on", limit)]
    assert knowing.cli("scan", tmp_path / "requirements.txt", *options, check=False).returncode == code


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "there is nothing to scan"),
        (["no-such"], "there is no no-such"),
        (["-n", "no-such"], "no environment is named 'no-such'"),
        (["--as", "wheel", "."], "no kind of file"),
    ],
)
def test_what_cannot_be_scanned_is_said(knowing: Any, tmp_path: Path, given: list[str], words: str) -> None:
    (tmp_path / "requirements.txt").write_text("a==1\n")
    done = knowing.cli("scan", *[str(tmp_path) if part == "." else part for part in given], check=False)
    assert (done.returncode, words in done.stderr, done.stdout) == (2, True, "")


def test_a_pipeline_fails_on_what_is_new_only(knowing: Any, tmp_path: Path) -> None:
    old, new = tmp_path / "old.txt", tmp_path / "requirements.txt"
    old.write_text("requests==2.31.0\n")
    new.write_text("requests==2.25.0\n")
    first = knowing.cli("scan", new, "--output", "json")
    (tmp_path / "baseline.json").write_text(first.stdout)
    again = knowing.cli("scan", new, "--baseline", tmp_path / "baseline.json", "--fail-on", "any", check=False)
    assert (again.returncode, "1 finding of" in again.stderr) == (0, True)
    worse = knowing.cli("scan", "--diff", old, new, "--fail-on", "medium", check=False)
    assert (worse.returncode, "1 package changed, 1 finding came, 0 findings went" in worse.stderr) == (1, True)
    better = knowing.cli("scan", "--diff", new, old, "--fail-on", "any", "--output", "markdown", check=False)
    assert (better.returncode, "| requests | 2.25.0 | 2.31.0 |" in better.stdout) == (0, True)
    assert knowing.cli("scan", "--diff", old, check=False).returncode == 2


# -- what is found on a disk -------------------------------------------------------------------------------------------


def paths(folder: Path) -> list[str]:
    return sorted(os.path.relpath(target.path, folder) for target in read_target(str(folder)))


def test_a_folder_is_searched_without_what_git_ignores(tmp_path: Path) -> None:
    shutil.copytree(write_prefix(tmp_path / "first"), tmp_path / "deep" / "env")
    for place in ("a", "a/b", "ignored", "node_modules/x"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "uv.lock").write_text(samples.UV)
    (tmp_path / "a" / "notes.txt").write_text("nothing")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "pixi.lock").symlink_to("/dev/zero")
    expected = ["a/b/uv.lock", "a/uv.lock", "deep/env", "first", "ignored/uv.lock"]
    assert paths(tmp_path) == expected
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("ignored/\nfirst\n")
    assert paths(tmp_path) == ["a/b/uv.lock", "a/uv.lock", "deep/env"]


def test_a_virtual_environment_says_which_python_it_has(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.7\n")
    info = tmp_path / "lib" / "python3.11" / "site-packages" / "flask-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: flask\nVersion: 2.0\n")
    [target] = read_target(str(tmp_path))
    found = [(c.type, c.name, c.version) for c in target.snapshots[0].components]
    assert (target.kind, found) == ("venv", [("generic", "python", "3.11.7"), ("pypi", "flask", "2.0")])


def test_an_environment_is_found_by_its_name_where_conda_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prefix(tmp_path / "root" / "envs" / "work")
    monkeypatch.setenv("CONDA_EXE", str(tmp_path / "root" / "bin" / "conda"))
    assert find_environment("work") == tmp_path / "root" / "envs" / "work"
    assert find_environment("base") == tmp_path / "root"
    with pytest.raises(InvalidInputError, match="looked in"):
        find_environment("other")


def test_a_file_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antivenom.cli.scan_targets.FILE_MAX_BYTES", 1000)
    monkeypatch.setattr("antivenom.core.readers.parsing.FILE_MAX_BYTES", 1000)
    (tmp_path / "uv.lock").symlink_to("/dev/zero")
    with pytest.raises(InvalidInputError, match="files of up to 1,000 are read"):
        list(read_target(str(tmp_path / "uv.lock")))
