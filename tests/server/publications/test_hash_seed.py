"""The same input gives the same blobs, whatever order Python's sets of texts have in a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from antivenom.core.conda.records import ChannelFacts
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange, Severity
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.identity import NameMaps
from antivenom.core.source.ingest import ingest_monolith
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.publications.build_publication import BuildRequest, build_publication
from tests.core.index_samples import NOW_MS, document, fn_of, record

REPO = Path(__file__).parents[3]
# Six rules of three gates about every build of `bad`, so that sets of rule ids and of gates have many orders.
POLICY = """
name: p
rules:
  - {id: names, gate: packages, trigger: names, action: stop, params: {deny: ["bad*"]}}
  - {id: spec, gate: packages, trigger: match_spec, action: stop, params: {deny: ["bad >=1"]}}
  - {id: agpl, gate: licenses, trigger: license, action: warn, params: {families: [agpl]}}
  - {id: age, gate: metadata, trigger: age, action: warn, params: {less_than_days: 9000}}
  - {id: unsigned, gate: metadata, trigger: signed, action: warn}
  - {id: known, gate: vulnerabilities, trigger: package, action: stop, params: {severity: ">= high"}}
allowlist:
  - {id: item, gate: licenses, trigger_id: "*", match: "bad 2.0", owner: o, reason: r}
"""


def make_publications(folder: str) -> None:
    """Publish a small channel from nothing, and again after its upstream changed."""
    blobs = StoreBlobs(BlobStore.open(folder))
    affected = (AffectedPackage("pypi", "bad", (AffectedRange("pep440", fixed="9"),)),)
    advisories = [Advisory(f"CVE-2024-000{i}", "osv", severity=Severity.high, affected=affected) for i in range(3)]
    blobs.put("knowledge/one", build_index(advisories, {}, NameMaps({"bad": {"": {"pypi": ("bad",)}}})))
    request = BuildRequest({}, ChannelFacts("main", is_mirror=True), POLICY, "knowledge/one", NOW_MS)
    for versions in (("1.0", "2.0", "3.0"), ("2.0", "3.0", "4.0")):
        sources = {}
        for subdir in ("noarch", "linux-64", "osx-64"):
            records = [record("bad", version, license="AGPL-3.0-only") for version in versions]
            records += [record(f"user{i}", depends=["bad >=2", f"user{i - 1}"]) for i in range(20)]
            twice = {fn_of(entry): entry for entry in (record(f"twice{i}") for i in range(9))}  # in both sections
            text = document(*records, *twice.values(), packages=twice, info={"subdir": subdir})
            previous = request.sources.get(subdir)
            sources[subdir] = ingest_monolith(blobs, text, subdir=subdir, now_ms=NOW_MS, previous=previous).source
        request = msgspec.structs.replace(request, sources=sources)
        built = build_publication(folder, request)
        keys = {subdir: published.publication for subdir, published in built.published.subdirs.items()}
        request = msgspec.structs.replace(request, previous=keys, previous_findings=built.findings_key)


def keys_of(folder: Path, seed: str) -> list[str]:
    """The keys of all blobs that a process with this hash seed writes."""
    script = f"from {__name__} import make_publications; make_publications({str(folder)!r})"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join(map(str, (REPO / "src", REPO / "client/src", REPO))),
    }
    subprocess.run([sys.executable, "-c", script], check=True, cwd=REPO, env=environment)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_stored_does_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    assert keys_of(tmp_path / "one", "1") == keys_of(tmp_path / "two", "2")
