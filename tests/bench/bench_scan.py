"""One environment scanned by a whole process, from the shell's point of view: ours by an advisory file, and its peers offline.

    python -m tests.bench.bench_scan [--packages 300] [--runs 20] [--work DIR]

Both distributions are installed from wheels in an environment of their own, as people have them. The advisory file is made from the
advisories that osv-scanner's offline database is made from (PyPI, CRAN, Go, crates.io). Runs of all programs take turns, so that what
else the machine does weighs on each alike. osv-scanner is built where Go is (tests/quality/compare.py). pixi-sbom is timed where it is
on the PATH. trivy is not timed: its database comes as an OCI image, which this bench does not fetch. Prints a table, then JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from antivenom.core import advisory_file
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.match import MatchIndex
from antivenom.knowledge import built_in
from tests.quality import compare, corpus, scanner
from tests.quality.labels import read_lines

REPO = Path(__file__).resolve().parents[2]
SHARED = REPO.parent / "shared"
DATA = SHARED / "data"


def install(folder: Path) -> Path:
    """Both distributions in an environment of their own; the console script."""
    wheels, place = folder / "wheels", folder / "venv"
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels)]
    subprocess.run([*pip, str(REPO / "client"), str(REPO)], check=True)
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", "--python", sys.executable, str(place)], check=True)
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--offline", "--compile-bytecode"]
    subprocess.run([*uv, "--python", str(place / "bin" / "python"), *map(str, wheels.glob("*.whl"))], check=True)
    return place / "bin" / "antivenom"


def write_advisories(path: Path) -> None:
    """The advisory file of what osv-scanner is given."""
    index = build_index(
        corpus.read_advisories(*scanner.FEEDS.values()), corpus.read_exploitation(), corpus.read_maps(), built_in()
    )
    advisory_file.write(MatchIndex.load(index), path, about=advisory_file.About("2026-11-28T16:00:00Z", "bench"))


def write_database(folder: Path) -> None:
    """osv-scanner's offline database."""
    for ecosystem, feed in scanner.FEEDS.items():
        archive = folder / "osv-scalibr" / ecosystem / "all.zip"
        archive.parent.mkdir(parents=True)
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for line in read_lines(DATA / "advisories" / f"{feed}.jsonl.zst"):
                file.writestr(f"{msgspec.json.decode(line)['id']}.json", line)


def write_prefixes(folder: Path) -> list[str]:
    """The 203 real environments as prefixes, with records as conda writes them."""
    found = []
    for number, line in enumerate(read_lines(DATA / "conda" / "environments.jsonl.zst")):
        environment = msgspec.json.decode(line)
        meta = folder / f"env{number}" / "conda-meta"
        meta.mkdir(parents=True)
        for package in environment["conda"]:
            build, subdir = package.get("build") or "0", package.get("subdir") or "noarch"
            channel = f"https://conda.anaconda.org/{package.get('channel') or 'conda-forge'}"
            fn = f"{package['name']}-{package['version']}-{build}"
            record = {"build": build, "channel": channel, "depends": [], "files": [f"lib/file-{i}" for i in range(100)],
                      "name": package["name"], "subdir": subdir, "url": f"{channel}/{subdir}/{fn}.conda",
                      "version": package["version"]}  # fmt: skip
            (meta / f"{fn}.json").write_text(json.dumps(record, indent=2))
        found.append(str(meta.parent))
    return found


def measure(programs: Mapping[str, tuple[Sequence[str], dict[str, str]]], runs: int) -> dict[str, dict[str, float]]:
    """Wall and CPU milliseconds of each program: the median, and the best of all runs. They take turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(runs):
        for name, (command, environment) in programs.items():
            before, started = os.times(), time.perf_counter()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            wall, after = time.perf_counter() - started, os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            taken[name].append((wall, cpu))
    return {
        name: {
            "wall_ms": 1000 * statistics.median(wall for wall, _ in times),
            "best_ms": 1000 * min(wall for wall, _ in times),
            "cpu_ms": 1000 * statistics.fmean(cpu for _, cpu in times),
        }
        for name, times in taken.items()
    }


def run(folder: Path, packages: int, runs: int) -> dict[str, Any]:
    """Prepare everything and measure it."""
    antivenom, file = install(folder), folder / "advisories.db"
    write_advisories(file)
    tool = SHARED / "tools" / "make_prefix.py"
    subprocess.run([sys.executable, tool, folder / "made", "--packages", str(packages)], check=True, stdout=sys.stderr)
    prefix, sbom = str(folder / "made" / "env"), str(folder / "made" / "sbom.cdx.json")
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder), "ANTIVENOM_ADVISORIES": str(file)}
    programs: dict[str, tuple[Sequence[str], dict[str, str]]] = {
        "python -c pass": ([str(antivenom.parent / "python"), "-c", "pass"], plain),
        "antivenom scan": ([str(antivenom), "scan", prefix], plain),
    }
    not_timed = {"trivy sbom": "its database comes as an OCI image"}
    if shutil.which("go") is not None:
        write_database(folder)
        osv = [str(compare.build()), "scan", "source", "--offline", "--offline-vulnerabilities", "--lockfile", sbom]
        programs["osv-scanner"] = (osv, {**plain, "OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY": str(folder)})
    else:
        not_timed["osv-scanner"] = "Go is not here"
    if (pixi := shutil.which("pixi-sbom")) is not None:
        programs["pixi-sbom"] = ([pixi, prefix], plain)
    else:
        not_timed["pixi-sbom"] = "it is not installed"
    steps = measure(programs, runs)
    prefixes = write_prefixes(folder / "many")
    many = measure({"many": ([str(antivenom), "scan", *prefixes], plain)}, max(3, runs // 5))["many"]
    return {"packages": packages, "steps": steps, "environments": len(prefixes), "many": many, "not_timed": not_timed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=int, default=300)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = run(arguments.work or Path(scratch), arguments.packages, arguments.runs)
    for name, step in results["steps"].items():
        print(f"{name:16} {step['wall_ms']:8.1f} ms, best {step['best_ms']:8.1f}, CPU {step['cpu_ms']:8.1f}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
