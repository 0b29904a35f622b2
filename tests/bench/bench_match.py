"""Matching every (name, version) of a channel against all PyPI advisories: ours against `packaging`.

    python -m tests.bench.bench_match [--records 1000000] [--work DIR] [--channel DIR]

Ours is timed cold: a fresh process opens the compiled index and assesses every distinct component once, as a first sync
does. The peer is what one would write first with `packaging`: the OSV entries as JSON, and for each component of a name
that they mention a SpecifierSet of every range of every entry. It answers less (no name map, no CPE, no merged aliases,
no evidence); it runs on a sample of the components and is extrapolated linearly. trivy is not timed: its vulnerability
database comes as an OCI image, which this bench does not fetch; its figure was measured elsewhere. Prints a table, then
JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in
from tests.quality import corpus

REPO = Path(__file__).resolve().parents[2]
SHARED = REPO.parent / "shared"
SUBDIRS = ("linux-64", "noarch")
PYPI_ENTRIES = SHARED / "data" / "advisories" / "osv-pypi.jsonl.zst"
PEER_SAMPLE = 50  # one component in so many
TRIVY_CPU_S, TRIVY_COMPONENTS = 90.0, 232_000  # measured once, elsewhere, with its database; not in this run


class Record(msgspec.Struct):
    name: str
    version: str


class Index(msgspec.Struct):
    packages: dict[str, Record] = {}
    packages_conda: dict[str, Record] = msgspec.field(default={}, name="packages.conda")


def read_components(channel: Path) -> list[tuple[str, str]]:
    """The distinct (name, version) of a channel's indexes, sorted."""

    found: set[tuple[str, str]] = set()
    for subdir in SUBDIRS:
        index = msgspec.json.decode((channel / subdir / "repodata.json").read_bytes(), type=Index)
        found.update((r.name, r.version) for part in (index.packages, index.packages_conda) for r in part.values())
    return sorted(found)


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU-seconds of a piece of work, and its answer."""
    gc.collect()
    started = time.process_time()
    answer = work()
    return time.process_time() - started, answer


def ours(work: Path) -> dict[str, float]:
    """Open the index and assess everything, in this fresh process."""
    components = msgspec.msgpack.decode((work / "components.msgpack").read_bytes(), type=list[tuple[str, str]])
    keys = [ComponentKey("conda", name, version) for name, version in components]
    data = (work / "pypi.index").read_bytes()
    gc.disable()  # as publishing does
    load_s, index = cpu(lambda: MatchIndex.load(data))
    assess_s, answers = cpu(lambda: index.assess(keys, "conda-forge"))
    again_s, _ = cpu(lambda: index.assess(keys, "conda-forge"))
    return {
        "load_cpu_s": load_s,
        "assess_cpu_s": assess_s,
        "assess_again_cpu_s": again_s,
        "affected": sum(bool(a.findings) for a in answers),
        "findings": sum(len(a.findings) for a in answers),
    }


def peer(work: Path) -> dict[str, float]:
    """The plain way: a SpecifierSet of every range of every entry that names the project."""
    components = msgspec.msgpack.decode((work / "components.msgpack").read_bytes(), type=list[tuple[str, str]])
    sample = components[::PEER_SAMPLE]
    load_s, entries = cpu(read_entries)

    def match() -> int:
        found = 0
        for name, text in sample:
            for entry in entries.get(canonicalize_name(name), ()):
                found += is_affected(entry, canonicalize_name(name), text)
        return found

    spent, found = cpu(match)
    return {"load_cpu_s": load_s, "cpu_s": spent * PEER_SAMPLE, "sample": len(sample), "findings_in_sample": found}


def read_entries() -> dict[str, list[dict[str, Any]]]:
    """The OSV entries by project."""
    found: dict[str, list[dict[str, Any]]] = {}
    text = zstandard.ZstdDecompressor().decompressobj().decompress(PYPI_ENTRIES.read_bytes())
    for line in text.splitlines():
        entry = json.loads(line)
        if not entry.get("withdrawn"):
            for name in {canonicalize_name(a["package"]["name"]) for a in entry.get("affected", ()) if "package" in a}:
                found.setdefault(name, []).append(entry)
    return found


def is_affected(entry: dict[str, Any], name: str, version: str) -> bool:
    """Whether an entry says that a version of a project is affected."""
    for affected in entry["affected"]:
        if canonicalize_name(affected.get("package", {}).get("name", "")) != name:
            continue
        if version in affected.get("versions", ()):
            return True
        for listed in affected.get("ranges", ()):
            if listed["type"] == "ECOSYSTEM" and any(contains(text, version) for text in specifiers(listed["events"])):
                return True
    return False


def specifiers(events: list[dict[str, str]]) -> Iterator[str]:
    """A range's events as specifiers: ">=1.0,<1.2"."""
    start = ""
    for event in events:
        if "introduced" in event:
            start = "" if event["introduced"] == "0" else f">={event['introduced']}"
        elif "fixed" in event:
            yield f"{start},<{event['fixed']}"
            start = ""
        elif "last_affected" in event:
            yield f"{start},<={event['last_affected']}"
            start = ""
    if events and "introduced" in events[-1]:
        yield start


def contains(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier.lstrip(",")).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False


def in_process(step: str, work: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.bench_match", "--step", step, "--work", str(work)]
    done = subprocess.run(command, cwd=REPO, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def prepare(channel: Path, records: int, work: Path) -> int:
    """Corpus, components and compiled index on disk; how many components."""
    if not (channel / "manifest.json").exists():
        maker = SHARED / "tools" / "make_channel.py"
        command = [sys.executable, str(maker), str(channel), "--records", str(records)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    components = read_components(channel)
    (work / "components.msgpack").write_bytes(msgspec.msgpack.encode(components))
    (work / "pypi.index").write_bytes(
        build_index(corpus.read_advisories("osv-pypi"), None, corpus.read_maps(), built_in())
    )
    return len(components)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "antivenom-bench-match")
    parser.add_argument("--channel", type=Path)
    parser.add_argument("--step", choices=("ours", "peer"))
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps({"ours": ours, "peer": peer}[arguments.step](arguments.work)))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    channel = arguments.channel or arguments.work / f"channel-{arguments.records}"
    count = prepare(channel, arguments.records, arguments.work)
    own, plain = in_process("ours", arguments.work), in_process("peer", arguments.work)
    results = {
        "components": count,
        "ours": {name: round(value, 3) for name, value in own.items()},
        "components_per_cpu_s": round(count / own["assess_cpu_s"]),
        "packaging": {
            "load_cpu_s": round(plain["load_cpu_s"], 2),
            "match_cpu_s_extrapolated": round(plain["cpu_s"], 2),
            "match_ratio": round(plain["cpu_s"] / own["assess_cpu_s"], 1),
        },
        "trivy": {
            "cpu_s_measured_elsewhere": TRIVY_CPU_S,
            "components_measured_elsewhere": TRIVY_COMPONENTS,
            "ratio_per_component": round(TRIVY_CPU_S / TRIVY_COMPONENTS / (own["assess_cpu_s"] / count)),
            "why_not_here": "its vulnerability database comes as an OCI image, and none is at hand",
        },
    }
    print(f"{'what':34}{'CPU s':>9}")
    for name in ("load_cpu_s", "assess_cpu_s", "assess_again_cpu_s"):
        print(f"{name.removesuffix('_cpu_s').replace('_', ' '):34}{own[name]:9.3f}")
    print(f"{'SpecifierSet, extrapolated':34}{plain['cpu_s']:9.2f}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
