"""The index engine against its floor and its rivals: CPU-seconds, wall, peak memory; each step in its own process.

    python tests/bench/bench_index.py --records 300000 [--work DIR] [--rivals [--rival-records 20000]]

The floor is what nobody can avoid: decompress, parse with msgspec.Raw, write unchanged at zstd 3.
The corpus comes from ../shared/tools/make_channel.py and is kept in DIR between runs. Prints a table, then JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from antivenom.core.conda.records import ChannelFacts
from antivenom.core.conda.shards import decode_record, read_index, read_shard
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.source.ingest import ingest_monolith, ingest_shards, plan_shards
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.publications.build_publication import BuildRequest, build_publication

REPO = Path(__file__).resolve().parents[2]
MAKE_CHANNEL = REPO.parent / "shared" / "tools" / "make_channel.py"
SUBDIRS = ("linux-64", "noarch")
NOW_MS = 1_795_219_200_000
CHANGED_NAMES = 300
KNOWLEDGE = "index/knowledge"  # the compiled advisories, made once outside of what is measured
POLICY = """
name: bench
rules:
  - {id: exploited, gate: vulnerabilities, trigger: package, action: stop, params: {kev: true}}
  - id: critical-fixable
    gate: vulnerabilities
    trigger: package
    action: stop
    params: {severity: ">= critical", fix_available: true}
  - {id: risky, gate: vulnerabilities, trigger: package, action: warn, params: {cvss: ">= 7.0", epss: ">= 0.5"}}
  - {id: network-copyleft, gate: licenses, trigger: license, action: stop, params: {families: [agpl]}}
  - {id: cooldown, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7}}
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["xz 5.6.0", "xz 5.6.1"]}}
"""
WIDE_EDIT = "  - {id: copyleft, gate: licenses, trigger: license, action: warn, params: {families: [gpl]}}\n"
EDIT = '  - {id: old-libxml2, gate: packages, trigger: match_spec, action: stop, params: {deny: ["libxml2 <2.12"]}}\n'


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


def full(channel: Path, work: Path, *, closure: bool = True) -> None:
    """First sync and publication: split, match, policy, closure, shards, monolith."""
    sources = {}
    for subdir in SUBDIRS:
        keys = read_index((channel / subdir / "repodata_shards.msgpack.zst").read_bytes(), 1 << 30).shards
        sources[subdir] = ingest_monolith(
            _store(work),
            (channel / subdir / "repodata.json.zst").read_bytes(),
            subdir=subdir,
            now_ms=NOW_MS,
            upstream_keys=keys,
        ).source
    publish_sources(work, sources, POLICY, None, closure=closure)


def full_without_closure(channel: Path, work: Path) -> None:
    """The same into a store of its own, with what the policy alone withholds."""
    other = work / "without-closure"
    (other / "blobs" / KNOWLEDGE).parent.mkdir(parents=True)
    if (work / "blobs" / KNOWLEDGE).exists():
        shutil.copy(work / "blobs" / KNOWLEDGE, other / "blobs" / KNOWLEDGE)
    full(channel, other, closure=False)


def publish_sources(
    work: Path, sources: dict[str, str], text: str, state: dict[str, Any] | None, *, closure: bool = True
) -> None:
    """Publish as the server does: match, judge, close, write."""
    request = BuildRequest(
        sources=sources,
        channel=ChannelFacts("bench", is_mirror=True),
        policy_text=text,
        knowledge_key=KNOWLEDGE if (work / "blobs" / KNOWLEDGE).exists() else None,
        now_ms=NOW_MS,
        closure=closure,
        previous=state["publications"] if state else {},
        previous_findings=state["findings"] if state else None,
    )
    built = build_publication(str(work / "blobs"), request)
    made = built.published
    found = {"sources": sources, "publications": {s: p.publication for s, p in made.subdirs.items()}}
    counts = msgspec.to_builtins(made.counts) | {"vulnerable_components": built.counts.vulnerable_components}
    (work / "state.json").write_text(json.dumps(found | {"findings": built.findings_key, "counts": counts}))


def _store(work: Path) -> StoreBlobs:
    return StoreBlobs(BlobStore.open(str(work / "blobs")))


def _state(work: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((work / "state.json").read_text())
    return found


def no_change(channel: Path, work: Path) -> None:
    """A sync that finds the upstream's shard index as it was."""
    state = _state(work)
    for subdir in SUBDIRS:
        index = (channel / subdir / "repodata_shards.msgpack.zst").read_bytes()
        plan = plan_shards(_store(work), index, subdir=subdir, previous=state["sources"][subdir])
        if plan.changed or plan.gone:
            raise SystemExit("the plan should be empty")


