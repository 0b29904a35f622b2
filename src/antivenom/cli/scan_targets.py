"""What `antivenom scan` is asked to look at, read from disk: files, prefixes, virtual environments, folders of them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.parsing import FILE_MAX_BYTES
from antivenom.core.readers.prefix import CondaPackages, Distribution, read_distributions, read_records
from antivenom.core.readers.registry import kind_of_name, read_file
from antivenom.core.readers.snapshot import Component, Skipped, Snapshot
from antivenom_client import environments
from antivenom_client.names import normalize_python
from antivenom_client.prefix import is_leftover

RECORD_MAX_BYTES = 64 << 20
METADATA_MAX_BYTES = 8 << 20
FILES_MAX = 100_000
_NOT_ENTERED = {".git", ".hg", ".svn", "node_modules", "__pycache__", "pkgs"}
_FOUND_IN_FOLDERS = (
    "pixi-lock",
    "conda-lock",
    "explicit",
    "python-lock",
    "requirements",
    "cyclonedx",
    "spdx",
    "environment",
)


def is_found_in_folders(name: str) -> bool:
    """Whether a file of this name is scanned where a folder is named."""
    return kind_of_name(name) in _FOUND_IN_FOLDERS


class Target(NamedTuple):
    """One thing that was read: where it is, what it is, and the snapshots in it; `error`: why it could not be read."""

    path: str
    kind: str
    snapshots: list[Snapshot]
    error: str = ""


class Reading:
    """Everything that some arguments name, read one after another; what cannot be read is a target with its error.

    `failed`: the errors of what was named itself, not found in a folder.

    Args:
        resolve: Solves what a target asks for.
    """

    def __init__(self, texts: Sequence[str], kind: str = "", resolve: Callable[[Target], Target] | None = None) -> None:
        self._texts, self._kind, self._resolve = texts, kind, resolve
        self.failed: list[InvalidInputError] = []

    @property
    def is_lost(self) -> bool:
        """Whether the only thing that was named could not be read: then there is nothing to report on."""
        return len(self._texts) == len(self.failed) == 1

    def __iter__(self) -> Iterator[Target]:
        for text in self._texts:
            try:
                for target in read_target(text, self._kind):
                    yield self._resolved(target, text)
            except InvalidInputError as error:
                self.failed.append(error)
                yield Target(text, self._kind, [], error.message)

    def _resolved(self, target: Target, text: str) -> Target:
        """The target with what it asks for resolved; one of a folder that cannot be is told as one that is not read."""
        if self._resolve is None or target.error:
            return target
        try:
            return self._resolve(target)
        except InvalidInputError as error:
            if target.path == text:
                raise
            return Target(target.path, target.kind, [], error.message)


def read_target(text: str, kind: str = "") -> Iterator[Target]:
    """Everything that one argument names; a folder is searched, and what cannot be read there is a target, too.

    Args:
        text: A path, or "-" for standard input.
        kind: What it is, when somebody says so.

    Raises:
        InvalidInputError: There is no such thing, it cannot be read, or it is of no known kind.
    """
    if text == "-":
        yield Target("-", *read_file(sys.stdin.buffer.read(FILE_MAX_BYTES + 1), "standard input", kind))
        return
    if not text:
        raise InvalidInputError("a target is empty", hint="is a variable of the pipeline not set? . is this folder")
    path = Path(text)
    try:
        path.stat()
    except FileNotFoundError:
        hint = "name a file, a folder, or an environment with -n or -p"
        raise InvalidInputError(f"there is no {text}", hint=hint) from None
    except OSError as error:
        raise _cannot_read(path, error) from None
    if is_environment(path):
        yield read_environment(path)
    elif path.is_dir():
        yield from _read_folder(path, kind)
    else:
        yield Target(text, *read_file(_bytes_of(path, FILE_MAX_BYTES), text, kind))


def read_bytes(text: str) -> bytes:
    """The content of a file that somebody named.

    Raises:
        InvalidInputError: It cannot be read.
    """
    return _bytes_of(Path(text), FILE_MAX_BYTES)


def _bytes_of(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise _cannot_read(path, error) from None


def _cannot_read(path: Path, error: OSError) -> InvalidInputError:
    return InvalidInputError(f"{path} cannot be read: {error.strerror or error}")


# -- environments ------------------------------------------------------------------------------------------------------


def find_environment(name: str) -> Path:
    """The prefix of a conda environment by its name, where conda looks for it.

    Raises:
        InvalidInputError: No environment of that name is found.
    """
    try:
        return Path(environments.find_environment(name))
    except environments.NoEnvironmentError as error:
        looked = f"looked in {error}" if error.looked_in else "no conda or mamba is found here"
        raise InvalidInputError(f"no environment is named {name!r}; {looked}", hint="name its folder with -p") from None


def is_environment(path: Path) -> bool:
    """Whether a folder is a conda prefix or a virtual environment."""
    return environments.is_environment(str(path))


def read_environment(path: Path) -> Target:
    """What is installed in a prefix: conda's packages, and those of pip beside them.

    Raises:
        InvalidInputError: A folder of it cannot be read.
    """
    try:
        return _read_environment(path)
    except OSError as error:
        raise _cannot_read(Path(error.filename or path), error) from None


def _read_environment(path: Path) -> Target:
    records: dict[str, bytes] = {}
    lost: list[Skipped] = []
    if (path / "conda-meta").is_dir():
        for entry in os.scandir(path / "conda-meta"):
            if entry.name.endswith(".json") and entry.is_file():
                label = f"conda-meta/{entry.name}"
                try:
                    records[label] = _bytes_of(Path(entry.path), RECORD_MAX_BYTES)
                except InvalidInputError as error:  # the rest of a damaged environment counts
                    lost.append(Skipped(label, error.message))
    of_conda = read_records(records)
    of_pip, skipped = read_distributions(_list_distributions(path), of_conda)
    components = (*of_conda.components, *_python_of_venv(path, of_conda), *of_pip)
    subdirs = [c.subdir for c in of_conda.components if c.subdir not in ("", "noarch")]
    snapshot = Snapshot(path.name, subdirs[0] if subdirs else "", components, (*lost, *of_conda.skipped, *skipped))
    return Target(str(path), "prefix" if (path / "conda-meta").is_dir() else "venv", [snapshot])


def _list_distributions(path: Path) -> Iterator[Distribution]:
    for packages in (*sorted(path.glob("lib/python3*/site-packages")), path / "Lib" / "site-packages"):
        if not packages.is_dir():
            continue
        for entry in os.scandir(packages):
            folder = Path(entry.path)
            if is_leftover(entry.name):
                continue
            if entry.name.endswith(".dist-info") and entry.is_dir():
                files = (_metadata(folder / name) for name in ("METADATA", "direct_url.json", "INSTALLER"))
                yield Distribution(entry.name, *files)
            elif entry.name.endswith(".egg-info"):
                yield Distribution(entry.name, _metadata(folder / "PKG-INFO" if entry.is_dir() else folder))
            elif entry.name.endswith(".egg"):
                info = folder / "EGG-INFO" / "PKG-INFO"
                yield Distribution(entry.name, _metadata(info) if entry.is_dir() else _metadata_of_zip(folder))
            elif entry.name.endswith(".egg-link"):
                yield _read_egg_link(folder)


def _metadata_of_zip(path: Path) -> bytes:
    """What a zipped egg says of itself; nothing where it cannot be read, as for a folder."""
    try:
        if not path.is_file():
            return b""
        with zipfile.ZipFile(path) as egg, egg.open("EGG-INFO/PKG-INFO") as file:
            return file.read(METADATA_MAX_BYTES + 1)
    except (OSError, KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return b""


def _read_egg_link(path: Path) -> Distribution:
    """The project in the folder that `setup.py develop` linked: the first line names it."""
    lines = _metadata(path).decode("utf-8", "replace").splitlines()
    folder = path.parent / (lines[0].strip() if lines else "")
    try:
        found = sorted(folder.glob("*.egg-info")) if lines else []
        own = [info for info in found if normalize_python(info.stem) == normalize_python(path.stem)]
        origin = msgspec.json.encode({"url": folder.absolute().as_uri()})
    except (OSError, ValueError):  # closed, or no path at all
        return Distribution(path.name, b"")
    return Distribution(path.name, _metadata(own[0] / "PKG-INFO") if own else b"", origin)


def _metadata(path: Path) -> bytes:
    """What a file says; nothing where it cannot be read: then its project is left out by its folder's name."""
    try:
        return _bytes_of(path, METADATA_MAX_BYTES) if path.is_file() else b""
    except (InvalidInputError, OSError):
        return b""


