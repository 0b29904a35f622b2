"""A real conda 24.7.1 without conda: the wheel of conda-lock 4.0.3 carries all of it but `conda/shell/`.

Everything comes from the package index by pip, pinned by hash. The environment is built once and kept in `.cache/` of
the repository; its folder is named by the digest of the pins, so that new pins make a new one.

    python -m tests.e2e.conda_client FOLDER        builds one by hand
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache"
DEPENDENCIES = HERE / "conda-dependencies.txt"
CARRIER = HERE / "conda-carrier.txt"
VENDORED = "conda_lock/_vendor/conda/"
VERSION = "24.7.1"

CONDARC = """\
solver: classic
report_errors: false
notify_outdated_conda: false
add_pip_as_python_dependency: false
default_channels: []
show_channel_urls: true
remote_max_retries: 1
"""
# A first line with a path in it may not have a space: the shell reads two lines, Python skips them as a text.
START = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys
from conda.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""


def find_conda() -> Path:
    """The `conda` program, built if need be; safe when several test processes ask at once."""
    pins = hashlib.sha256(b"".join(p.read_bytes() for p in (DEPENDENCIES, CARRIER, Path(__file__)))).hexdigest()[:12]
    folder = CACHE / f"conda-{VERSION}-py{sys.version_info.major}{sys.version_info.minor}-{pins}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "conda.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bin" / "conda").exists():
            shutil.rmtree(folder, ignore_errors=True)
            build_conda(folder)
    return folder / "bin" / "conda"


def build_conda(folder: Path) -> None:
    """Make a virtual environment at `folder` in which conda is importable and `bin/conda` runs it."""
    _run(sys.executable, "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "-q")
    _run(*pip, "install", "--require-hashes", "-r", str(DEPENDENCIES))
    with tempfile.TemporaryDirectory() as wheels:
        _run(
            *pip,
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "-r",
            str(CARRIER),
            "-d",
            wheels,
        )
        (wheel,) = Path(wheels).glob("conda_lock-*.whl")
        (site,) = (folder / "lib").glob("python*/site-packages")
        _unpack(wheel, site)
    _register(site)
    (folder / "conda-meta").mkdir(exist_ok=True)
    (folder / "conda-meta" / "history").touch()
    program = folder / "bin" / "conda"
    program.write_text(START.format(python=python))
    program.chmod(0o755)


def _unpack(wheel: Path, site: Path) -> None:
    """Copy conda out of the wheel; its imports get their own names back."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.startswith(VENDORED) or name.endswith("/"):
                continue
            data = archive.read(name)
            if name.endswith(".py"):
                data = re.sub(rb"conda_lock\._?vendor\.conda", b"conda", data)
            target = site / "conda" / name.removeprefix(VENDORED)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _register(site: Path) -> None:
    """The metadata by which plugins and `conda info` find conda."""
    metadata = site / f"conda-{VERSION}.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: conda\nVersion: {VERSION}\n")
    (metadata / "RECORD").touch()
    (metadata / "INSTALLER").write_text("tests/e2e\n")


def _run(*command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


@dataclass
class CondaClient:
    """conda in a home of its own: no configuration, cache or environment of the machine is seen."""

    program: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "condarc").write_text(CONDARC)
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{self.program.parent}:/usr/bin:/bin",
            "CONDARC": str(self.home / "condarc"),
            "CONDA_PKGS_DIRS": str(self.home / "pkgs"),
            "CONDA_ENVS_PATH": str(self.home / "envs"),
            "CONDA_SUBDIR": "linux-64",
            "LANG": "C.UTF-8",
        }

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), *map(str, arguments)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True)

    def installed(self, prefix: Path) -> dict[str, str]:
        """Version by name of what is linked into an environment."""
        records: list[dict[str, Any]] = [json.loads(p.read_text()) for p in (prefix / "conda-meta").glob("*.json")]
        return {record["name"]: record["version"] for record in records}


if __name__ == "__main__":
    build_conda(Path(sys.argv[1]).resolve())
