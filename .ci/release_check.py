"""Say what a release still lacks, each with the command that helps: `make release-check [ARGS="--tag"]`.

Checks that pyproject.toml, the package and the newest heading of CHANGELOG.md name one version, that nothing stands
under Unreleased, that the tag is free, that the tree is clean, that tests/homes holds a home of every release, and that
the documentation builds. Tags only with --tag, and only when nothing is missing.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).resolve().parent.parent
RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)
UNRELEASED = re.compile(r"^## \[Unreleased\]$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class Missing(NamedTuple):
    """One thing that a release lacks, and what helps."""

    what: str
    hint: str


def project_version(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def check_version(root: Path, version: str) -> Iterator[Missing]:
    """pyproject.toml and `__version__` name the version."""
    if project_version(root) != version:
        yield Missing(
            f"pyproject.toml has version {project_version(root)}, not {version}", f'set version = "{version}" there'
        )
    code = (root / "src/antivenom/__init__.py").read_text(encoding="utf-8")
    if f'__version__ = "{version}"' not in code:
        yield Missing(f"src/antivenom/__init__.py does not say {version}", f'set __version__ = "{version}" there')


def check_changelog(root: Path, version: str) -> Iterator[Missing]:
    """The newest release of CHANGELOG.md is the version, and nothing is left under Unreleased."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    released = RELEASE.findall(text)
    if not released or released[0][0] != version:
        newest = released[0][0] if released else "none"
        yield Missing(
            f"the newest release in CHANGELOG.md is {newest}, not {version}",
            f"write what changed under a heading `## [{version}] - DATE`",
        )
    waiting = UNRELEASED.search(text)
    if waiting is None:
        yield Missing("CHANGELOG.md has no heading `## [Unreleased]`", "put one above the newest release")
    elif waiting[1].strip():
        yield Missing(
            "CHANGELOG.md has changes under Unreleased", f"move them below the heading of {version}, or of the next one"
        )


def check_homes(root: Path, _version: str) -> Iterator[Missing]:
    """A home that each release left behind is committed, named by the release's date."""
    committed = git(root, "ls-files", "tests/homes").split()
    for version, day in RELEASE.findall((root / "CHANGELOG.md").read_text(encoding="utf-8")):
        if f"tests/homes/{day}.tar.zst" not in committed:
            yield Missing(
                f"no home of {version} is committed as tests/homes/{day}.tar.zst",
                f"on the commit of {version}: python -m tests.homes.make {day}, then git add and commit it",
            )


def check_tree(root: Path, version: str) -> Iterator[Missing]:
    """Everything is committed, and the tag is free or already on this commit."""
    if git(root, "status", "--porcelain"):
        yield Missing("the work tree has changes that are not committed", "git status, then git commit or git stash")
    tag = f"v{version}"
    if tag in git(root, "tag", "--list").split() and tag not in git(root, "tag", "--points-at", "HEAD").split():
        yield Missing(
            f"{tag} is another commit already", f"a tag never moves: release the next version, or git show {tag}"
        )


def check_docs(root: Path, _version: str) -> Iterator[Missing]:
    """The documentation builds without a warning."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "--quiet", "docs", "docs/_build/html"]
    built = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if built.returncode:
        first = next((line for line in built.stderr.splitlines() if line.strip()), "no output")
        yield Missing(f"the documentation does not build: {first}", "make docs")


CHECKS = (check_version, check_changelog, check_homes, check_tree, check_docs)


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: list[str], root: Path = REPO) -> int:
    """Print what is missing and return 1, or return 0; with --tag make the tag of a release that lacks nothing."""
    parser = argparse.ArgumentParser(prog="make release-check", description=__doc__.split("\n\n")[0])
    parser.add_argument("version", nargs="?", help="the version to release; default: that of pyproject.toml")
    parser.add_argument("--tag", action="store_true", help="make the tag when nothing is missing")
    wanted = parser.parse_args(arguments)
    version = (wanted.version or project_version(root)).removeprefix("v")
    missing = [one for check in CHECKS for one in check(root, version)]
    for one in missing:
        print(f"missing: {one.what}\n   hint: {one.hint}")
    if missing:
        print(f"{len(missing)} to do before {version} is released.")
        return 1
    if wanted.tag and not git(root, "tag", "--list", f"v{version}"):
        git(root, "tag", "--annotate", f"v{version}", "--message", f"Antivenom {version}")
        print(f"Made the tag v{version}. It is not pushed: git push origin v{version}")
    else:
        print(f"{version} lacks nothing." + ("" if wanted.tag else ' Tag it: make release-check ARGS="--tag"'))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