def _python_of_venv(path: Path, of_conda: CondaPackages) -> list[Component]:
    """The Python that a virtual environment was made of; conda's own is a package."""
    config = path / "pyvenv.cfg"
    if of_conda.components or not config.is_file():
        return []
    lines = _bytes_of(config, 65_536).decode("utf-8", "replace").splitlines()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
    version = facts.get("version") or facts.get("version_info", "")
    numbers = ".".join(version.split(".")[:3])
    return [Component("generic", "python", numbers, purl=f"pkg:generic/python@{numbers}")] if numbers else []


# -- folders -----------------------------------------------------------------------------------------------------------


def _read_folder(folder: Path, kind: str) -> Iterator[Target]:
    """Everything below a folder that can be scanned, without what git ignores; links are not followed.

    A folder without anything is a target that says so: a misspelled path in a pipeline must not look clean.
    """
    seen = -1
    for seen, (path, error) in enumerate(_find(folder)):
        if seen >= FILES_MAX:
            raise InvalidInputError(f"{folder} has more than {FILES_MAX:,} files to scan", hint="scan parts of it")
        try:
            if error is not None:
                raise _cannot_read(path, error)
            if path.is_dir():
                yield read_environment(path)
            else:
                yield Target(str(path), *read_file(_bytes_of(path, FILE_MAX_BYTES), str(path), kind))
        except InvalidInputError as refused:
            yield Target(str(path), kind or kind_of_name(path.name), [], refused.message)
    if seen < 0:
        yield Target(str(folder), kind, [], f"{folder} has nothing that can be scanned")


