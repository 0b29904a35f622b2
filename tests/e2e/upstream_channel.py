"""A small upstream channel of real, installable artifacts, made here: noarch packages with one text file each."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from tests.upstreams import write_channel

TIMESTAMP_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Package:
    """What an artifact is made of. `security`: content of its info/security.json."""

    name: str
    version: str
    depends: tuple[str, ...] = ()
    subdir: str = "noarch"
    license: str = "MIT"
    security: dict[str, Any] | None = None
    payload: bytes = b""
    suffix: str = ".conda"

    @property
    def build(self) -> str:
        return "0"

    @property
    def fn(self) -> str:
        return f"{self.name}-{self.version}-{self.build}{self.suffix}"


def write_upstream(folder: Path, packages: list[Package], **options: Any) -> dict[str, bytes]:
    """Write artifacts and index below `folder`; the artifacts' bytes by file name."""
    subdirs: dict[str, list[tuple[str, dict[str, Any]]]] = {"linux-64": [], "noarch": []}
    artifacts = {}
    for package in packages:
        data = make_artifact(package)
        artifacts[package.fn] = data
        (folder / package.subdir).mkdir(parents=True, exist_ok=True)
        (folder / package.subdir / package.fn).write_bytes(data)
        subdirs[package.subdir].append((package.fn, make_index_record(package, data)))
    write_channel(folder, subdirs, **options)
    return artifacts


def make_index_record(package: Package, data: bytes) -> dict[str, Any]:
    return {
        **_index_json(package),
        "md5": hashlib.md5(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }


def _index_json(package: Package) -> dict[str, Any]:
    index = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": 0,
        "depends": list(package.depends),
        "license": package.license,
        "subdir": package.subdir,
        "timestamp": TIMESTAMP_MS,
    }
    return index | ({"noarch": "generic"} if package.subdir == "noarch" else {})


def make_artifact(package: Package) -> bytes:
    """The bytes of a .conda or .tar.bz2 artifact."""
    path = f"share/{package.name}/version.txt"
    content = package.payload or f"{package.version}\n".encode()
    entry = {
        "_path": path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }
    info = {
        "info/index.json": json.dumps(_index_json(package)).encode(),
        "info/paths.json": json.dumps({"paths": [entry], "paths_version": 1}).encode(),
        "info/files": f"{path}\n".encode(),
        "info/about.json": json.dumps({"license": package.license}).encode(),
    }
    if package.security is not None:
        info["info/security.json"] = json.dumps(package.security).encode()
    if package.suffix == ".tar.bz2":
        return _tar(info | {path: content}, "w:bz2")
    stem = package.fn.removesuffix(".conda")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        archive.writestr(f"pkg-{stem}.tar.zst", zstandard.compress(_tar({path: content}, "w")))
        archive.writestr(f"info-{stem}.tar.zst", zstandard.compress(_tar(info, "w")))
    return out.getvalue()


def _tar(files: dict[str, bytes], mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()
