"""What a whole server spends on syncing and publishing: CPU-seconds of all its processes, PostgreSQL included.

    python -m tests.bench.bench_sync [--records 300000] [--work DIR] [--no-feed]      prints one JSON document

A mirror of the corpus of bench_index over loopback, in an `antivenom up` of its own, under the policy of bench_index and
all PyPI advisories where the shared data is at hand. The upstream is served by this process, whose time does not count.
Beside it the floor of bench_index, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.bench import bench_index
from tests.bench.bench_index import EDIT, POLICY, REPO, SUBDIRS

PYPI_FEED = REPO.parent / "shared" / "data" / "advisories" / "osv-pypi.jsonl.zst"
WAIT_S = 120


def spent(pid: int) -> float:
    """User and system time of a process and all below it, those that have ended included."""
    total = 0.0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:  # ended meanwhile: its parent's time has it
            continue
    return total


def make_upstream(channel: Path, folder: Path) -> None:
    """The corpus as an upstream's folder, by hard links."""
    for subdir in SUBDIRS:
        shutil.copytree(channel / subdir, folder / subdir, copy_function=os.link, dirs_exist_ok=True)


def change_upstream(work: Path, folder: Path) -> None:
    """The upstream a day later: what bench_index's "300 names" finds."""
    for subdir in SUBDIRS:
        for name, changed in (("repodata.json.zst", "json.zst"), ("repodata_shards.msgpack.zst", "index.zst")):
            (folder / subdir / name).unlink()
            shutil.copy(work / f"changed-{subdir}.{changed}", folder / subdir / name)
        for shard in (work / "changed-shards").iterdir():
            shutil.copy(shard, folder / subdir / "shards" / f"{shard.name}.msgpack.zst")


class Measured:
    """A running server and what each step cost it."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.steps: dict[str, dict[str, float]] = {}

    def step(self, name: str, work: Callable[[], object]) -> None:
        """Do something and note what it cost."""
        before, started = spent(self.server.process.pid), time.monotonic()
        work()
        wall_s = time.monotonic() - started
        cpu_s = spent(self.server.process.pid) - before
        self.steps[name] = {"cpu_s": round(cpu_s, 2), "wall_s": round(wall_s, 2)}

    def sync(self) -> None:
        self.server.cli("mirror", "sync", "bench", "--wait")

    def served(self) -> str | None:
        """What is served, by its ETag."""
        url = f"{self.server.url}/conda/bench/linux-64/repodata_shards.msgpack.zst"
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
            return answer.headers["ETag"]

    def edit(self, policy: Path) -> None:
        """Set a policy and wait until it is served."""
        before, until = self.served(), time.monotonic() + WAIT_S
        self.server.cli("policy", "set", str(policy), "--channel", "bench")
        while self.served() == before:
            if time.monotonic() > until:
                raise SystemExit("the edit was never served")
            time.sleep(0.02)


def measure(records: int, root: Path, *, feed: bool) -> dict[str, Any]:
    """Every step on a corpus of `records`."""
    from tests.conftest import launch_server
    from tests.upstreams import UpstreamServer

    floor = bench_index.run(records, root, None, ["floor"])["steps"]["floor"]
    folder = Path(tempfile.mkdtemp(prefix="antivenom-sync-", dir=root))
    folder.chmod(0o755)
    (folder / "one.yaml").write_text(POLICY.lstrip())
    (folder / "two.yaml").write_text((POLICY + EDIT).lstrip())
    upstream = folder / "upstream"
    make_upstream(root / f"channel-{records}", upstream)
    server = launch_server(folder / "home", "--no-demo")
    try:
        measured = Measured(server)
        with UpstreamServer(upstream) as serving:
            if feed and PYPI_FEED.exists():
                server.cli("feed", "add", "osv", str(PYPI_FEED), "--wait")
            server.cli("channel", "create", "bench")
            subdirs = [option for subdir in SUBDIRS for option in ("--subdir", subdir)]
            policy = ["--policy", str(folder / "one.yaml")]
            create = ["mirror", "create", "bench", "--upstream", serving.url, *subdirs, *policy]
            measured.step("idle for 5 s", lambda: time.sleep(5))
            measured.step("first sync", lambda: (server.cli(*create), measured.sync()))
            measured.step("no change", measured.sync)
            measured.step("one-rule edit", lambda: measured.edit(folder / "two.yaml"))
            change_upstream(root / f"run-{records}", upstream)
            measured.step("300 names, shards", measured.sync)
        return {"records": records, "floor": floor, "steps": measured.steps}
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "antivenom-bench-index")
    parser.add_argument("--no-feed", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.records, arguments.work, feed=not arguments.no_feed), indent=2))


if __name__ == "__main__":
    main()