def _find(folder: Path) -> Iterator[tuple[Path, OSError | None]]:
    """The files and environments below a folder in the order of their names, and the folders that cannot be entered."""
    ignored = _ignored_by_git(folder)
    closed: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=closed.append):
        yield from ((Path(error.filename), error) for error in closed)
        closed.clear()
        here = Path(place)
        environments = [name for name in folders if _is_environment_below(here / name)]
        folders[:] = sorted(
            name for name in folders
            if name not in _NOT_ENTERED and name not in environments and str(here / name) not in ignored
        )  # fmt: skip
        for name in sorted((*environments, *files)):
            path = here / name
            if str(path) in ignored:
                continue
            if name in environments or (is_found_in_folders(name) and _is_plain_file(path)):
                yield path, None
    yield from ((Path(error.filename), error) for error in closed)


def _is_environment_below(path: Path) -> bool:
    """Whether a folder that was found is an environment; a link is not followed, and a closed folder is walked into."""
    try:
        return not path.is_symlink() and is_environment(path)
    except OSError:
        return False


def _is_plain_file(path: Path) -> bool:
    """Whether it is a file itself: no link, which may lead anywhere, and no pipe, which may never end."""
    try:
        return S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _ignored_by_git(folder: Path) -> frozenset[str]:
    """Files and folders that git ignores; none where there is no git or no repository."""
    asked = ["git", "-C", str(folder), "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"]
    try:
        done = subprocess.run(asked, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return frozenset()
    return frozenset(str(folder / os.fsdecode(name).rstrip("/")) for name in done.stdout.split(b"\0") if name)
