"""The index engine against its floor and its rivals: CPU-seconds, wall, peak memory; each step in its own process.

    python tests/bench/bench_index.py --records 300000 [--work DIR] [--rivals]

The floor is what nobody can avoid: decompress, parse with msgspec.Raw, write unchanged at zstd 3.
The corpus comes from ../shared/tools/make_channel.py and is kept in DIR between runs. Prints a table, then JSON.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from antivenom.core.advisories import Assessment
from antivenom.core.mirroring import ingest_monolith, ingest_shards, plan_shards
from antivenom.core.policies import Policy, compile_policy, parse_policy
from antivenom.core.publication_index import PublicationIndex
from antivenom.core.publishing import publish
from antivenom.core.records import ChannelFacts
from antivenom.core.shards import SHARD_SUFFIX, read_index, read_shard

REPO = Path(__file__).resolve().parents[2]
MAKE_CHANNEL = REPO.parent / "shared" / "tools" / "make_channel.py"
SUBDIRS = ("linux-64", "noarch")
NOW_MS = 1_795_219_200_000
CHANGED_NAMES = 300
POLICY = """
name: bench
rules:
  - {id: copyleft, gate: licenses, trigger: license, action: stop, params: {families: [agpl]}}
"""
EDIT = '  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["libxml2 <2.10"]}}\n'


class FolderBlobs:
    """A plain folder as the engine's store."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        descriptor = os.open(self.root / key, os.O_RDONLY)
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def put(self, key: str, data: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(data)


class _Floor(msgspec.Struct):
    packages: dict[str, msgspec.Raw]
    conda: dict[str, msgspec.Raw] = msgspec.field(name="packages.conda")
    info: msgspec.Raw


def floor(channel: Path, work: Path) -> None:
    gc.disable()
    for subdir in SUBDIRS:
        text = zstandard.ZstdDecompressor().decompress((channel / subdir / "repodata.json.zst").read_bytes())
        found = msgspec.json.decode(text, type=_Floor)
        zstandard.ZstdCompressor(level=3).compress(msgspec.json.encode(found))


def full(channel: Path, work: Path) -> None:
    """First sync and publication: split, match hook, policy, closure, shards, monolith."""
    sources = {}
    for subdir in SUBDIRS:
        keys = read_index((channel / subdir / "repodata_shards.msgpack.zst").read_bytes(), 1 << 30).shards
        sources[subdir] = ingest_monolith(
            FolderBlobs(work / "blobs"),
            (channel / subdir / "repodata.json.zst").read_bytes(),
            subdir=subdir,
            now_ms=NOW_MS,
            upstream_keys=keys,
        ).source
    publish_sources(work, sources, POLICY, None, None)


def publish_sources(
    work: Path, sources: dict[str, str], text: str, previous: dict[str, str] | None, rejudge: list[str] | None
) -> None:
    policy: Policy = parse_policy(text)
    made = publish(
        FolderBlobs(work / "blobs"),
        sources,
        channel=ChannelFacts("bench", is_mirror=True),
        policy=compile_policy(policy),
        assess=_nothing_known,
        now_ms=NOW_MS,
        previous=previous,
        rejudge=rejudge,
    )
    state = {"sources": sources, "publications": {s: p.publication for s, p in made.subdirs.items()}}
    (work / "state.json").write_text(json.dumps(state | {"counts": msgspec.to_builtins(made.counts)}))


_UNKNOWN = Assessment(False, "the bench has no advisories")


def _nothing_known(components: Sequence[object]) -> list[Assessment]:
    return [_UNKNOWN] * len(components)


def _state(work: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((work / "state.json").read_text())
    return found


def no_change(channel: Path, work: Path) -> None:
    """A sync that finds the upstream's shard index as it was."""
    state = _state(work)
    for subdir in SUBDIRS:
        index = (channel / subdir / "repodata_shards.msgpack.zst").read_bytes()
        plan = plan_shards(FolderBlobs(work / "blobs"), index, subdir=subdir, previous=state["sources"][subdir])
        if plan.changed or plan.gone:
            raise SystemExit("the plan should be empty")


def changed_document(channel: Path, work: Path) -> None:
    """300 names changed, upstream without shards."""
    state = _state(work)
    sources, changed = {}, []
    for subdir in SUBDIRS:
        made = ingest_monolith(
            FolderBlobs(work / "blobs"),
            (work / f"changed-{subdir}.json.zst").read_bytes(),
            subdir=subdir,
            now_ms=NOW_MS,
            previous=state["sources"][subdir],
        )
        sources[subdir] = made.source
        changed += made.changed
    publish_sources(work, sources, POLICY, state["publications"], [])


def changed_shards(channel: Path, work: Path) -> None:
    """300 names changed, upstream with shards."""
    state = _state(work)
    sources = {}
    blobs = FolderBlobs(work / "blobs")
    for subdir in SUBDIRS:
        index = (work / f"changed-{subdir}.index.zst").read_bytes()
        plan = plan_shards(blobs, index, subdir=subdir, previous=state["sources"][subdir])
        shards = {key: (work / "changed-shards" / key).read_bytes() for key in plan.changed.values()}
        made = ingest_shards(blobs, index, shards, subdir=subdir, now_ms=NOW_MS, previous=state["sources"][subdir])
        sources[subdir] = made.source
    publish_sources(work, sources, POLICY, state["publications"], [])


def edit(channel: Path, work: Path) -> None:
    """One more rule: every record is judged again, closure and monolith included."""
    state = _state(work)
    publish_sources(work, state["sources"], POLICY + EDIT, state["publications"], None)


def open_map(channel: Path, work: Path) -> None:
    for key in _state(work)["publications"].values():
        PublicationIndex.open(FolderBlobs(work / "blobs"), key).shard_location(bytes(32))


def rattler_index(channel: Path, work: Path) -> None:
    """py-rattler's whole-index writer is measured on its shard writer's own input: repodata it has to write again."""
    import rattler

    for subdir in SUBDIRS:
        data = rattler.RepoData.from_path(channel / subdir / "repodata.json")
        url = rattler.Channel(channel.resolve().as_uri())
        data.into_repo_data(url)


STEPS: dict[str, Callable[[Path, Path], None]] = {
    "floor": floor,
    "full": full,
    "no change": no_change,
    "300 names, shards": changed_shards,
    "300 names, document": changed_document,
    "one-rule edit": edit,
    "open the map": open_map,
}
RIVALS: dict[str, Callable[[Path, Path], None]] = {"py-rattler parses it all": rattler_index}


def make_changes(channel: Path, work: Path) -> None:
    """The upstream, a day later: one build of each of 300 names has another licence."""
    rng = random.Random(7)
    (work / "changed-shards").mkdir(exist_ok=True)
    for subdir in SUBDIRS:
        index_bytes = zstandard.ZstdDecompressor().decompress(
            (channel / subdir / "repodata_shards.msgpack.zst").read_bytes()
        )
        index = msgspec.msgpack.decode(index_bytes)
        names = rng.sample(sorted(index["shards"]), CHANGED_NAMES // len(SUBDIRS))
        text = msgspec.json.decode(
            zstandard.ZstdDecompressor().decompress((channel / subdir / "repodata.json.zst").read_bytes()),
            type=dict[str, msgspec.Raw],
        )
        sections = {
            s: msgspec.json.decode(text[s], type=dict[str, msgspec.Raw]) for s in ("packages", "packages.conda")
        }
        for name in names:
            key = index["shards"][name]
            data = (channel / subdir / "shards" / f"{key.hex()}{SHARD_SUFFIX}").read_bytes()
            shard = read_shard(data, key, name, 1 << 30)
            section, records = next(
                (s, r) for s, r in (("packages", shard.packages), ("packages.conda", shard.packages_conda)) if r
            )
            fn, record = next(iter(records.items()))
            record["license"] = "Changed-1.0"
            plain = msgspec.json.decode(sections[section][fn])
            sections[section][fn] = msgspec.Raw(msgspec.json.encode(plain | {"license": "Changed-1.0"}))
            packed = {"packages": shard.packages, "packages.conda": shard.packages_conda, "removed": []}
            changed = zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(packed))
            index["shards"][name] = hashlib.sha256(changed).digest()
            (work / "changed-shards" / index["shards"][name].hex()).write_bytes(changed)
        compress = zstandard.ZstdCompressor(level=3).compress
        (work / f"changed-{subdir}.index.zst").write_bytes(compress(msgspec.msgpack.encode(index)))
        (work / f"changed-{subdir}.json.zst").write_bytes(compress(msgspec.json.encode({**text, **sections})))


def measure(step: str, channel: Path, work: Path) -> dict[str, float]:
    """Run one step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--channel", str(channel), "--work", str(work)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_step(step: str, channel: Path, work: Path) -> None:
    before, started = time.process_time(), time.perf_counter()
    ({"make changes": make_changes} | STEPS | RIVALS)[step](channel, work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu, wall = time.process_time() - before, time.perf_counter() - started
    print(json.dumps({"cpu_s": round(cpu, 3), "wall_s": round(wall, 3), "peak_mb": round(peak)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "antivenom-bench-index")
    parser.add_argument("--channel", type=Path)
    parser.add_argument("--step", choices=["make changes", *STEPS, *RIVALS])
    parser.add_argument("--rivals", action="store_true")
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step, arguments.channel, arguments.work)
        return
    channel = arguments.channel or arguments.work / f"channel-{arguments.records}"
    if not (channel / "manifest.json").exists():
        subprocess.run(
            [sys.executable, str(MAKE_CHANNEL), str(channel), "--records", str(arguments.records)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    work = arguments.work / f"run-{arguments.records}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # In a process of its own: a child inherits its parent's peak memory.
    measure("make changes", channel, work)
    results: dict[str, dict[str, float]] = {}
    base: dict[str, Any] = {}
    for step in [*STEPS, *(RIVALS if arguments.rivals else ())]:
        if step != "full" and "full" in results:
            (work / "state.json").write_text(json.dumps(base))
        results[step] = measure(step, channel, work)
        if step == "full":
            base = _state(work)
    print(f"{'step':28}{'CPU s':>9}{'x floor':>9}{'% full':>9}{'wall s':>9}{'peak MB':>9}")
    for step, found in results.items():
        ratio, share = found["cpu_s"] / results["floor"]["cpu_s"], 100 * found["cpu_s"] / results["full"]["cpu_s"]
        row = f"{step:28}{found['cpu_s']:9.2f}{ratio:9.2f}{share:9.1f}{found['wall_s']:9.2f}{found['peak_mb']:9.0f}"
        print(row)
    print(json.dumps({"records": arguments.records, "steps": results, "counts": base.get("counts")}))


if __name__ == "__main__":
    main()
