"""What stands in an installed environment: `conda-meta/*.json`, and the metadata that pip leaves in `site-packages`.

A package that conda and pip both list is one component, conda's. Reading the disk is the command line's part.

Source: conda's `PrefixRecord`; PyPA's "Recording installed projects" and "Recording the Direct URL Origin" (PEP 610).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from antivenom.core.conda.record_fields import timestamp_ms
from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.parsing import parse_json, refuse
from antivenom.core.readers.snapshot import Component, Skipped, pypi_component
from antivenom.core.redaction import redact_url
from antivenom_client.names import normalize_python

_FIELD = re.compile(r"(?m)^(Name|Version):[ \t]*(\S+)[ \t]*$")
_DISTRIBUTION = re.compile(r"([^/\\]+\.(?:dist-info|egg-info|egg|egg-link))(?:/|$)")


class _Record(msgspec.Struct):
    """The fields of a record that a scan needs; of the thousands of paths only those of Python's metadata."""

    name: str
    version: str
    build: str = ""
    build_string: str = ""
    subdir: str | None = None
    channel: Any = None
    url: str | None = None
    md5: str | None = None
    sha256: str | None = None
    license: str | None = None
    depends: list[str] | None = None
    purls: list[str] | None = None
    size: Any = None
    timestamp: Any = None
    files: list[str] | None = None


class Distribution(NamedTuple):
    """One project in `site-packages`: its metadata folder, egg or link, and what is in it.

    `installer`: the program, by its name.
    """

    folder: str
    metadata: bytes
    direct_url: bytes = b""
    installer: bytes = b""


class CondaPackages(NamedTuple):
    """What conda installed, and the names of the metadata folders that came with it."""

    components: tuple[Component, ...]
    distributions: frozenset[str]
    skipped: tuple[Skipped, ...]


def read_records(records: Mapping[str, bytes]) -> CondaPackages:
    """The packages of `conda-meta`, by file name. A record that cannot be read is skipped, with the reason."""
    components: list[Component] = []
    distributions: set[str] = set()
    skipped: list[Skipped] = []
    for name in sorted(records):
        try:
            record = parse_json(records[name], name, _Record)
            components.append(_component(record, name))
        except InvalidInputError as error:
            skipped.append(Skipped(name, error.message))
            continue
        for path in record.files or ():
            if ("-info" in path or "egg" in path) and (found := _DISTRIBUTION.search(path)):
                distributions.add(found[1])
    return CondaPackages(tuple(components), frozenset(distributions), tuple(skipped))


def _component(record: _Record, name: str) -> Component:
    if not record.name or not record.version:
        raise refuse(name, "it names no package and version")
    if (record.url or "").partition("#")[0].endswith(".whl"):  # a wheel in a conda channel is PyPI's
        stated = Component("pypi", record.name, record.version, md5=record.md5 or "", sha256=record.sha256 or "")
        return pypi_component(record.url or "", stated)
    channel = record.channel if isinstance(record.channel, str) else ""
    if record.url and record.subdir and f"/{record.subdir}/" in record.url:
        channel = record.url.rpartition(f"/{record.subdir}/")[0]
    return Component(
        "conda",
        record.name.lower(),
        record.version,
        record.build or record.build_string,
        record.subdir or "",
        redact_url(channel.rstrip("/")),
        redact_url(record.url or ""),
        record.md5 or "",
        record.sha256 or "",
        record.license or "",
        tuple(record.depends or ()),
        tuple(record.purls or ()),
        size_bytes=record.size if isinstance(record.size, int) else 0,
        timestamp_ms=timestamp_ms(record.timestamp),
    )


def read_distributions(
    distributions: Iterable[Distribution], of_conda: CondaPackages
) -> tuple[list[Component], list[Skipped]]:
    """What pip and its like installed: all projects but those that came with a conda package."""
    components: list[Component] = []
    skipped: list[Skipped] = []
    conda_names = {normalize_python(c.name): c.version for c in of_conda.components}
    for found in sorted(set(distributions)):  # lib/python3.1 is a link to lib/python3.12
        if found.folder in of_conda.distributions or found.installer.strip() == b"conda":
            continue
        head = found.metadata.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode("utf-8", "replace")
        fields = dict(_FIELD.findall(head))
        name, version = fields.get("Name", ""), fields.get("Version", "")
        if not name or not version:
            skipped.append(Skipped(found.folder, "its metadata names no project and version"))
        elif conda_names.get(normalize_python(name)) != version or found.direct_url:
            components.append(Component("pypi", name, version, url=_origin(found.direct_url)))
    return components, skipped


def _origin(direct_url: bytes) -> str:
    """Where a project was installed from when that was no index: a folder, a repository, a file."""
    try:
        found = msgspec.json.decode(direct_url, type=dict[str, Any]) if direct_url else {}
    except msgspec.DecodeError:
        return ""
    url = found.get("url")
    return redact_url(url) if isinstance(url, str) else ""
