"""Our derived documents beside those of a real conda-index, on real channels and real artifacts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from antivenom.core.publication.current_repodata import derive_current
from tests.core.index_samples import FakePolicy, MemoryBlobs, ingest, opened, publish_all
from tests.e2e.conda_client import find_conda
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer

SUBDIRS = ("linux-64", "linux-aarch64", "linux-ppc64le", "noarch", "osx-64", "osx-arm64", "win-64", "win-arm64")
# conda-index takes none of these: conditional dependencies, digests and addresses as of other tools.
NOT_FOR_CONDA_INDEX = ("rattler__conditional", "rattler__dummy", "mamba__", "rattler__patch")
HARVESTED = ("noarch", "osx-arm64")  # of conda-forge, beside the whole channels


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs `ask_conda_index.py` in an environment with conda and conda-index."""
    python = find_conda().with_name("python")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path_factory.mktemp("nobody"))}
    script = Path(__file__).with_name("ask_conda_index.py")

    def run(*arguments: str | Path) -> None:
        command = [str(part) for part in (python, script, *arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    return run


def read_zst(path: Path) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(path.read_bytes()) as reader:
        return bytes(reader.read())


def real_channels(data: Path) -> dict[str, dict[str, Any]]:
    """Real repodata documents by a name of ours."""
    found = {}
    for path in sorted((data / "repodata-real").glob("*.json.zst")):
        if not path.name.startswith(NOT_FOR_CONDA_INDEX):
            document = json.loads(read_zst(path))
            named = next((subdir for subdir in SUBDIRS if subdir in path.name), "noarch")
            document["info"] = {"subdir": (document.get("info") or {}).get("subdir") or named}
            found[path.name.partition(".")[0]] = document
    return found | {f"conda-forge-{subdir}": harvested(data, subdir) for subdir in HARVESTED}


def harvested(data: Path, subdir: str) -> dict[str, Any]:
    """The whole records of conda-forge that lock files have."""
    sections: dict[str, dict[str, Any]] = defaultdict(dict)
    for line in read_zst(data / "records.jsonl.zst").splitlines():
        record = msgspec.json.decode(line)
        if (record["channel"], record["subdir"]) == ("conda-forge", subdir) and "depends" in record:
            fn = record.pop("fn")
            last = record["build"].rpartition("_")[2]
            record.setdefault("build_number", int(last) if last.isdigit() else 0)
            del record["channel"]
            sections["packages.conda" if fn.endswith(".conda") else "packages"][fn] = record
    return {"info": {"subdir": subdir}, **sections}


def test_current_repodata_keeps_what_conda_index_keeps(asked: Any, shared_data: Path, tmp_path: Path) -> None:
    """sonatype/nexus-public#1056, conda/conda-build#3502: which builds the current index has."""
    ours: dict[Path, Any] = {}
    for name, document in real_channels(shared_data / "data/conda").items():
        blobs, subdir = MemoryBlobs(), document["info"]["subdir"]
        sources = {subdir: ingest(blobs, json.dumps(document).encode(), subdir=subdir)}
        published = publish_all(blobs, sources, FakePolicy(), closure=False)
        path = tmp_path / f"{name}.json"
        path.write_bytes(zstandard.ZstdDecompressor().decompress(blobs.get(published.subdirs[subdir].monolith)))
        ours[path] = json.loads(derive_current(blobs, opened(blobs, published, subdir)))
    asked("current", *ours)
    assert sum(len(records_of(document)) for document in ours.values()) > 5_000
    for path, document in ours.items():
        theirs = json.loads(Path(f"{path}.current").read_text(encoding="utf-8"))
        assert comparable(document) == comparable(theirs), path.name


def records_of(document: Mapping[str, Any]) -> dict[str, Any]:
    return {**document["packages"], **document["packages.conda"]}


def comparable(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document without what conda-index does to a record's link to its older format.

    It writes null where the `.tar.bz2` is not there; we leave what the upstream says.
    """
    sections = ("packages", "packages.conda")
    plain = {
        section: {fn: {k: v for k, v in record.items() if k != "legacy_bz2_md5"} for fn, record in of_section.items()}
        for section, of_section in document.items()
        if section in sections
    }
    return {**document, **plain}


@pytest.fixture(scope="module")
def artifacts(asked: Any, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real artifacts in subdirs, with every document that conda-index makes of them."""
    folder = tmp_path_factory.mktemp("artifacts")
    packed = shared_data / "data/conda/packages-real.tar.zst"
    with zstandard.ZstdDecompressor().stream_reader(packed.read_bytes()) as stream:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            archive.extractall(folder / "packed", filter="data")
    asked("place", folder / "packed", folder / "whole")
    (folder / "whole/noarch/patch_instructions.json").write_text(json.dumps(PATCHES))
    asked("index", folder / "whole")
    return folder / "whole"


# As a channel's repairs are: for files that stay, for one that a policy withholds, and for one that leaves the index.
PATCHES = {
    "patch_instructions_version": 1,
    "packages": {"clobber-1-0.1.0-h4616a5c_0.tar.bz2": {"depends": ["repaired"]}},
    "packages.conda": {fn: {"license": "repaired"} for fn in ("dependent-1.0-0.conda", "dependency-2.0-0.conda")},
    "remove": ["clobber-2-0.1.0-h4616a5c_0.tar.bz2"],
    "revoke": ["dependent-2.0-0.conda", "dependency-2.0-0.conda"],
}
POLICY = (
    'name: some\nrules:\n  - {id: some, gate: packages, trigger: match_spec, action: stop, params: {deny: ["%s"]}}\n'
)
WITHHELD = ("dependency >=2", "another_dependent", "run_exports_versions >=2", "*_*")


async def test_documents_of_a_mirror_are_those_of_conda_index(
    artifacts: Path,
    upstream: UpstreamServer,
    person: Person,
    ask: Asker,
) -> None:
    shutil.copytree(artifacts, upstream.folder, dirs_exist_ok=True)
    mirror = await person.mirror("main", upstream)
    assert (mirror.state, mirror.last_error) == ("ok", "")
    assert await difference(ask, artifacts) == {}


async def test_documents_of_a_filtered_mirror_are_those_of_conda_index_on_what_is_left(
    asked: Any,
    artifacts: Path,
    upstream: UpstreamServer,
    person: Person,
    ask: Asker,
    tmp_path: Path,
) -> None:
    shutil.copytree(artifacts, upstream.folder, dirs_exist_ok=True)
    await person.mirror("main", upstream, policy_text=POLICY % '", "'.join(WITHHELD[:3]), closure=False)
    withheld = await person.withheld("main")
    assert len(withheld) >= 2
    for path in artifacts.glob("*/*"):
        if path.name.endswith((".conda", ".tar.bz2")) and path.name not in withheld:
            (tmp_path / "left" / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, tmp_path / "left" / path.parent.name / path.name)
    for subdir in json.loads((artifacts / "channeldata.json").read_bytes())["subdirs"]:
        answer = await ask(f"/conda/main/{subdir}/patch_instructions.json")
        assert answer.status == (200 if subdir == "noarch" else 404)
        if answer.status == 200:
            assert b"dependency-2.0" not in answer.body  # it is withheld
            (tmp_path / "left" / subdir / "patch_instructions.json").write_bytes(answer.body)
    asked("index", tmp_path / "left")
    assert await difference(ask, tmp_path / "left") == {}


async def difference(ask: Asker, folder: Path) -> dict[str, Any]:
    """By file and field: what we serve, and what conda-index wrote, where they differ."""
    found: dict[str, Any] = {}
    channeldata = json.loads((folder / "channeldata.json").read_bytes())
    for subdir in channeldata["subdirs"]:
        for fn in ("repodata.json", "run_exports.json", "current_repodata.json"):
            path = f"{subdir}/{fn}"
            theirs, ours = json.loads((folder / path).read_bytes()), await served(ask, path)
            if fn == "repodata.json":
                listed = records_of(theirs).keys()
            for name in theirs.keys() | ours.keys():
                one, other = theirs.get(name), ours.get(name)
                if name.startswith("packages") and fn == "run_exports.json":
                    one = {fn: entry for fn, entry in one.items() if fn in listed}  # theirs has removed files too
                elif name.startswith("packages"):
                    one, other = completed(one, subdir), completed(other, subdir)
                if one != other:
                    found[f"{path} {name}"] = changed(other, one)
    theirs, ours = channeldata, await served(ask, "channeldata.json")
    for name in theirs["packages"].keys() | ours["packages"].keys():
        one, other = theirs["packages"].get(name, {}), ours["packages"].get(name, {})
        # conda-index takes the time of the record that it reads last, we that of the newest.
        if one | {"timestamp": 0} != other | {"timestamp": 0} or other["timestamp"] < one["timestamp"]:
            found[f"channeldata.json {name}"] = changed(other, one)
    if {**theirs, "packages": 0} != {**ours, "packages": 0}:
        found["channeldata.json"] = {**theirs, "packages": 0}, {**ours, "packages": 0}
    return found


async def served(ask: Asker, path: str) -> Any:
    await ask.application.files._directory.refresh()
    answer = await ask(f"/conda/main/{path}")
    assert answer.status == 200, path
    return json.loads(answer.body)


def changed(ours: Any, theirs: Any) -> Any:
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return ours, theirs
    return {k: (ours.get(k), theirs.get(k)) for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)}


def completed(section: Any, subdir: str) -> Any:
    """A section of records with the fields that clients need and we complete, without what either of us adds.

    We add when a record was listed first, conda-index the link to a record's older format.
    """
    added = ("indexed_timestamp", "legacy_bz2_md5")
    return {
        fn: {"depends": [], "subdir": subdir} | {k: v for k, v in record.items() if k not in added}
        for fn, record in section.items()
    }
