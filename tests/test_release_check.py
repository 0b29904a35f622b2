"""`make release-check`: what it misses in a repository that is not ready, and that it tags only one that is."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

REPO = Path(__file__).parent.parent
CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.3] - 2027-01-02

### Added
- a thing

## [1.2.2] - 2026-12-01
"""


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_check", REPO / ".ci" / "release_check.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def without_docs(release: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the check that takes seconds, where another one is tried."""
    monkeypatch.setattr(release, "CHECKS", tuple(check for check in release.CHECKS if check is not release.check_docs))


def git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *words],
        cwd=root, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose version 1.2.3 lacks nothing."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "t")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "t@localhost")
    files = {
        "pyproject.toml": '[project]\nversion = "1.2.3"\n',
        "src/antivenom/__init__.py": '__version__ = "1.2.3"\n',
        "CHANGELOG.md": CHANGELOG,
        "tests/homes/2027-01-02.tar.zst": "",
        "tests/homes/2026-12-01.tar.zst": "",
        "docs/conf.py": 'project = "x"\nexclude_patterns = ["_build"]\n',
        "docs/index.rst": "Title\n=====\n",
        ".gitignore": "docs/_build\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path)
    return tmp_path


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "a commit")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_release_that_lacks_nothing_is_tagged_only_when_asked(release: ModuleType, ready: Path) -> None:
    assert release.main([], ready) == 0
    assert git(ready, "tag") == ""
    assert release.main(["--tag"], ready) == 0
    assert git(ready, "tag", "--points-at", "HEAD").split() == ["v1.2.3"]
    assert release.main(["--tag"], ready) == 0  # the tag on this very commit is no obstacle


MISTAKES: dict[str, tuple[Callable[[Path], object], str]] = {
    "version of the package": (
        lambda root: replace(root / "src/antivenom/__init__.py", "1.2.3", "1.2.2"),
        "__init__.py does not say 1.2.3",
    ),
    "version of the project": (
        lambda root: replace(root / "pyproject.toml", "1.2.3", "1.3.0"),
        "the newest release in CHANGELOG.md is 1.2.3, not 1.3.0",
    ),
    "changes that have no release": (
        lambda root: replace(root / "CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n- a change\n"),
        "changes under Unreleased",
    ),
    "no place for changes": (
        lambda root: replace(root / "CHANGELOG.md", "## [Unreleased]\n", ""),
        "no heading `## [Unreleased]`",
    ),
    "home of this release": (
        lambda root: (root / "tests/homes/2027-01-02.tar.zst").unlink(),
        "no home of 1.2.3 is committed as tests/homes/2027-01-02.tar.zst",
    ),
    "home of the last release": (
        lambda root: (root / "tests/homes/2026-12-01.tar.zst").unlink(),
        "no home of 1.2.2",
    ),
    "tag on another commit": (
        lambda root: git(root, "tag", "v1.2.3"),
        "v1.2.3 is another commit already",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("without_docs")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_is_named_and_nothing_is_tagged(
    release: ModuleType, ready: Path, capsys: pytest.CaptureFixture[str], mistake: str
) -> None:
    make, expected = MISTAKES[mistake]
    make(ready)
    commit(ready)
    before = git(ready, "tag")
    assert release.main(["--tag"], ready) == 1
    printed = capsys.readouterr().out
    assert expected in printed
    assert "hint: " in printed
    assert git(ready, "tag") == before


def test_documentation_with_a_warning_is_named(
    release: ModuleType, ready: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (ready / "docs/lost.rst").write_text("A page that nothing links\n=========================\n")
    commit(ready)
    assert release.main(["--tag"], ready) == 1
    assert "the documentation does not build" in capsys.readouterr().out
    assert git(ready, "tag") == ""


@pytest.mark.usefixtures("without_docs")
def test_change_that_is_not_committed_is_named(
    release: ModuleType, ready: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (ready / "new.txt").write_text("")
    assert release.main([], ready) == 1
    assert "not committed" in capsys.readouterr().out


@pytest.mark.usefixtures("without_docs")
def test_another_version_than_the_project_has_can_be_asked_for(
    release: ModuleType, ready: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.main(["v2.0.0"], ready) == 1
    assert "pyproject.toml has version 1.2.3, not 2.0.0" in capsys.readouterr().out