def changed_document(channel: Path, work: Path) -> None:
    """300 names changed, upstream without shards."""
    state = _state(work)
    sources = {}
    for subdir in SUBDIRS:
        made = ingest_monolith(
            _store(work),
            (work / f"changed-{subdir}.json.zst").read_bytes(),
            subdir=subdir,
            now_ms=NOW_MS,
            previous=state["sources"][subdir],
        )
        sources[subdir] = made.source
    publish_sources(work, sources, POLICY, state)


def changed_shards(channel: Path, work: Path) -> None:
    """300 names changed, upstream with shards."""
    state = _state(work)
    sources = {}
    blobs = _store(work)
    for subdir in SUBDIRS:
        index = (work / f"changed-{subdir}.index.zst").read_bytes()
        plan = plan_shards(blobs, index, subdir=subdir, previous=state["sources"][subdir])
        shards = {key: (work / "changed-shards" / key).read_bytes() for key in plan.changed.values()}
        made = ingest_shards(blobs, index, shards, subdir=subdir, now_ms=NOW_MS, previous=state["sources"][subdir])
        sources[subdir] = made.source
    publish_sources(work, sources, POLICY, state)


def edit(channel: Path, work: Path) -> None:
    """One more rule, about one name."""
    state = _state(work)
    publish_sources(work, state["sources"], POLICY + EDIT, state)


def wide_edit(channel: Path, work: Path) -> None:
    """One more rule, about every name."""
    state = _state(work)
    publish_sources(work, state["sources"], POLICY + WIDE_EDIT, state)


def open_map(channel: Path, work: Path) -> None:
    for key in _state(work)["publications"].values():
        PublicationIndex.open(_store(work), key).shard_location(bytes(32))


def conda_mirror(channel: Path, work: Path) -> None:
    """conda-mirror's own filter and writer: one glob, every field parsed."""
    from conda_mirror import conda_mirror as peer

    for subdir in SUBDIRS:
        text = zstandard.ZstdDecompressor().decompress((channel / subdir / "repodata.json.zst").read_bytes())
        found = json.loads(text)
        out = work / "conda-mirror" / subdir
        out.mkdir(parents=True)
        for section in ("packages", "packages.conda"):
            for fn in peer._match(found[section], {"license": "*agpl*"}):
                del found[section][fn]
        peer._write_repodata(str(out), found)


def rattler_index(channel: Path, work: Path, *, shards: bool = True) -> None:
    """py-rattler's index of a channel whose records it knows already: it reads no artifact, it only writes."""
    from rattler.index import index_fs

    asyncio.run(index_fs(work / "rattler", write_zst=True, write_shards=shards))


def make_rattler_channel(channel: Path, work: Path) -> None:
    """What index_fs needs to take records over: repodata.json, and a file (here empty) for each record."""
    for subdir in SUBDIRS:
        folder = work / "rattler" / subdir
        folder.mkdir(parents=True)
        text = zstandard.ZstdDecompressor().decompress((channel / subdir / "repodata.json.zst").read_bytes())
        (folder / "repodata.json").write_bytes(text)
        found = msgspec.json.decode(text, type=_Floor)
        for fn in (*found.packages, *found.conda):
            (folder / fn).touch()


def make_knowledge(channel: Path, work: Path) -> None:
    """Compile the shared advisories once; without them the bench says so and components are not assessed."""
    cached = work.parent / "knowledge.index"
    if not cached.exists() and (REPO.parent / "shared" / "data" / "advisories").is_dir():
        sys.path.insert(0, str(REPO))
        from antivenom.core.matching.compile_index import build_index
        from antivenom.knowledge import built_in
        from tests.quality import corpus

        advisories = corpus.read_advisories(*corpus.EVERYTHING)
        cached.write_bytes(build_index(advisories, corpus.read_exploitation(), corpus.read_maps(), built_in()))
    if cached.exists():
        _store(work).put(KNOWLEDGE, cached.read_bytes())


