"""`pixi.lock`, versions 4 to 7 (1 to 3 have conda-lock's form): each environment on each platform is a snapshot.

Since version 5, or 6 for some fields, what an entry's address says is left out of the entry. Packages that are built
from source have a path in place of an address, and name what tells apart several of one path.

Source: the models of rattler_lock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from antivenom.core.conda.record_fields import timestamp_ms
from antivenom.core.errors import InvalidInputError
from antivenom.core.readers import conda_lock
from antivenom.core.readers.parsing import parse_yaml, unknown_version
from antivenom.core.readers.snapshot import Component, Skipped, Snapshot, conda_component, pypi_component
from antivenom.core.redaction import redact_url

TITLE = "pixi.lock"
VERSIONS = ("1", "2", "3", "4", "5", "6", "7")
_SOURCE = re.compile(r"(?P<name>[^\[\s]+)(?:\[[^\]]*\])?\s*@\s*(?P<path>.+)")
_SELECTORS = ("name", "version", "build", "subdir")


class _Package(msgspec.Struct):
    kind: str = ""
    url: str = ""
    path: str = ""
    conda: str = ""
    pypi: str = ""
    conda_source: str = ""
    name: str = ""
    version: str = ""
    build: str = ""
    subdir: str = ""
    channel: str = ""
    md5: str = ""
    sha256: str = ""
    license: str = ""
    size: str = ""
    timestamp: str = ""
    depends: list[str] | str = []
    requires_dist: list[str] | str = []
    purls: list[str] | str = []

    @property
    def address(self) -> str:
        return self.conda or self.pypi or self.conda_source or self.url or self.path


class _Environment(msgspec.Struct):
    packages: dict[str, list[dict[str, Any]]] | str = {}


class _Platform(msgspec.Struct):
    name: str
    subdir: str = ""


class _Lock(msgspec.Struct):
    version: str = ""
    platforms: list[_Platform] | str = []
    environments: dict[str, _Environment] = {}
    packages: list[_Package] | str = []


def read(data: bytes, name: str) -> list[Snapshot]:
    """One snapshot for each environment and platform.

    Raises:
        InvalidInputError: It is of a version that is not known, or of a shape that its version does not have.
    """
    if (found := re.search(rb"(?m)^version:\s*['\"]?(\w+)", data)) and found[1].decode() not in VERSIONS:
        raise unknown_version(name, found[1].decode(), VERSIONS)
    if re.search(rb"(?m)^package:", data):
        return conda_lock.read(data, name)
    lock = parse_yaml(data, name, _Lock)
    if lock.version not in VERSIONS:
        raise unknown_version(name, lock.version, VERSIONS)
    by_address: dict[str, list[_Package]] = {}
    for package in lock.packages if isinstance(lock.packages, list) else ():
        by_address.setdefault(package.address, []).append(package)
    named = lock.platforms if isinstance(lock.platforms, list) else ()
    subdirs = {platform.name: platform.subdir or platform.name for platform in named}
    return [
        _snapshot(environment, subdirs.get(platform, platform), entries, by_address)
        for environment, stated in lock.environments.items()
        for platform, entries in (stated.packages.items() if isinstance(stated.packages, dict) else ())
    ]


def _snapshot(
    environment: str, platform: str, entries: list[dict[str, Any]], packages: Mapping[str, list[_Package]]
) -> Snapshot:
    components, skipped = [], []
    for entry in entries:
        kind, address = next(((k, str(entry[k])) for k in ("conda", "pypi", "conda_source") if k in entry), ("", ""))
        package = _select(packages.get(address, []), entry) or _Package()
        try:
            components.append(_component(kind, address, package, platform))
        except InvalidInputError as error:
            skipped.append(Skipped(package.name or address, error.message))
    return Snapshot(environment, platform, tuple(components), tuple(skipped))


def _select(packages: list[_Package], entry: Mapping[str, Any]) -> _Package | None:
    """Of the packages with one address the one whose fields are as the entry says."""
    wanted = {field: str(entry[field]) for field in _SELECTORS if field in entry}
    fitting = [p for p in packages if all(getattr(p, field) == value for field, value in wanted.items())]
    return fitting[0] if fitting else None


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _component(kind: str, address: str, package: _Package, platform: str) -> Component:
    needs = package.requires_dist if kind == "pypi" else package.depends
    stated = Component(
        kind,
        package.name,
        package.version,
        package.build,
        package.subdir,
        redact_url(package.channel),
        md5=package.md5,
        sha256=package.sha256,
        license=package.license,
        depends=tuple(needs) if isinstance(needs, list) else (),
        purls=tuple(package.purls) if isinstance(package.purls, list) else (),
        size_bytes=_number(package.size),
        timestamp_ms=timestamp_ms(_number(package.timestamp)),
    )
    if kind == "pypi":
        return pypi_component(address, stated)
    if "://" in address or address.endswith((".conda", ".tar.bz2")):
        return conda_component(address, stated, platform=platform)
    source = _SOURCE.fullmatch(address)
    name = package.name or (source["name"] if source else "")
    if not name or not package.version:
        raise InvalidInputError(f"{name or address} is built from source, and the file does not say as which version")
    return stated._replace(type="conda", name=name)
