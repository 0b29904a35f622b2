"""Explicit lists: `@EXPLICIT` and the address of each artifact, as `conda list --explicit` and conda-lock write them.

Source: conda's reader of explicit lists accepts `URL`, `URL#md5` and `URL#sha256:…`; conda-lock adds PyPI packages as
comments (`# pip NAME @ URL --hash=sha256:…`).
"""

from __future__ import annotations

import re

from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.parsing import decode_text, refuse
from antivenom.core.readers.snapshot import Component, Skipped, Snapshot, conda_component, pypi_component

TITLE = "explicit list"
_PLATFORM = re.compile(r"#\s*platform:\s*([a-z0-9_-]+)")
_PIP = re.compile(r"#\s*pip\s+(?P<name>[A-Za-z0-9._-]+)\s*@\s*(?P<url>\S+)(?P<rest>.*)")
_SHA256 = re.compile(r"sha256[:=]([0-9a-fA-F]{64})")
_MD5 = re.compile(r"[0-9a-fA-F]{32}")


def read(data: bytes, name: str) -> list[Snapshot]:
    """The one environment of an explicit list.

    Raises:
        InvalidInputError: A line is neither an address nor a comment.
    """
    platform = ""
    components: list[Component] = []
    skipped: list[Skipped] = []
    for number, line in enumerate(decode_text(data, name).splitlines(), 1):
        text = line.strip()
        if found := _PLATFORM.match(text):
            platform = found[1]
        elif found := _PIP.match(text):
            _add_pip(found, components, skipped)
        elif text and not text.startswith(("#", "@EXPLICIT")):
            components.append(_read_line(text, name, number))
    subdirs = {c.subdir for c in components if c.subdir not in ("", "noarch")}
    if not platform and len(subdirs) == 1:
        platform = subdirs.pop()
    return [Snapshot("", platform, tuple(components), tuple(skipped))]


def _read_line(text: str, name: str, number: int) -> Component:
    address, _, digest = text.partition("#")
    sha256 = _SHA256.search(digest)
    md5 = "" if sha256 else digest if _MD5.fullmatch(digest) else ""
    try:
        stated = Component("conda", "", "", md5=md5.lower(), sha256=sha256[1].lower() if sha256 else "")
        return conda_component(address, stated)
    except InvalidInputError as error:
        raise refuse(name, error.message, line=number, hint=error.hint) from None


def _add_pip(found: re.Match[str], components: list[Component], skipped: list[Skipped]) -> None:
    sha256 = _SHA256.search(found["url"] + found["rest"])
    try:
        stated = Component("pypi", found["name"], "", sha256=sha256[1].lower() if sha256 else "")
        components.append(pypi_component(found["url"], stated))
    except InvalidInputError as error:
        skipped.append(Skipped(found["name"], error.message))