STEPS: dict[str, Callable[[Path, Path], None]] = {
    "floor": floor,
    "full": full,
    "full, closure off": full_without_closure,
    "no change": no_change,
    "300 names, shards": changed_shards,
    "300 names, document": changed_document,
    "one-rule edit": edit,
    "one-rule edit, every name": wide_edit,
    "open the map": open_map,
}
FLOOR_AGAIN_AFTER = ("full", "300 names, shards")  # it is short: one busy second would move every ratio; the median
RIVALS: dict[str, Callable[[Path, Path], None]] = {
    "conda-mirror: filter, write": conda_mirror,
    "py-rattler: index_fs": rattler_index,
}
PREPARATIONS: dict[str, Callable[[Path, Path], None]] = {
    "make rattler channel": make_rattler_channel,
    "make knowledge": make_knowledge,
}


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
            data = (channel / subdir / "shards" / f"{key.hex()}.msgpack.zst").read_bytes()
            shard = read_shard(data, key, name, 1 << 30)
            section, records = next(
                (s, r) for s, r in (("packages", shard.packages), ("packages.conda", shard.packages_conda)) if r
            )
            fn, raw = next(iter(records.items()))
            records[fn] = msgspec.Raw(msgspec.msgpack.encode(decode_record(raw) | {"license": "Changed-1.0"}))
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
    ({"make changes": make_changes} | PREPARATIONS | STEPS | RIVALS)[step](channel, work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu, wall = time.process_time() - before, time.perf_counter() - started
    print(json.dumps({"cpu_s": round(cpu, 3), "wall_s": round(wall, 3), "peak_mb": round(peak)}))


def run(records: int, root: Path, channel: Path | None, steps: Iterable[str]) -> dict[str, Any]:
    """Measure `steps` on a corpus of `records`, one after another, the floor first."""
    channel = channel or root / f"channel-{records}"
    if not (channel / "manifest.json").exists():
        command = [sys.executable, str(MAKE_CHANNEL), str(channel), "--records", str(records)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    work = root / f"run-{records}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # In processes of their own: a child inherits its parent's peak memory.
    measure("make knowledge", channel, work)
    measure("make changes", channel, work)
    results: dict[str, dict[str, float]] = {}
    floors: list[dict[str, float]] = []
    absent: dict[str, str] = {}
    base: dict[str, Any] = {}
    for step in steps:
        if step != "full" and "full" in results:
            (work / "state.json").write_text(json.dumps(base))
        if step == "py-rattler: index_fs":
            measure("make rattler channel", channel, work)
        try:
            results[step] = measure(step, channel, work)
        except subprocess.CalledProcessError as error:
            if step not in RIVALS:
                raise SystemExit(error.stderr) from None
            absent[step] = error.stderr.strip().splitlines()[-1]
        if step == "full":
            base = _state(work)
        if step in FLOOR_AGAIN_AFTER:
            floors.append(measure("floor", channel, work))
    floors.append(results["floor"])
    results["floor"] = sorted(floors, key=lambda spent: spent["cpu_s"])[len(floors) // 2]
    shutil.rmtree(work / "rattler", ignore_errors=True)
    assessed = (work / "blobs" / KNOWLEDGE).exists()
    found = {"records": records, "assessed": assessed, "steps": results, "counts": base.get("counts")}
    return found | ({"absent": absent} if absent else {})


def print_table(found: dict[str, Any]) -> None:
    results = found["steps"]
    print(
        f"{'step':28}{'CPU s':>9}{'x floor':>9}{'% full':>9}{'wall s':>9}{'peak MB':>9}  ({found['records']} records)"
    )
    for step, spent in results.items():
        ratio, share = spent["cpu_s"] / results["floor"]["cpu_s"], 100 * spent["cpu_s"] / results["full"]["cpu_s"]
        row = f"{step:28}{spent['cpu_s']:9.2f}{ratio:9.2f}{share:9.1f}{spent['wall_s']:9.2f}{spent['peak_mb']:9.0f}"
        print(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "antivenom-bench-index")
    parser.add_argument("--channel", type=Path)
    parser.add_argument("--step", choices=["make changes", *PREPARATIONS, *STEPS, *RIVALS])
    parser.add_argument("--rivals", action="store_true", help="measure peers too, on a corpus of --rival-records")
    parser.add_argument("--rival-records", type=int, default=20_000)
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step, arguments.channel, arguments.work)
        return
    found = run(arguments.records, arguments.work, arguments.channel, STEPS)
    print_table(found)
    if arguments.rivals:
        rivals = run(arguments.rival_records, arguments.work, None, ["floor", "full", *RIVALS])
        print_table(rivals)
        spent = [rivals["steps"][name]["cpu_s"] for name in RIVALS if name in rivals["steps"]]
        rivals["rivals_x_full"] = round(sum(spent) / rivals["steps"]["full"]["cpu_s"], 1)
        found["rivals"] = rivals
    print(json.dumps(found))


if __name__ == "__main__":
    main()
