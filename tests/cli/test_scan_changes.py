"""`antivenom scan --since REF`: which files git says changed, what they were, and what is new in them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from antivenom.cli.scan_changes import find_changed
from antivenom.core.errors import InvalidInputError
from tests.cli.test_scan import knowing

__all__ = ["knowing"]
ODD = ["requirements it's $(touch pwned) ü.txt", "-bom.spdx", "requirements\nnew line.txt", ":(top)/requirements.txt"]  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, files: dict[str, str], *, removed: tuple[str, ...] = ()) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in removed:
        (folder / name).unlink()
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x", "--allow-empty")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, {"requirements.txt": "requests==2.25.0\n", "sub/pixi.lock": "old", "gone/uv.lock": "x", "a.py": ""})
    monkeypatch.chdir(folder)
    return folder


def names(since: str, *texts: str) -> dict[str, bytes | None]:
    return {file.path: file.old for file in find_changed(texts, since)}


def test_only_what_changed_and_can_be_scanned_is_found(repo: Path) -> None:
    assert names("HEAD") == {}
    commit(repo, {"sub/pixi.lock": "new", "a.py": "1", "b/uv.lock": "x"}, removed=("gone/uv.lock",))
    assert names("HEAD~1") == {"sub/pixi.lock": b"old", "b/uv.lock": b"x"}  # git sees that it was moved
    (repo / "requirements.txt").write_text("flask==2.0\n")
    (repo / "environment.yml").write_text("dependencies: []\n")  # neither is committed
    assert names("HEAD") == {"requirements.txt": b"requests==2.25.0\n", "environment.yml": None}
    assert set(names("HEAD~1", "sub")) == {"sub/pixi.lock"}
    assert set(names("0" * 40)) == {"sub/pixi.lock", "b/uv.lock", "requirements.txt", "environment.yml"}


def test_changes_are_counted_from_where_the_branch_began(repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "work")
    commit(repo, {"requirements.txt": "flask==2.0\n"})
    git(repo, "checkout", "-q", "main")
    commit(repo, {"sub/pixi.lock": "of main"})
    git(repo, "checkout", "-q", "work")
    assert set(names("main")) == {"requirements.txt"}


def test_paths_are_those_of_the_folder_where_one_stands(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = git(repo, "rev-parse", "HEAD")
    commit(repo, {"sub/pixi.lock": "new", "requirements.txt": "x==1\n"})
    monkeypatch.chdir(repo / "sub")
    assert set(names(base)) == {"pixi.lock"}
    assert set(names(base, "..")) == {"pixi.lock", "../requirements.txt"}


def test_a_file_that_is_named_is_found_whatever_it_is_called(repo: Path) -> None:
    base = git(repo, "rev-parse", "HEAD")
    commit(repo, {"pins": "requests==2.0\n"})
    assert names(base) == {}
    assert names(base, "pins") == {"pins": None}


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_names(repo: Path, name: str) -> None:
    base = git(repo, "rev-parse", "HEAD")
    commit(repo, {name: "requests==2.25.0\n"})
    assert set(names(base)) == {os.path.relpath(repo / name)}
    commit(repo, {name: "requests==2.26.0\n"})
    assert names("HEAD~1") == {os.path.relpath(repo / name): b"requests==2.25.0\n"}


def test_a_path_that_neither_is_nor_was_is_refused(repo: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"there is no requirement\.txt"):
        find_changed(["requirement.txt"], "HEAD")
    commit(repo, {}, removed=("requirements.txt",))
    assert names("HEAD~1", "requirements.txt") == {}


def test_a_link_is_not_followed(repo: Path) -> None:
    base = git(repo, "rev-parse", "HEAD")
    (repo / "uv.lock").symlink_to("/etc/hostname")
    git(repo, "add", "-A")
    assert names(base) == {}


@pytest.mark.parametrize("ref", ["nowhere", "--upload-pack=x", "-h", "a b", ""])
def test_a_ref_that_git_does_not_have_is_refused(repo: Path, ref: str) -> None:
    with pytest.raises(InvalidInputError, match="git has no commit"):
        find_changed([], ref)


def test_no_repository_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(InvalidInputError, match="not a git repository"):
        find_changed([], "HEAD")


def test_only_what_is_new_is_told_and_fails(knowing: Any, repo: Path) -> None:
    base = git(repo, "rev-parse", "HEAD")
    commit(repo, {"requirements.txt": "requests==2.26.0\nflask==2.0\n"})
    same = knowing.cli("scan", "--since", base, "--fail-on", "any", "-o", "markdown", cwd=repo)
    assert "0 findings in 2 components" in same.stdout
    assert "| flask | – | 2.0 |" in same.stdout
    assert f"1 finding of {base} are left out" in same.stderr or f"1 finding of {base}" in same.stderr
    commit(repo, {"uv.lock": '[[package]]\nname = "requests"\nversion = "2.25.0"\nsource = { registry = "x" }\n'})
    new = knowing.cli("scan", "--since", "HEAD~1", "--fail-on", "any", cwd=repo, check=False)
    assert new.returncode == 1
    assert "CVE-2023-32681" in new.stdout
    assert "requirements.txt" not in new.stdout


def test_what_is_written_is_whole_and_beside_the_printed(knowing: Any, repo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    written = [f"{kind}={out / kind}" for kind in ("sarif", "markdown", "json", "junit", "cyclonedx")]
    knowing.cli("scan", "requirements.txt", *(part for text in written for part in ("--write", text)), cwd=repo)
    assert len(json.loads((out / "sarif").read_text())["runs"][0]["results"]) == 1
    assert json.loads((out / "json").read_text())["findings"] == 1
    assert (out / "markdown").read_text().startswith("## Antivenom: 1 finding")
    assert sorted(os.listdir(out)) == ["cyclonedx", "json", "junit", "markdown", "sarif"]
    (out / "json").write_text("as it was")
    failed = knowing.cli("scan", "nowhere.txt", "--write", f"json={out / 'json'}", cwd=repo, check=False)
    assert failed.returncode == 2
    assert (out / "json").read_text() == "as it was"
    assert sorted(os.listdir(out)) == ["cyclonedx", "json", "junit", "markdown", "sarif"]


@pytest.mark.parametrize("text", ["table=x", "json", "json=", "csv=x", "sarif=nowhere/x"])
def test_a_file_that_cannot_be_written_is_refused(knowing: Any, repo: Path, text: str) -> None:
    done = knowing.cli("scan", "requirements.txt", "--write", text, cwd=repo, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
