"""`antivenom scan --solve CHANNEL`: what an installation of a file's specs would get today."""

from __future__ import annotations

import json
import platform as machine
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from antivenom.cli.output import note
from antivenom.cli.scan_targets import Target
from antivenom.core.errors import InvalidInputError
from antivenom.core.readers.snapshot import Component, Snapshot, conda_component
from antivenom.core.redaction import redact_url

WAIT_S = 300
CPU_S = 240
MEMORY_BYTES = 6 << 30
ANSWER_MAX_BYTES = 64 << 20
SPECS_MAX = 2_000
OF_PIP = " (of pip)"
_PLATFORM = re.compile(r"(?:linux|osx|win|freebsd|emscripten|wasi|zos)-[a-z0-9_]+")
_SYSTEMS = {"Linux": "linux", "Darwin": "osx", "Windows": "win"}
_MACHINES = {"x86_64": "64", "AMD64": "64", "i686": "32"}


class Solver:
    """Solves what targets ask for from one channel for one platform.

    Args:
        channel: The address of a channel, a name that conda knows, or a folder.
        platform: "" for this machine's.

    Raises:
        InvalidInputError: It is no platform.
    """

    def __init__(self, channel: str, platform: str = "") -> None:
        self._platform = platform or this_platform()
        if _PLATFORM.fullmatch(self._platform) is None:
            raise InvalidInputError(f"{self._platform!r} is no platform", hint="such as linux-64, osx-arm64, win-64")
        folder = Path(channel)
        self._channel = folder.resolve().as_uri() if "://" not in channel and folder.is_dir() else channel

    def solve(self, target: Target) -> Target:
        """The target with its conda specs solved; one that asks for none is as it was.

        Raises:
            InvalidInputError: There is no solution, or none within the limits.
        """
        if not any(_conda_specs(snapshot) for snapshot in target.snapshots):
            return target
        snapshots = [self._solve(target.path, snapshot) for snapshot in target.snapshots]
        return target._replace(kind="solved", snapshots=snapshots)

    def _solve(self, path: str, snapshot: Snapshot) -> Snapshot:
        specs = _conda_specs(snapshot)
        if len(specs) > SPECS_MAX:
            raise InvalidInputError(f"{path}: more than {SPECS_MAX:,} specs are not solved")
        found = tuple(_component(record) for record in self._ask(path, specs))
        where = f"from {redact_url(self._channel)} for {self._platform}"
        note(f"{path}: solved {where}: what an installation would get today")
        rest = tuple(text for text in snapshot.wanted if text.endswith(OF_PIP))
        return snapshot._replace(platform=self._platform, components=(*found, *snapshot.components), wanted=rest)

    def _ask(self, path: str, specs: list[str]) -> list[dict[str, Any]]:
        request = {"channel": self._channel, "platform": self._platform, "specs": specs,
                   "memory_bytes": MEMORY_BYTES, "cpu_s": CPU_S}  # fmt: skip
        command = [sys.executable, "-m", "antivenom.cli.scan_solver"]
        given = json.dumps(request).encode()
        try:
            done = subprocess.run(command, input=given, capture_output=True, timeout=WAIT_S, check=False)
        except subprocess.TimeoutExpired:
            raise InvalidInputError(f"{path}: not solved within {WAIT_S} seconds", hint="scan a lock file") from None
        answer = _read_answer(done.stdout)
        if "records" in answer:
            return list(answer["records"])
        why = answer.get("error") or f"the solver ended with {done.returncode}: too much memory or time"
        raise InvalidInputError(f"{path} cannot be solved from {redact_url(self._channel)}: {why}")


def _read_answer(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data) if len(data) <= ANSWER_MAX_BYTES else {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _conda_specs(snapshot: Snapshot) -> list[str]:
    return [text for text in snapshot.wanted if not text.endswith(OF_PIP)]


def _component(record: dict[str, Any]) -> Component:
    stated = Component(
        "conda", record["name"], record["version"], record["build"], record["subdir"],
        md5=record["md5"], sha256=record["sha256"], license=record["license"], depends=tuple(record["depends"]),
        size_bytes=record["size"], timestamp_ms=record["timestamp_ms"],
    )  # fmt: skip
    return conda_component(record["url"], stated)


def this_platform() -> str:
    """The platform of this machine, as conda calls it."""
    system, processor = machine.system(), machine.machine()
    return f"{_SYSTEMS.get(system, system.lower())}-{_MACHINES.get(processor, processor.lower())}"
