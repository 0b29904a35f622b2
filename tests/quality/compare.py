"""`make compare`: builds osv-scanner, runs it on real components and the shared advisories, and records what it says.

Needs Go (1.26 or newer) and its module proxy; without Go it says so and changes nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import msgspec

from tests.quality import scanner
from tests.quality.labels import read_lines

REPO = Path(__file__).resolve().parents[2]
DATA = REPO.parent / "shared" / "data"
BUILT = REPO / "build" / "osv-scanner"
MODULE = f"github.com/google/osv-scanner/v2/cmd/osv-scanner@{scanner.VERSION}"
VULNERABLE = 1  # its exit code when it found something


def main() -> int:
    if not DATA.is_dir():
        print(f"The shared data is not beside the repository: {DATA}", file=sys.stderr)
        return 2
    if shutil.which("go") is None:
        print(
            "Go is not on the PATH, so osv-scanner cannot be built. The recorded answers stay as they are.",
            file=sys.stderr,
        )
        return 2
    program = build()
    purls = scanner.list_components(DATA)
    with tempfile.TemporaryDirectory() as folder:
        answers = run(program, purls, Path(folder))
    scanner.write_record(scanner.RECORD, f"{scanner.VERSION} {scanner.digest(DATA, purls)}", answers)
    print(f"Recorded {sum(map(len, answers.values())):,} answers on {len(purls):,} components.")
    return report(purls, answers)


def build() -> Path:
    """The program, built once a version; a first build takes minutes."""
    program = BUILT / scanner.VERSION / "osv-scanner"
    if not program.is_file():
        print(f"Building osv-scanner {scanner.VERSION}", flush=True)
        environment = {**os.environ, "GOBIN": str(program.parent)}
        subprocess.run(["go", "install", MODULE], env=environment, check=True)
    return program


def run(program: Path, purls: list[str], folder: Path) -> scanner.Answers:
    """What it says of each component, with a database made from the shared advisories."""
    for ecosystem, feed in scanner.FEEDS.items():
        archive = folder / "osv-scalibr" / ecosystem / "all.zip"
        archive.parent.mkdir(parents=True)
        with zipfile.ZipFile(archive, "w") as file:
            for line in read_lines(DATA / "advisories" / f"{feed}.jsonl.zst"):
                file.writestr(f"{msgspec.json.decode(line)['id']}.json", line)
    components = [
        {"type": "library", "name": _parts(purl)[1], "version": _parts(purl)[2], "purl": purl} for purl in purls
    ]
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}
    (folder / "bom.json").write_bytes(msgspec.json.encode(document))
    command = [program, "scan", "source", "--offline", "--offline-vulnerabilities", "--all-packages", "--all-vulns"]
    command += ["--format", "json", "--output-file", folder / "found.json", "--lockfile", folder / "bom.json"]
    environment = {**os.environ, "OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, VULNERABLE):
        raise SystemExit(f"osv-scanner ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return read_output((folder / "found.json").read_bytes(), purls)


def read_output(document: bytes, purls: list[str]) -> scanner.Answers:
    """Its JSON by our purls.

    Raises:
        ValueError: It left components out.
    """
    found: dict[tuple[str, str, str], set[str]] = {}
    for result in msgspec.json.decode(document)["results"]:
        for entry in result["packages"]:
            package = entry["package"]
            ids = found.setdefault((package["ecosystem"], package["name"], package["version"]), set())
            ids.update(v["id"] for v in entry.get("vulnerabilities", ()))
    answers = {}
    missing = []
    for purl in purls:
        ids = found.get(_parts(purl))
        if ids is None:
            missing.append(purl)
        answers[purl] = frozenset(ids or ())
    if missing:
        raise ValueError(f"osv-scanner left out {len(missing)} components, such as {missing[:5]}")
    return answers


def _parts(purl: str) -> tuple[str, str, str]:
    """(ecosystem, name, version)."""
    kind, _, rest = purl.removeprefix("pkg:").partition("/")
    name, _, version = rest.rpartition("@")
    return scanner.ECOSYSTEMS[kind], name, version


def report(purls: list[str], theirs: scanner.Answers) -> int:
    """Print the differences and write their table into the documentation; 1 when one is not explained."""
    entries = scanner.read_entries(DATA)
    ours = scanner.answer(purls, entries)
    differences = list(scanner.compare(ours, theirs, entries))
    table = scanner.tabulate(scanner.count_same(ours, theirs), len(purls), differences)
    scanner.write_page(table)
    print(table)
    unexplained = [d for d in differences if scanner.explain(d) is None]
    for d in unexplained:
        print(f"not explained: {'ours' if d.is_ours else 'theirs'} {d.purl} {d.entry['id']} {d.bounds[:8]}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
