"""Lock files of Python's own tools: `pylock.toml` (PEP 751), `uv.lock`, `poetry.lock`, `pdm.lock`.

All are lists of packages with a name, a version and where it comes from. What is installed from a folder or is the
project itself has no version that advisories know.

Source: PEP 751; uv's and Poetry's lock files as they write them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from antivenom.core.readers.parsing import parse_toml, unknown_version
from antivenom.core.readers.snapshot import Component, Skipped, Snapshot

TITLE = "Python lock file"
_OF_UV, _OF_POETRY, _OF_PDM = ("1",), ("1", "2"), ("1", "2", "3", "4")
_LOCAL_SOURCES = ("virtual", "editable", "directory", "path")


class _Source(msgspec.Struct, rename="kebab"):
    registry: str | None = None
    virtual: str | None = None
    editable: str | None = None
    directory: str | None = None
    path: str | None = None
    git: str | None = None
    url: str | None = None
    type: str | None = None


class _Package(msgspec.Struct, rename="kebab"):
    name: str
    version: str | None = None
    source: _Source | str | None = None
    dependencies: list[Any] | dict[str, Any] = []
    directory: Any = None
    vcs: Any = None


class _Lock(msgspec.Struct, rename="kebab"):
    package: list[_Package] = []  # uv, Poetry and PDM
    packages: list[_Package] = []  # PEP 751
    lock_version: str | None = None
    version: int | str | None = None
    metadata: Any = None


def read(data: bytes, name: str) -> list[Snapshot]:
    """One snapshot of every package that is locked, whatever its markers say.

    Raises:
        InvalidInputError: It is of another shape, or of a version that is not known.
    """
    lock = parse_toml(data, name, _Lock)
    _check_version(lock, name)
    components: list[Component] = []
    skipped: list[Skipped] = []
    for package in (*lock.package, *lock.packages):
        if reason := _why_skipped(package):
            skipped.append(Skipped(package.name, reason))
        else:
            components.append(Component("pypi", package.name, package.version or "", depends=_depends(package)))
    return [Snapshot("", "", tuple(dict.fromkeys(components)), tuple(skipped))]


def _check_version(lock: _Lock, name: str) -> None:
    """Refuse what a later release of a tool wrote: PEP 751, Poetry, PDM and uv each count in their own way."""
    about = lock.metadata if isinstance(lock.metadata, dict) else {}
    stated = lock.lock_version or about.get("lock-version") or about.get("lock_version")
    if stated is not None:
        known = ("1",) if lock.packages else _OF_PDM if "lock_version" in about else _OF_POETRY
        major = str(stated).partition(".")[0]
        if major not in known:
            raise unknown_version(name, str(stated), known)
    elif lock.version is not None and str(lock.version) not in _OF_UV:
        raise unknown_version(name, str(lock.version), _OF_UV)


def _why_skipped(package: _Package) -> str:
    source = package.source if isinstance(package.source, _Source) else _Source()
    if package.directory is not None or any(getattr(source, kind) is not None for kind in _LOCAL_SOURCES) or (
        source.type in ("directory", "file")
    ):  # fmt: skip
        return "it is the project itself, or installed from a folder"
    return "" if package.version else "the file names no version of it"


def _depends(package: _Package) -> tuple[str, ...]:
    if isinstance(package.dependencies, dict):
        return tuple(package.dependencies)
    return tuple(str(entry["name"]) for entry in package.dependencies if isinstance(entry, dict) and "name" in entry)
