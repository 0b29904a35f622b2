"""Asks a real conda-index what it makes of channels; run by the Python of `conda_client.find_conda`.

PYTHON-WITH-CONDA tests/e2e/ask_conda_index.py current FILE…     for each repodata.json: FILE.current beside it
PYTHON-WITH-CONDA tests/e2e/ask_conda_index.py place FROM TO     copy artifacts from anywhere below into subdirs
PYTHON-WITH-CONDA tests/e2e/ask_conda_index.py index FOLDER      every document of a folder of artifacts
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path


def write_current(files: list[str]) -> None:
    """What conda-index keeps in current_repodata.json of each document."""
    from conda_index.index.current_repodata import build_current_repodata

    for file in files:
        document = json.loads(Path(file).read_text(encoding="utf-8"))
        current = build_current_repodata(document["info"]["subdir"], document, None)
        Path(f"{file}.current").write_text(json.dumps(current), encoding="utf-8")


def place_artifacts(source: str, target: str) -> None:
    """Copy each artifact that is named as it says itself to its subdir; damaged ones and others are left out."""
    from conda_package_streaming.package_streaming import stream_conda_info

    for file in sorted(Path(source).rglob("*")):
        if not file.name.endswith((".conda", ".tar.bz2")):
            continue
        try:
            members = stream_conda_info(file)
            said = next(json.load(tar.extractfile(m)) for tar, m in members if m.name == "info/index.json")
        except Exception:
            continue
        folder = Path(target) / (said.get("subdir") or "noarch")
        if file.name.startswith(f"{said['name']}-{said['version']}-{said['build']}."):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / file.name)


def index_folder(folder: str) -> None:
    """Index artifacts in place, with run exports and compressed files."""
    from conda_index.index import ChannelIndex

    channel = ChannelIndex(folder, "channel", threads=1, write_zst=True, write_run_exports=True)
    channel.index(patch_generator=None)
    channel.update_channeldata()


if __name__ == "__main__":
    from conda.base.context import context

    context.__init__(search_path=())  # nobody's .condarc
    {"current": lambda *files: write_current(list(files)), "place": place_artifacts, "index": index_folder}[
        sys.argv[1]
    ](*sys.argv[2:])
