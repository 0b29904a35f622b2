"""`conda-lock.yml` (version 1, and the unnumbered one before it), and pixi's lock files of the same form (1 to 3).

Source: the models of conda-lock 4 and of rattler_lock (version 3).
"""

from __future__ import annotations

from typing import Any

import msgspec

from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.parsing import parse_yaml, refuse, unknown_version
from antivenom.core.readers.snapshot import Component, Skipped, Snapshot, conda_component, pypi_component

TITLE = "conda-lock"
VERSIONS = ("1", "2", "3")


class _Package(msgspec.Struct):
    name: str
    url: str = ""
    version: str = ""
    manager: str = "conda"
    platform: str = ""
    category: str = "main"
    build: str = ""
    license: str = ""
    hash: dict[str, str] | str = ""
    dependencies: dict[str, str] | list[str] = []
    purls: list[str] | str = []


class _Lock(msgspec.Struct):
    package: list[_Package] | str
    version: str = "1"
    metadata: Any = None


def read(data: bytes, name: str) -> list[Snapshot]:
    """One snapshot for each platform; packages of all categories.

    Raises:
        InvalidInputError: It is of a version that is not known, or a conda package has no address of an artifact.
    """
    lock = parse_yaml(data, name, _Lock)
    if lock.version not in VERSIONS:
        raise unknown_version(name, lock.version, VERSIONS)
    found: dict[str, tuple[list[Component], list[Skipped]]] = {}
    for number, package in enumerate(lock.package if isinstance(lock.package, list) else ()):
        components, skipped = found.setdefault(package.platform, ([], []))
        try:
            components.append(_component(package))
        except InvalidInputError as error:
            if package.manager == "conda":
                raise refuse(name, f"package[{number}] ({package.name}): {error.message}", hint=error.hint) from None
            skipped.append(Skipped(package.name, error.message))
    return [Snapshot("", platform, tuple(c), tuple(s)) for platform, (c, s) in sorted(found.items())]


def _component(package: _Package) -> Component:
    hashes = package.hash if isinstance(package.hash, dict) else {}
    needs = package.dependencies
    stated = Component(
        package.manager,
        package.name,
        package.version,
        package.build,
        md5=hashes.get("md5", ""),
        sha256=hashes.get("sha256", ""),
        license=package.license,
        depends=tuple(f"{k} {v}".strip() for k, v in needs.items()) if isinstance(needs, dict) else tuple(needs),
        purls=tuple(package.purls) if isinstance(package.purls, list) else (),
    )
    if package.manager != "conda":
        return pypi_component(package.url, stated)
    return conda_component(package.url, stated, platform=package.platform)
