"""Serving against nginx, in one run: requests (shards) and bytes (100 MB) per CPU-second of the server.

    python -m tests.bench.bench_serve [--client wrk|asyncio]      prints one JSON document; under two minutes

Both serve the same bytes on loopback; the CPU time is that of the server's processes, children included, while another
process loads it (wrk, or tests/bench/http_load.py where there is none). Ours is a whole `antivenom up`: a real channel,
published in PostgreSQL and a folder of blobs, with authorization in the path (once public, once by token).
"""

from __future__ import annotations

import argparse
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
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

REPO = Path(__file__).resolve().parents[2]
ROUNDS = 3  # nginx and ours take turns, so that a busy moment of the machine hits both
CASE_S = 3
CONNECTIONS = {"shard": 32, "large": 4}
LARGE_BYTES = 100 * 1024 * 1024
UNITS = {"B": 1.0, "KB": 2.0**10, "MB": 2.0**20, "GB": 2.0**30}
SIZES = {"shard": "shard", "shard_by_token": "shard", "repodata": "large", "artifact": "large"}
FLOORS = {"shard": 0.45, "shard_by_token": 0.45, "repodata": 1.0}

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


def load(client: str, process: psutil.Process, url: str, connections: int) -> dict[str, float]:
    """Load one URL for CASE_S seconds: requests, bytes, and the CPU-seconds that the server needed."""
    before = cpu_seconds(process)
    requests, received = (load_with_wrk if client == "wrk" else load_with_asyncio)(url, connections)
    used_s = cpu_seconds(process) - before
    if not requests or used_s <= 0:
        raise SystemExit(f"{url}: {requests} requests in {used_s} CPU-seconds: nothing can be told from that")
    return {"requests": requests, "gigabytes": received / 1e9, "cpu_s": used_s}


def load_with_wrk(url: str, connections: int) -> tuple[int, float]:
    """Requests that were answered, and bytes that were received."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{CASE_S}s", "--timeout", "20s", url]
    output = run_client(command)
    requests, received = re.search(r"(\d+) requests in", output), re.search(r"([\d.]+)(\w?B) read", output)
    if "Non-2xx" in output or "Socket errors" in output or not requests or not received:
        raise SystemExit(f"{url}: wrk says:\n{output}")
    return int(requests[1]), float(received[1]) * UNITS[received[2]]


def load_with_asyncio(url: str, connections: int) -> tuple[int, float]:
    """The same, slower, with our own client."""
    command = [sys.executable, "-m", "tests.bench.http_load", url, str(connections), str(CASE_S)]
    document = json.loads(run_client(command))
    return document["requests"], document["bytes"]


def run_client(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO, timeout=CASE_S + 60, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout


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
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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


def measure(client: str) -> dict[str, Any]:
    """Every case beside nginx's."""
    from tests.conftest import launch_server
    from tests.upstreams import UpstreamServer

    folder = Path(tempfile.mkdtemp(prefix="antivenom-bench-"))
    folder.chmod(0o755)
    try:
        artifact = write_corpus(folder / "upstream")
        server = launch_server(folder / "home", "--no-demo")
        try:
            with UpstreamServer(folder / "upstream") as upstream:
                for name, privacy in (("open", "public"), ("closed", "authenticated")):
                    server.cli("channel", "create", name, "--privacy", privacy)
                    server.cli("mirror", "create", name, "--upstream", upstream.url, "--subdir", "linux-64")
                    server.cli("mirror", "sync", name, "--wait")
                token = json.loads(server.cli("token", "create", "--name", "bench", "--output", "json").stdout)["token"]
                return measure_server(client, folder, server, token, artifact)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_corpus(folder: Path) -> Path:
    """An upstream with one name of 60 versions (a shard of some KB) and one artifact of LARGE_BYTES; the artifact."""
    from tests.e2e.upstream_channel import Package, write_upstream

    many = [Package("tool", f"{i}.0", depends=tuple(f"dep{j} >={i}" for j in range(20))) for i in range(60)]
    large = Package("large", "1.0", payload=os.urandom(LARGE_BYTES))
    write_upstream(folder, [*many, large], shards=True)
    return folder / "noarch" / large.fn


