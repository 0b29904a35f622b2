"""The process in which a channel's repodata is solved: a request on stdin, records or an error on stdout, as JSON.

It may be ended at any time: what it reads is somebody else's, and how long a solution takes nobody knows beforehand.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from datetime import timedelta
from typing import Any

from rattler import Channel, GenericVirtualPackage, PackageName, Version, solve
from rattler.package.build_string import BuildString

VIRTUAL_PACKAGES = {
    "linux": {"__unix": "0", "__linux": "5.10", "__glibc": "2.28"},
    "osx": {"__unix": "0", "__osx": "13.0"},
    "win": {"__win": "10"},
}
"""What a machine of a platform offers at least; what pixi assumes where nothing is said."""
ARCHITECTURES = {"64": "x86_64", "aarch64": "aarch64", "arm64": "arm64", "ppc64le": "ppc64le"}
ERROR_CHARACTERS = 2_000


def main() -> None:
    """Solve the request that stdin holds."""
    request = json.load(sys.stdin)
    _limit(request["memory_bytes"], request["cpu_s"])
    try:
        answer: dict[str, Any] = {"records": asyncio.run(_solve(request))}
    except Exception as error:  # the solver's and the network's alike: what they say is what people need
        answer = {"error": " ".join(str(error).split())[:ERROR_CHARACTERS] or type(error).__name__}
    json.dump(answer, sys.stdout)


def _limit(memory_bytes: int, cpu_s: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))


async def _solve(request: dict[str, Any]) -> list[dict[str, Any]]:
    platform = request["platform"]
    records = await solve(
        [Channel(request["channel"])],
        request["specs"],
        platforms=[platform, "noarch"],
        virtual_packages=[
            GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))
            for name, (version, build) in _offered(platform).items()
        ],
        timeout=timedelta(seconds=request["cpu_s"]),
    )
    return [
        {
            "name": record.name.normalized,
            "version": str(record.version),
            "build": str(record.build),
            "subdir": str(record.subdir),
            "url": str(record.url),
            "md5": record.md5.hex() if record.md5 else "",
            "sha256": record.sha256.hex() if record.sha256 else "",
            "license": str(record.license or ""),
            "depends": [str(text) for text in record.depends],
            "size": record.size or 0,
            "timestamp_ms": round(record.timestamp.timestamp() * 1000) if record.timestamp else 0,
        }
        for record in records
    ]


def _offered(platform: str) -> dict[str, tuple[str, str]]:
    system, _, architecture = platform.partition("-")
    found = {name: (version, "0") for name, version in VIRTUAL_PACKAGES.get(system, {}).items()}
    return found | {"__archspec": ("1", ARCHITECTURES.get(architecture, architecture or "0"))}


if __name__ == "__main__":
    main()
