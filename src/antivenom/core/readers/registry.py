"""The kinds of files that can be scanned, and which of them a file is.

A new format is a module with `TITLE` and `read` and a row of `KINDS`, and of `_BY_CONTENT` if file names do not tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import NamedTuple

from antivenom.core.errors import InvalidInputError
from antivenom.core.readers import (
    conda_list,
    conda_lock,
    cyclonedx,
    environment_yml,
    explicit,
    manifests,
    pixi_lock,
    python_locks,
    requirements,
    spdx,
)
from antivenom.core.readers.parsing import refuse
from antivenom.core.readers.snapshot import Snapshot

HEAD_BYTES = 65_536


class Kind(NamedTuple):
    """A kind of file. `files` are patterns of its usual names."""

    title: str
    read: Callable[[bytes, str], list[Snapshot]]
    files: tuple[str, ...]


KINDS: dict[str, Kind] = {
    "pixi-lock": Kind(pixi_lock.TITLE, pixi_lock.read, ("pixi.lock",)),
    "conda-lock": Kind(
        conda_lock.TITLE, conda_lock.read, ("conda-lock.yml", "conda-lock.yaml", "*.conda-lock.yml", "*-conda-lock.yml")
    ),
    "explicit": Kind(explicit.TITLE, explicit.read, ("conda-*.lock", "explicit*.txt")),
    "conda-list": Kind(conda_list.TITLE, conda_list.read, ()),
    "environment": Kind(
        environment_yml.TITLE,
        environment_yml.read,
        ("environment.yml", "environment.yaml", "environment*.yml", "environment*.yaml"),
    ),
    "pixi-manifest": Kind(manifests.TITLE, manifests.read, ("pixi.toml",)),
    "requirements": Kind(
        requirements.TITLE,
        requirements.read,
        ("requirements.txt", "requirements*.txt", "*-requirements.txt", "*_requirements.txt"),
    ),
    "python-lock": Kind(
        python_locks.TITLE, python_locks.read, ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "pylock.*.toml")
    ),
    "cyclonedx": Kind(
        cyclonedx.TITLE, cyclonedx.read, ("bom.json", "bom.xml", "*.cdx.json", "*.cdx.xml", "*.cyclonedx.json")
    ),
    "spdx": Kind(spdx.TITLE, spdx.read, ("*.spdx", "*.spdx.json", "*.spdx3.json")),
}

_BY_CONTENT: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("explicit", re.compile(rb"(?m)^\s*@EXPLICIT\s*$")),
    ("cyclonedx", re.compile(rb'"bomFormat"\s*:\s*"CycloneDX"|<bom[^>]+cyclonedx', re.IGNORECASE)),
    ("spdx", re.compile(rb'(?m)"spdxVersion"\s*:|"@context"\s*:\s*"[^"]*spdx|^SPDXVersion:')),
    ("conda-list", re.compile(rb'\A\s*\[\s*\{[^}]*"(?:build_string|dist_name|base_url)"')),
    ("pixi-lock", re.compile(rb"(?m)\Aversion:\s*\d+\s*$[\s\S]*^environments:")),
    ("conda-lock", re.compile(rb"(?m)^package:\s*$[\s\S]*^-?\s*-\s|^metadata:\s*$[\s\S]*content_hash:")),
    ("python-lock", re.compile(rb'(?m)^\[\[packages?\]\]\s*$[\s\S]*?^name\s*=\s*"')),
    ("pixi-manifest", re.compile(rb"(?m)^\[(?:tool\.pixi\.)?(?:workspace|project|dependencies)\]|^\[tool\.pixi")),
    ("environment", re.compile(rb"(?m)^dependencies:\s*$")),
    ("conda-list", re.compile(rb"(?m)\A(?:#.*\n)+[A-Za-z0-9_.-]+=[^=\s]+=[^=\s]+$")),
    ("requirements", re.compile(rb"(?m)\A(?:\s*(?:#.*|-.*)?\n)*[A-Za-z0-9._-]+(?:\[[^\]]*\])?\s*(?:[=~<>!]=?|@|;|$)")),
)


def read_file(data: bytes, name: str, kind: str = "") -> tuple[str, list[Snapshot]]:
    """The kind of a file and the snapshots in it.

    Args:
        name: Its path or name, for messages and to tell the kind by.
        kind: A key of `KINDS` when somebody says which it is.

    Raises:
        InvalidInputError: It is of no known kind, or malformed: file, line and reason.
    """
    check_kind(kind)
    found = kind or recognize(name, data[:HEAD_BYTES])
    if not found:
        hint = f"say which it is with --as: {', '.join(KINDS)}"
        raise refuse(name, "it is none of the kinds of files that can be scanned", hint=hint)
    return found, KINDS[found].read(data, name)


def check_kind(kind: str) -> None:
    """Refuse what is no key of `KINDS`; "" is none that anybody says.

    Raises:
        InvalidInputError: There is no such kind.
    """
    if kind and kind not in KINDS:
        raise InvalidInputError(f"{kind!r} is no kind of file that can be scanned", hint=f"one of: {', '.join(KINDS)}")


def recognize(name: str, head: bytes) -> str:
    """The kind of a file by its name, else by how it begins; "" for none."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head[: len(head) & ~1].decode("utf-16", "replace").encode()
    head = head.removeprefix(b"\xef\xbb\xbf")
    by_name = kind_of_name(name)
    by_content = next((kind for kind, pattern in _BY_CONTENT if pattern.search(head)), "")
    if by_name in ("requirements", "explicit", "environment", "") and by_content:  # names that say little
        return by_content
    return by_name


def kind_of_name(name: str) -> str:
    """The kind of file that usually has this name; "" for none."""
    bare = name.replace("\\", "/").rpartition("/")[2].lower()
    return next((kind for kind, of in KINDS.items() if any(fnmatchcase(bare, pattern) for pattern in of.files)), "")
