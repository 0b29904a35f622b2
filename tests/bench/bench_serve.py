"""Serving against nginx, in one run: requests (shards) and bytes (100 MB) per CPU-second of the server.

    python -m tests.bench.bench_serve        prints one JSON document; under a minute; needs nginx and wrk

Both serve the same bytes on loopback; the CPU time is that of the server's processes, children included, while wrk
loads it. The channel is a real one, published in PostgreSQL and a folder of blobs, with authorization in the path (once
public, once by token).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

CASE_S = 6
CONNECTIONS = {"shard": 32, "large": 4}
LARGE_BYTES = 100 * 1024 * 1024
UNITS = {"B": 1.0, "KB": 2.0**10, "MB": 2.0**20, "GB": 2.0**30}
FLOORS = {"shard": 0.45, "large": 1.0}

NGINX = """\
daemon off; worker_processes 1; error_log {folder}/nginx.err; pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {folder}/files; }}
}}
"""


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process and its children."""
    members = [process, *process.children(recursive=True)]
    return sum(times.user + times.system for times in (member.cpu_times() for member in members))


def load(process: psutil.Process, url: str, connections: int, *headers: str) -> dict[str, float]:
    """Load one URL with wrk; what the server did per CPU-second."""
    options = [argument for header in headers for argument in ("-H", header)]
    before = cpu_seconds(process)
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{CASE_S}s", *options, url], capture_output=True, text=True, check=True
    )
    used_s = cpu_seconds(process) - before
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"{url}: {done.stdout}")
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])  # type: ignore[index]
    amount, unit = re.search(r"([\d.]+)(\w?B) read", done.stdout).groups()  # type: ignore[union-attr]
    return {
        "requests_per_cpu_s": round(requests / used_s, 1),
        "gb_per_cpu_s": round(float(amount) * UNITS[unit] / used_s / 1e9, 3),
        "cpu_s": round(used_s, 2),
    }


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_for(url: str) -> bytes:
    for _ in range(400):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read(1 << 16)
        time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer")


@contextlib.contextmanager
def running(command: list[str], **options: Any) -> Iterator[psutil.Process]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(15)


@contextlib.contextmanager
def nginx(folder: Path, files: dict[str, bytes | Path]) -> Iterator[tuple[psutil.Process, str]]:
    (folder / "files").mkdir()
    for name, data in files.items():
        if isinstance(data, Path):
            shutil.copy(data, folder / "files" / name)
        else:
            (folder / "files" / name).write_bytes(data)
    folder.chmod(0o755)
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    with running([program, "-c", str(folder / "nginx.conf"), "-p", str(folder)]) as process:
        wait_for(f"http://127.0.0.1:{port}/{next(iter(files))}")
        yield process, f"http://127.0.0.1:{port}"


def web_process(home: Path) -> psutil.Process:
    """The process that answers requests: the one that holds the port."""
    facts = json.loads((home / "server.json").read_text())
    port = int(facts["url"].rsplit(":", 1)[1])
    for process in [psutil.Process(facts["pid"]), *psutil.Process(facts["pid"]).children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections("tcp")):
                arguments = process.cmdline()
                if "worker" not in arguments and process.pid != facts["pid"]:
                    return process
    return psutil.Process(facts["pid"])


def measure() -> dict[str, Any]:
    """Every case with its ratio to nginx."""
    from tests.conftest import launch_server
    from tests.e2e.upstream_channel import Package, write_upstream
    from tests.upstreams import UpstreamServer

    folder = Path(tempfile.mkdtemp(prefix="antivenom-bench-"))
    folder.chmod(0o755)
    many = [Package("tool", f"{i}.0", depends=tuple(f"dep{j} >={i}" for j in range(20))) for i in range(60)]
    large = Package("large", "1.0", payload=os.urandom(LARGE_BYTES))
    write_upstream(folder / "upstream", [*many, large], shards=True)
    server = launch_server(folder / "home", "--no-demo")
    try:
        with UpstreamServer(folder / "upstream") as upstream:
            for name, privacy in (("open", "public"), ("closed", "authenticated")):
                server.cli("channel", "create", name, "--privacy", privacy)
                server.cli("mirror", "create", name, "--upstream", upstream.url, "--subdir", "linux-64")
                server.cli("mirror", "sync", name, "--wait")
            token = json.loads(server.cli("token", "create", "--name", "bench", "--output", "json").stdout)["token"]
            return _measure(folder, server, token)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _measure(folder: Path, server: Any, token: str) -> dict[str, Any]:
    import msgspec
    import zstandard

    base = f"{server.url}/conda/open/noarch"
    with urllib.request.urlopen(f"{base}/repodata_shards.msgpack.zst") as answer:
        index = msgspec.msgpack.decode(zstandard.decompress(answer.read(), max_output_size=1 << 26))
    shard = f"shards/{index['shards']['tool'].hex()}.msgpack.zst"
    body = wait_for(f"{base}/{shard}")
    artifact = next((folder / "upstream" / "noarch").glob("large-*"))
    with urllib.request.urlopen(f"{base}/{artifact.name}") as answer:  # the first request fetches it
        while answer.read(1 << 20):
            pass
    process = web_process(server.home)
    with nginx(folder, {"shard": body, "large": artifact}) as (peer, peer_url):
        results: dict[str, Any] = {
            "shard_bytes": len(body),
            "nginx": {
                "shard": load(peer, f"{peer_url}/shard", CONNECTIONS["shard"]),
                "large": load(peer, f"{peer_url}/large", CONNECTIONS["large"]),
            },
            "antivenom": {
                "shard": load(process, f"{base}/{shard}", CONNECTIONS["shard"]),
                "shard_by_token": load(
                    process,
                    f"{server.url}/conda/closed/noarch/{shard}",
                    CONNECTIONS["shard"],
                    f"Authorization: Bearer {token}",
                ),
                "large": load(process, f"{base}/{artifact.name}", CONNECTIONS["large"]),
            },
        }
    ours, theirs = results["antivenom"], results["nginx"]
    results["ratios"] = {
        "shard": _ratio(ours["shard"], theirs["shard"], "requests_per_cpu_s"),
        "shard_by_token": _ratio(ours["shard_by_token"], theirs["shard"], "requests_per_cpu_s"),
        "large": _ratio(ours["large"], theirs["large"], "gb_per_cpu_s"),
    }
    results["floors"] = FLOORS
    return results


def _ratio(ours: dict[str, float], theirs: dict[str, float], unit: str) -> float:
    return round(ours[unit] / theirs[unit], 2)


if __name__ == "__main__":
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed (Debian package: wrk)")
    print(json.dumps(measure(), indent=2))
