"""`conda list --json` (mamba's and micromamba's too), and `conda list --export` (`NAME=VERSION=BUILD` a line)."""

from __future__ import annotations

import re

import msgspec

from antivenom.core.readers.parsing import decode_text, first_character, parse_json, refuse
from antivenom.core.readers.snapshot import Component, Snapshot
from antivenom.core.redaction import redact_url

TITLE = "conda list"
_LINE = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)=(?P<version>[^=\s]+)=(?P<build>[^=\s]+)")
_PLATFORM = re.compile(r"#\s*platform:\s*([a-z0-9_-]+)")
_OF_PIP = ("pypi", "<pip>")


class _Package(msgspec.Struct):
    name: str
    version: str = ""
    build: str | None = None
    build_string: str | None = None
    channel: str = ""
    base_url: str | None = None
    platform: str | None = None
    url: str | None = None


def read(data: bytes, name: str) -> list[Snapshot]:
    """The one environment that was listed; packages of pip (channel `pypi`) are PyPI components.

    Raises:
        InvalidInputError: It is neither of the two forms.
    """
    if first_character(data, name) == "[":
        components = tuple(_component(package) for package in parse_json(data, name, list[_Package]) if package.version)
        platforms = {c.subdir for c in components if c.subdir not in ("", "noarch")}
        return [Snapshot("", platforms.pop() if len(platforms) == 1 else "", components)]
    return [_read_export(decode_text(data, name), name)]


def _component(package: _Package) -> Component:
    if package.channel in _OF_PIP or package.platform == "pypi" or (package.url or "").endswith(".whl"):
        return Component("pypi", package.name, package.version)
    channel = package.base_url if package.base_url and package.base_url != "None" else package.channel
    build = package.build_string or package.build or ""
    subdir = package.platform or ""
    return Component(
        "conda", package.name, package.version, build, subdir, redact_url(channel), redact_url(package.url or "")
    )


def _read_export(text: str, name: str) -> Snapshot:
    platform = ""
    components: list[Component] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if found := _PLATFORM.match(line):
            platform = found[1]
        if not line or line.startswith("#"):
            continue
        stated = _LINE.fullmatch(line)
        if stated is None:
            raise refuse(name, f"{line[:80]!r} is not NAME=VERSION=BUILD", line=number)
        if stated["build"] in ("pypi_0", "<pip>"):
            components.append(Component("pypi", stated["name"], stated["version"]))
        else:
            components.append(Component("conda", stated["name"], stated["version"], stated["build"], platform))
    return Snapshot("", platform, tuple(components))
