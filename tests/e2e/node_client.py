"""@conda-org/rattler under node: rattler's JavaScript build, which reads repodata with code of its own kind.

It comes from the package index by npm, pinned by version and digest, into a folder below `.cache/`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from tests.e2e.conda_client import CACHE

PACKAGE = "node_modules/@conda-org/rattler"
PIN = {
    "version": "0.3.5",
    "integrity": "sha512-06xx1n+N6xTd466y1HHXDwta/MbZDcGVq2eis79qlipEwMry/ei+5aUQxH5fBX70BFy8Wxd1hXBij0rrca/kjQ==",
}
SOLVE = """\
const { simpleSolve } = require("@conda-org/rattler");
const [channel, ...specs] = process.argv.slice(1);
simpleSolve(specs, [channel], ["linux-64", "noarch"], []).then(
  (found) => console.log(JSON.stringify(found.map((p) => [p.packageName, p.version]))),
  (error) => { console.error(String(error)); process.exitCode = 1; },
);
"""


def find_node() -> str | None:
    """The node program when it is version 20 or later; None else."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    return node if int(version.lstrip("v").partition(".")[0] or 0) >= 20 else None


def find_package() -> Path:
    """The folder with the package in its `node_modules`; installed once."""
    folder = CACHE / f"rattler-js-{hashlib.sha256(json.dumps(PIN).encode()).hexdigest()[:12]}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "rattler-js.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / PACKAGE / "package.json").exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    root = {"name": "e2e", "version": "1.0.0", "dependencies": {"@conda-org/rattler": PIN["version"]}}
    lock = {"name": "e2e", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": root, PACKAGE: PIN}}
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text(json.dumps(root))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"npm ci failed:\n{done.stdout}{done.stderr}")


def solve(node: str, folder: Path, channel: str, *specs: str) -> subprocess.CompletedProcess[str]:
    """stdout is a JSON list of [name, version]."""
    command = [node, "-e", SOLVE, channel, *specs]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
