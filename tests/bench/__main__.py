"""Runs the parts of the bench one after another and writes docs/reference/performance.md.

    make bench [ARGS="--records 1000000 --only index"]

Each part measures Antivenom and its peers in the same run; only ratios travel from one machine to another.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "docs" / "reference" / "performance.md"
PARTS = ("index", "sync", "match", "scan", "serve")

Results = dict[str, Any]


def run_part(name: str, *options: str) -> Results:
    """The JSON document that a part prints last.

    Raises:
        SystemExit: The part failed; what it said is on stderr.
    """
    print(f"== {name}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"tests.bench.bench_{name}", *options]
    done = subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench_{name} failed with exit code {done.returncode}")
    return last_document(done.stdout)


def last_document(output: str) -> Results:
    """The JSON object that ends the output: one line, or a whole indented document."""
    lines = output.strip().splitlines()
    for start in range(len(lines) - 1, -1, -1):
        if lines[start].startswith("{"):
            return dict(json.loads("\n".join(lines[start:])))
    raise ValueError("a part of the bench printed no JSON document")


def index_section(results: Results) -> Iterator[str]:
    steps = results["steps"]
    floor, full = steps["floor"]["cpu_s"], steps["full"]["cpu_s"]
    yield f"{results['records']:,} records. The *floor* decompresses, parses and writes the index unchanged (zstd 3)."
    yield ""
    yield "| step | CPU s | × floor | % of a full sync | peak MB |"
    yield "|---|---:|---:|---:|---:|"
    for name, step in steps.items():
        share = 100 * step["cpu_s"] / full
        yield f"| {name} | {step['cpu_s']:.2f} | {step['cpu_s'] / floor:.2f} | {share:.1f} | {step['peak_mb']:.0f} |"
    if rivals := results.get("rivals"):
        yield from rivals_section(rivals)


def rivals_section(results: Results) -> Iterator[str]:
    steps = results["steps"]
    yield ""
    yield f"Beside its peers, {results['records']:,} records in one run; both peers together take {results['rivals_x_full']} × our time:"
    yield ""
    yield "| step | CPU s | × floor | peak MB |"
    yield "|---|---:|---:|---:|"
    for name, step in steps.items():
        yield f"| {name} | {step['cpu_s']:.2f} | {step['cpu_s'] / steps['floor']['cpu_s']:.2f} | {step['peak_mb']:.0f} |"


def sync_section(results: Results) -> Iterator[str]:
    floor = results["floor"]["cpu_s"]
    yield f"A mirror of {results['records']:,} records in a whole `antivenom up`: CPU of all processes, PostgreSQL included."
    yield ""
    yield "| step | CPU s | × floor | wall s |"
    yield "|---|---:|---:|---:|"
    for name, step in results["steps"].items():
        yield f"| {name} | {step['cpu_s']:.2f} | {step['cpu_s'] / floor:.2f} | {step['wall_s']:.1f} |"


def serve_section(results: Results) -> Iterator[str]:
    yield "Requests (a small shard) and gigabytes (a 100 MB file) per CPU-second of the server, beside nginx's."
    yield ""
    yield "| what | Antivenom | nginx | × nginx |"
    yield "|---|---:|---:|---:|"
    for name, case in results["cases"].items():
        unit = "requests" if case["unit"].startswith("requests") else "GB"
        ours, theirs = (f"{case[who]:,.{0 if unit == 'requests' else 1}f} {unit}" for who in ("antivenom", "nginx"))
        yield f"| {name.replace('_', ' ')} | {ours} | {theirs} | {case['ratio']:.2f} |"


def scan_section(results: Results) -> Iterator[str]:
    steps = results["steps"]
    ours = steps["antivenom scan"]["cpu_ms"]
    yield f"One environment of {results['packages']} packages, the whole process; all programs take turns, offline, with the same advisories."
    yield ""
    yield "| program | CPU ms | ours is | wall ms (median) | best |"
    yield "|---|---:|---:|---:|---:|"
    for name, step in steps.items():
        share = f"{ours / step['cpu_ms']:.2f} ×"
        yield f"| {name} | {step['cpu_ms']:.1f} | {share} | {step['wall_ms']:.1f} | {step['best_ms']:.1f} |"
    many = results["many"]
    yield ""
    yield f"{results['environments']} real environments in one call: {many['cpu_ms'] / 1000:.2f} s of CPU, {many['best_ms'] / 1000:.2f} s at best."
    for name, why in results["not_timed"].items():
        yield f"Not timed: {name} ({why})."


def plain_section(results: Results) -> Iterator[str]:
    yield "| what | measured |"
    yield "|---|---:|"
    for name, value in _flat(results):
        yield f"| {name} | {f'{value:,.3g}' if isinstance(value, float) else value} |"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flat(item, f"{path} {name.replace('_', ' ')}".strip())
    else:
        yield path, value


TITLES = {
    "index": "Syncing and publishing",
    "sync": "The same by a whole server",
    "match": "Matching",
    "scan": "Scanning",
    "serve": "Serving",
}
SECTIONS: dict[str, Callable[[Results], Iterator[str]]] = {
    "index": index_section,
    "sync": sync_section,
    "scan": scan_section,
    "serve": serve_section,
}


def page(results: dict[str, Results]) -> str:
    """The page of what was measured, part by part."""
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    lines = [
        "# Performance",
        "",
        f"Written by `make bench` on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, on {machine}.",
        "CPU-seconds depend on the machine; the ratios to what was measured beside them in the same run do not, much.",
    ]
    for name, found in results.items():
        lines += ["", f"## {TITLES[name]}", "", *SECTIONS.get(name, plain_section)(found)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--records", type=int, default=300_000, help="records of the index corpus")
    parser.add_argument("--rival-records", type=int, default=20_000, help="records for the peers (300,000: 5 minutes)")
    parser.add_argument("--only", choices=PARTS, action="append", help="run these parts and print them, write nothing")
    arguments = parser.parse_args()
    records = ("--records", str(arguments.records))
    rivals = ("--rivals", "--rival-records", str(arguments.rival_records))
    options = {"index": (*records, *rivals), "sync": records}
    results = {name: run_part(name, *options.get(name, ())) for name in arguments.only or PARTS}
    text = page(results)
    if not arguments.only:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
