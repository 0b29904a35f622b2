"""What git says changed: `antivenom scan --since REF` looks at these files alone, and at what they were before."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from antivenom.cli.output import note
from antivenom.cli.scan_targets import FILES_MAX, Target, is_found_in_folders
from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.parsing import FILE_MAX_BYTES
from antivenom.core.readers.registry import read_file

TIMEOUT_S = 60
_NO_COMMIT = re.compile(r"0{40}(?:0{24})?")


class ChangedFile(NamedTuple):
    """A file that differs from what it was: its path from here, and its old bytes, None where it is new."""

    path: str
    old: bytes | None


def find_changed(texts: Sequence[str], ref: str) -> list[ChangedFile]:
    """The files that can be scanned and differ from where the branch left `ref`; uncommitted and untracked ones too.

    Args:
        texts: Files and folders to look at; the working folder when there are none.
        ref: A commit, branch or tag. Forty zeros, as CI systems say for a new branch: every file is new.

    Raises:
        InvalidInputError: This is no repository of git, or it does not have `ref`.
    """
    top = Path(_git("rev-parse", "--show-toplevel").decode(errors="surrogateescape").rstrip("\n"))
    base = _find_base(ref)
    _check_there(texts, top, base)
    paths = [os.path.abspath(text) for text in texts] or ["."]
    untracked = _split(_git("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", *paths))
    was = dict.fromkeys(untracked, "") | dict(_list_differing(base, paths))
    if len(was) > FILES_MAX:
        raise InvalidInputError(f"more than {FILES_MAX:,} files changed since {ref}", hint="name folders or files")
    named = {os.path.realpath(path) for path in paths}
    found = []
    for path, old_path in sorted(was.items()):
        here = top / path
        if here.is_file() and not here.is_symlink() and (is_found_in_folders(here.name) or str(here) in named):
            found.append(ChangedFile(os.path.relpath(here), _read_old(base, old_path)))
    return found


def _check_there(texts: Sequence[str], top: Path, base: str) -> None:
    """Refuse what neither is nor was there: a misspelled path must not look like one that did not change."""
    for text in texts:
        path = os.path.relpath(os.path.realpath(text), top)
        if not os.path.lexists(text) and _ask_git("cat-file", "-e", f"{base}:{path}").returncode:
            raise InvalidInputError(f"there is no {text}, and there was none", hint="name files and folders")


def _find_base(ref: str) -> str:
    """The commit that changes are counted from; the empty tree for forty zeros."""
    if _NO_COMMIT.fullmatch(ref):
        return _git("hash-object", "-t", "tree", os.devnull).decode().strip()
    hint = f"fetch it: git fetch origin {ref}; a shallow clone has the newest commits alone"
    commit = _ask_git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if commit.returncode:
        raise InvalidInputError(f"git has no commit {ref!r} here", hint=hint)
    name = commit.stdout.decode().strip()
    common = _ask_git("merge-base", name, "HEAD")
    return common.stdout.decode().strip() if not common.returncode else name  # a shallow clone does not know


def _list_differing(base: str, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each path that differs, from the top of the repository, and what it was called before ("": it was not)."""
    parts = iter(
        _split(_git("diff", "--name-status", "-z", "-M", "--no-ext-diff", "--no-relative", base, "--", *paths))
    )
    for status in parts:
        old = next(parts)
        new = next(parts) if status[:1] in "RC" else old
        if status[:1] != "D":
            yield new, "" if status[:1] == "A" else old


def _read_old(base: str, path: str) -> bytes | None:
    if not path:
        return None
    size = _ask_git("cat-file", "-s", f"{base}:{path}")
    if size.returncode or int(size.stdout) > FILE_MAX_BYTES:
        return None
    return _git("cat-file", "blob", f"{base}:{path}")


def _split(data: bytes) -> list[str]:
    return [os.fsdecode(part) for part in data.split(b"\0") if part]


def _git(*arguments: str) -> bytes:
    done = _ask_git(*arguments)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise InvalidInputError(f"git {arguments[0]} failed: {said[-1] if said else done.returncode}")
    return done.stdout


def _ask_git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Git's answer; it takes paths as they are written, and no lock."""
    command = ["git", "--literal-pathspecs", "--no-optional-locks", *arguments]
    try:
        return subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise InvalidInputError("--since asks git, and git is not installed") from None
    except subprocess.TimeoutExpired:
        raise InvalidInputError(f"git {arguments[0]} took longer than {TIMEOUT_S} seconds") from None


def old_targets(changed: Sequence[ChangedFile], kind: str) -> Iterator[Target]:
    """What was in the changed files before; one that cannot be read had nothing, so that all of it is new."""
    for file in changed:
        if file.old is None:
            continue
        try:
            yield Target(file.path, *read_file(file.old, file.path, kind))
        except InvalidInputError as error:
            note(f"{file.path} as it was cannot be read, so all that it has is new: {error.message}")