def fetch(url: str) -> int:
    """The size of what a URL answers."""
    size = 0
    with urllib.request.urlopen(url, timeout=60) as answer:
        while chunk := answer.read(1 << 20):
            size += len(chunk)
    return size


def measure_server(client: str, folder: Path, server: Any, token: str, artifact: Path) -> dict[str, Any]:
    import msgspec
    import zstandard

    base = f"{server.url}/conda/open/noarch"
    index = zstandard.decompress(wait_for(f"{base}/repodata_shards.msgpack.zst"), max_output_size=1 << 26)
    shard = f"shards/{msgspec.msgpack.decode(index)['shards']['tool'].hex()}.msgpack.zst"
    body = wait_for(f"{base}/{shard}")
    enlarge_monoliths(server.home / "blobs", artifact)
    urls = {
        "shard": f"{base}/{shard}",
        "shard_by_token": f"{server.url}/t/{token}/conda/closed/noarch/{shard}",
        "repodata": f"{base}/repodata.json.zst",
        "artifact": f"{base}/{artifact.name}",
    }
    for name in ("artifact", "repodata"):  # an artifact's first request has it fetched and stored
        if fetch(urls[name]) != artifact.stat().st_size:
            raise SystemExit(f"{urls[name]} is served short")
    ours = web_process(server.home)
    measured: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    with nginx(folder, {"shard": body, "large": artifact}) as (peer, peer_url):
        for _ in range(ROUNDS):
            for size, connections in CONNECTIONS.items():
                measured["nginx", size].update(load(client, peer, f"{peer_url}/{size}", connections))
                for case in (case for case in urls if SIZES[case] == size):
                    measured["antivenom", case].update(load(client, ours, urls[case], connections))
    cases = {case: compare(measured["antivenom", case], measured["nginx", size]) for case, size in SIZES.items()}
    return {
        "client": client,
        "shard_bytes": len(body),
        "large_bytes": artifact.stat().st_size,
        "cases": cases,
        "ratios": {name: case["ratio"] for name, case in cases.items()},
        "floors": FLOORS,
    }


def enlarge_monoliths(blobs: Path, large: Path) -> None:
    """Put a large file where the small `repodata.json.zst` of the corpus lie; nothing that is served looks inside."""
    places = list((blobs / "monolith").rglob("*.zst"))
    if not places:
        raise SystemExit(f"no monolith below {blobs}")
    for place in places:
        shutil.copy(large, place.with_suffix(".new"))
        place.with_suffix(".new").replace(place)


def compare(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, Any]:
    """Both numbers per CPU-second, and ours as a share of nginx's: requests for small files, gigabytes for large."""
    unit = "gigabytes" if theirs["gigabytes"] / theirs["requests"] > 0.01 else "requests"
    mine, nginx_s = ours[unit] / ours["cpu_s"], theirs[unit] / theirs["cpu_s"]
    return {
        "unit": f"{unit}_per_cpu_s",
        "antivenom": round(mine, 2),
        "nginx": round(nginx_s, 2),
        "ratio": round(mine / nginx_s, 2),
        "cpu_s": {"antivenom": round(ours["cpu_s"], 2), "nginx": round(theirs["cpu_s"], 2)},
        "requests": {"antivenom": ours["requests"], "nginx": theirs["requests"]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="serving against nginx")
    parser.add_argument("--client", choices=("wrk", "asyncio"), default="wrk" if shutil.which("wrk") else "asyncio")
    arguments = parser.parse_args()
    if not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()):
        sys.exit("nginx, the peer of this measurement, is not installed (Debian package: nginx-light)")
    print(json.dumps(measure(arguments.client), indent=2))


if __name__ == "__main__":
    main()
