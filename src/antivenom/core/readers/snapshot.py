"""What a reader finds: the components of each environment and platform that a file states."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from antivenom.core.conda.records import split_filename
from antivenom.core.errors import InvalidInputError
from antivenom.core.redaction import redact_url

COMPONENTS_MAX = 1_000_000
_SUBDIR = re.compile(r"noarch|[a-z]+-[a-z0-9_]+")
_WHEEL = re.compile(r"(?P<name>[A-Za-z0-9._]+)-(?P<version>[^-/]+)(?:-[^-/]+)?-[^-/]+-[^-/]+-[^-/]+\.whl")
_SDIST = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)\.(?:tar\.(?:gz|bz2|xz)|zip|tgz)")


_HEX = frozenset("0123456789abcdefABCDEF")


class Component(NamedTuple):
    """One package that is installed, or locked for an installation. What the target does not say is empty.

    `type` is "conda" or the type of a purl ("pypi", "npm"). `channel` is a name or an address without secrets. `purl`
    is as an SBOM writes it. `depends` are names or match specs, `purls` those that a conda record has itself.
    `size_bytes` and `timestamp_ms` (when it was built, ms since 1970 UTC) are 0 when unknown.
    """

    type: str
    name: str
    version: str
    build: str = ""
    subdir: str = ""
    channel: str = ""
    url: str = ""
    md5: str = ""
    sha256: str = ""
    license: str = ""
    depends: tuple[str, ...] = ()
    purls: tuple[str, ...] = ()
    purl: str = ""
    size_bytes: int = 0
    timestamp_ms: int = 0


def list_digests(component: Component) -> list[tuple[str, str]]:
    """(algorithm, hex) of each digest that is one of its algorithm; a lock may say anything."""
    stated = (("MD5", component.md5, 32), ("SHA-256", component.sha256, 64))
    return [(name, digest) for name, digest, size in stated if len(digest) == size and _HEX.issuperset(digest)]


class Skipped(NamedTuple):
    """Something that a target names and that cannot be assessed, and why."""

    what: str
    why: str


class Snapshot(NamedTuple):
    """The components of one environment for one platform. `platform` "" is unknown, or all.

    `wanted`: what a file asks for that nobody has solved; then it is no snapshot of an installation.
    """

    environment: str
    platform: str
    components: tuple[Component, ...]
    skipped: tuple[Skipped, ...] = ()
    wanted: tuple[str, ...] = ()


def conda_component(url: str, stated: Component | None = None, *, platform: str = "") -> Component:
    """The conda component behind the address of an artifact; what is `stated` beside it wins over what it says.

    A wheel in a conda channel is a PyPI component.

    Raises:
        InvalidInputError: The last part of the address is no file name of an artifact.
    """
    address = redact_url(url.partition("#")[0])
    folder, _, fn = unquote(urlsplit(address).path).rpartition("/")
    if fn.endswith(".whl"):
        digests = Component("pypi", "", "", md5=stated.md5, sha256=stated.sha256) if stated else None
        return pypi_component(url, digests)
    name, version, build, _ = split_filename(fn)
    subdir = folder.rpartition("/")[2]
    is_channel = _SUBDIR.fullmatch(subdir) is not None
    channel = address.rpartition("/")[0].rpartition("/")[0] if is_channel else ""
    found = Component("conda", name, version, build, subdir if is_channel else platform, channel, address)
    return merge(found, stated)


def pypi_component(url: str, stated: Component | None = None) -> Component:
    """The PyPI component behind the address of a wheel or a source distribution; what is `stated` wins.

    Raises:
        InvalidInputError: Neither the address nor what is stated names a version.
    """
    address = redact_url(url.partition("#")[0])
    fn = unquote(urlsplit(address).path).rpartition("/")[2]
    found = _WHEEL.fullmatch(fn) or _SDIST.fullmatch(fn)
    made = merge(Component("pypi", *((found["name"], found["version"]) if found else ("", "")), url=address), stated)
    if not made.name or not made.version:
        raise InvalidInputError(f"{address or made.name!r} names no version")
    return made


def merge(component: Component, stated: Component | None) -> Component:
    """The component with every field that is stated; its type stays."""
    if stated is None:
        return component
    fields = zip(component, stated._replace(type=component.type), strict=True)
    return Component._make(given or known for known, given in fields)
