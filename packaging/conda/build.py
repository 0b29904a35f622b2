"""Builds Antivenom's conda packages with rattler-build, and the channel that every server serves at `/antivenom/`.

    python packaging/conda/build.py [FOLDER]

What the packages contain is staged first: wheels of this repository, and the files of what is installed in .venv. The
recipes copy it and solve for nothing, so that building needs no channel and no network. Source: docs/adr/0027.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from rattler.index import index_fs
from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, ToolConfiguration

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CHANNEL = REPOSITORY / "src/antivenom/server/packages"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
CHANNEL_IN_WHEEL = "antivenom/server/packages/"  # no package has the channel in it that it is served from


@dataclass(frozen=True)
class Staged:
    """A package that is ready to be built: the recipe's name, the version, and the folder to copy from."""

    name: str
    version: str
    folder: Path


def main() -> None:
    """Build all packages and put them in place at once, as a channel with its index."""
    target = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else CHANNEL
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".packages-", dir=target.parent) as name:
        scratch = Path(name)
        channel = scratch / "channel"
        for staged in stage_all(scratch / "staged"):
            for package in build(staged, scratch / "built"):
                subdir = channel / package.parent.name
                subdir.mkdir(parents=True, exist_ok=True)
                shutil.copy2(package, subdir)
        asyncio.run(index_fs(channel, write_zst=True, write_shards=True))
        shutil.rmtree(channel / ".tmp", ignore_errors=True)  # the indexer leaves it
        shutil.rmtree(target, ignore_errors=True)
        channel.rename(target)
    for package in sorted(target.glob("*/*.conda")):
        print(f"{package.parent.name}/{package.name} {package.stat().st_size / 1e6:.1f} MB")


def stage_all(folder: Path) -> list[Staged]:
    """What is to be built, those first that others need."""
    return [
        stage_wheel("antivenom-client", REPOSITORY / "client", folder),
        stage_installed("common-expression-language", folder),
        stage_wheel("antivenom", REPOSITORY, folder),
    ]


def stage_wheel(name: str, source: Path, folder: Path) -> Staged:
    """Build the wheel of a folder of this repository and unpack it."""
    wheels = folder / f"{name}-wheel"
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels))
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the wheel of {name} was not built:\n{done.stdout}{done.stderr}")
    (wheel,) = wheels.glob("*.whl")
    site = folder / name / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site, [member for member in archive.namelist() if not member.startswith(CHANNEL_IN_WHEEL)])
    shutil.copy2(REPOSITORY / "LICENSE", folder / name)
    return Staged(name, distribution(name).version, folder / name)


def stage_installed(name: str, folder: Path) -> Staged:
    """Copy the files of an installed distribution, without its programs and its byte code."""
    found = distribution(name)
    site = folder / name / "site-packages"
    for file in found.files or []:
        if ".." in file.parts or file.suffix == ".pyc" or file.name in ("INSTALLER", "REQUESTED", "direct_url.json"):
            continue
        target = site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(found.locate_file(file)), target)
    shutil.copy2(find_license(found), folder / name / "LICENSE")
    return Staged(name, found.version, folder / name)


def find_license(found: Distribution) -> Path:
    (licence,) = (file for file in found.files or [] if file.name == "LICENSE")
    return Path(str(found.locate_file(licence)))


def build(staged: Staged, folder: Path) -> list[Path]:
    """Build one package; its tests need channels and are left to those who have some."""
    recipe = Stage0Recipe.from_file(HERE / staged.name / "recipe.yaml")
    render = RenderConfig(PlatformConfig(), {"version": staged.version, "staged": str(staged.folder), "python": PYTHON})
    results = recipe.run_build(
        tool_config=ToolConfiguration(test_strategy="skip"),
        output_dir=folder,
        channels=[],
        no_build_id=True,
        render_config=render,
    )
    return [Path(package) for result in results for package in result.packages]


if __name__ == "__main__":
    main()
