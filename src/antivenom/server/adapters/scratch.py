"""Files that nobody needs once their process is gone, and how they are told from those that somebody works on.

Whoever works on a file or folder holds a lock on it. The kernel releases the lock when the process ends, however it
ends: so what can be locked by another is left over from a dead one.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

LOCK_NAME = ".lock"
YOUNG_S = 60.0  # whoever made it may not have locked it yet


class Swept(NamedTuple):
    """What was left over: how many files, of how many bytes."""

    files: int = 0
    size_bytes: int = 0

    def plus(self, other: Swept) -> Swept:
        """Both together."""
        return Swept(self.files + other.files, self.size_bytes + other.size_bytes)


@contextmanager
def scratch_folder(root: Path, name: str) -> Iterator[Path]:
    """An empty folder below `root`, removed at the end; `sweep` removes it if this process dies before."""
    folder = root / f"{name}-{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock_in_use(lock)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def lock_in_use(file: int) -> None:
    """Say of an open file that somebody works on it, for as long as it is open."""
    with suppress(OSError):  # a file system without locks: then `sweep` cannot lock it either
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_left_over(path: Path, *, young_s: float = YOUNG_S) -> bool:
    """Whether the process that worked on a file is gone."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if time.time() - os.fstat(file).st_mtime < young_s:
            return False
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def sweep(root: Path, *, young_s: float = YOUNG_S, dry_run: bool = False) -> Swept:
    """Remove the folders and files of `root` that dead processes left, also those one folder below.

    Folders without a lock are left over too: earlier releases locked nothing, and a younger one makes its lock at once.
    """
    swept = Swept()
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.name == "artifacts" and path.is_dir():  # downloads, each a file with a lock of its own
            for file in sorted(path.iterdir()):
                if is_left_over(file, young_s=young_s):
                    swept = swept.plus(_remove(file, dry_run=dry_run))
        elif path.is_dir() and not path.is_symlink() and _is_dead_folder(path, young_s):
            swept = swept.plus(_remove(path, dry_run=dry_run))
    return swept


def _is_dead_folder(path: Path, young_s: float) -> bool:
    lock = path / LOCK_NAME
    if lock.exists():
        return is_left_over(lock, young_s=young_s)
    with suppress(OSError):
        return time.time() - path.stat().st_mtime >= young_s
    return False


def _remove(path: Path, *, dry_run: bool) -> Swept:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    sizes = []
    for file in files:
        with suppress(OSError):
            if file.name != LOCK_NAME:
                sizes.append(file.stat().st_size)
    if not dry_run:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return Swept(len(sizes), sum(sizes))
