"""The demo's upstream channel, made from packages.yaml: an index per subdir and small but installable artifacts.

Everything is deterministic (times come from the data), so every process makes the same bytes and the same digests.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
import zstandard

PLATFORMS = ("linux-64", "osx-arm64", "win-64")
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
ZSTD_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Build:
    """One artifact to make: what its record says before its bytes are known."""

    subdir: str
    name: str
    version: str
    build: str
    depends: tuple[str, ...]
    license: str
    summary: str
    released: datetime

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"


def read(path: str) -> bytes | None:
    """`<subdir>/repodata.json`, the same with `.zst`, or `<subdir>/<artifact>`; None when there is no such file."""
    subdir, _, name = path.partition("/")
    if subdir not in ("noarch", *PLATFORMS):
        return None
    if name == "repodata.json":
        return _index(subdir)
    if name == "repodata.json.zst":
        return zstandard.compress(_index(subdir), ZSTD_LEVEL)
    return _artifacts(subdir).get(name)


@cache
def _index(subdir: str) -> bytes:
    artifacts = _artifacts(subdir)
    records = {f"{b.stem}.conda": _record(b, artifacts[f"{b.stem}.conda"]) for b in _builds() if b.subdir == subdir}
    index = {
        "info": {"subdir": subdir},
        "packages": {},
        "packages.conda": records,
        "removed": [],
        "repodata_version": 1,
    }
    return json.dumps(index, separators=(",", ":")).encode()


@cache
def _artifacts(subdir: str) -> dict[str, bytes]:
    return {f"{build.stem}.conda": _artifact(build) for build in _builds() if build.subdir == subdir}


@cache
def _builds() -> tuple[Build, ...]:
    # BaseLoader leaves every scalar a string: a version such as 1.10 must not become a number.
    document = yaml.load(files(__package__).joinpath("packages.yaml").read_bytes(), Loader=yaml.BaseLoader)  # noqa: S506
    return tuple(
        build
        for name, package in document["packages"].items()
        for version, facts in package["versions"].items()
        for build in _builds_of(document, name, package, version, facts)
    )


def _builds_of(
    document: dict[str, Any], name: str, package: dict[str, Any], version: str, facts: str | dict[str, Any]
) -> Iterator[Build]:
    own: dict[str, Any] = {"released": facts} if isinstance(facts, str) else facts
    depends = tuple(own.get("depends", package.get("depends", ())))

    def make(subdir: str, build: str, *python: str) -> Build:
        return Build(
            subdir,
            name,
            version,
            build,
            (*depends, *python),
            own.get("license", package["license"]),
            package["summary"],
            datetime.fromisoformat(own["released"]).replace(tzinfo=UTC),
        )

    if package["builds"] == "noarch":
        yield make("noarch", "demo_0", *(() if package.get("python") == "false" else ("python >=3.8",)))
        return
    for platform in document["platforms"]:
        if package["builds"] == "native":
            yield make(platform, "demo_0")
            continue
        for python in document["pythons"]:
            major, minor = python.split(".")
            span = f"python >={python},<{major}.{int(minor) + 1}.0a0"
            yield make(platform, f"py{major}{minor}_demo_0", span)


def _record(build: Build, artifact: bytes) -> dict[str, Any]:
    return {
        **_index_json(build),
        "md5": hashlib.md5(artifact, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(artifact).hexdigest(),
        "size": len(artifact),
    }


def _index_json(build: Build) -> dict[str, Any]:
    platform, _, architecture = build.subdir.partition("-")
    return {
        "arch": None if build.subdir == "noarch" else {"64": "x86_64"}.get(architecture, architecture),
        "build": build.build,
        "build_number": 0,
        "depends": sorted(build.depends),
        "license": build.license,
        "name": build.name,
        **({"noarch": "generic"} if build.subdir == "noarch" else {}),
        "platform": None if build.subdir == "noarch" else platform,
        "subdir": build.subdir,
        "timestamp": round(build.released.timestamp() * 1000),
        "version": build.version,
    }


def _artifact(build: Build) -> bytes:
    """A complete `.conda` file that installs one text file.

    Source: CEP 35 (format 2: an uncompressed zip of metadata.json, pkg-*.tar.zst and info-*.tar.zst).
    """
    place = f"share/doc/{build.name}/demo.txt"
    content = f"{build.name} {build.version} from Antivenom's demo channel: a stand-in, not the real thing.\n".encode()
    path = {
        "_path": place,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }
    info = {
        "info/index.json": _json(_index_json(build)),
        "info/paths.json": _json({"paths": [path], "paths_version": 1}),
        "info/about.json": _json({"license": build.license, "summary": build.summary}),
        "info/files": f"{place}\n".encode(),
    }
    if build.subdir == "noarch":
        info["info/link.json"] = _json({"noarch": {"type": "generic"}, "package_metadata_version": 1})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (
            ("metadata.json", _json({"conda_pkg_format_version": 2})),
            (f"pkg-{build.stem}.tar.zst", _tar({place: content}, build)),
            (f"info-{build.stem}.tar.zst", _tar(info, build)),
        ):
            archive.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), data)
    return buffer.getvalue()


def _tar(members: dict[str, bytes], build: Build) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), round(build.released.timestamp())
            archive.addfile(member, io.BytesIO(data))
    return zstandard.compress(buffer.getvalue(), ZSTD_LEVEL)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
