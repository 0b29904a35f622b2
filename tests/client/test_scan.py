"""The quick scan prints what the whole command line prints, byte for byte, or leaves the scan to it and prints nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from antivenom.cli.main import create_app
from antivenom.cli.scan_targets import read_environment
from antivenom.core import advisory_file
from antivenom_client.scan import scan
from tests.core.test_advisory_file import ABOUT, ADVISORIES, compile_

Record = dict[str, Any]
CODE = "from antivenom.start import main; main()"


def record(name: str, version: str, build: str = "h1_0", subdir: str = "linux-64", **more: Any) -> Record:
    fn = f"{name}-{version}-{build}.conda"
    channel = more.pop("channel", "https://there/conda-forge")
    made = {"build": build, "channel": channel, "depends": [], "files": [f"lib/{i}" for i in range(300)], "name": name,
            "subdir": subdir, "url": f"{channel}/{subdir}/{fn}", "version": version}  # fmt: skip
    return made | more


RECORDS = (
    record("pillow", "9.5", "py312_0"), record("openssl", "3.0.7"), record("zlib", "1.2.13", subdir="noarch"),
    record("nobody", "1"), record("x264", "1!164.3095"), record("requests", "2.0", channel="https://there/other"),
)  # fmt: skip


def as_conda(found: Record) -> str:
    return json.dumps(found, indent=2, sort_keys=True)


def as_pixi(found: Record) -> str:
    order = ("build", "depends", "name", "subdir", "version", "url", "channel", "files")
    return json.dumps({key: found[key] for key in order}, indent=2) + "\n"


def as_compact(found: Record) -> str:
    return json.dumps(found, separators=(",", ":"))


def write_prefix(
    folder: Path, write: Callable[[Record], str] = as_conda, records: tuple[Record, ...] = RECORDS
) -> Path:
    (folder / "conda-meta").mkdir(parents=True)
    (folder / "conda-meta" / "history").touch()
    for found in records:
        name = f"{found['name']}-{found['version']}-{found['build']}.json"
        (folder / "conda-meta" / name).write_text(write(found))
    return folder


def add_project(folder: Path, name: str, version: str, installer: str = "pip", **files: str) -> Path:
    info = folder / "lib" / "python3.12" / "site-packages" / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: other\n")
    (info / "INSTALLER").write_text(f"{installer}\n")
    for file, text in files.items():
        (info / file.replace("__", ".")).write_text(text)
    return info


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ANTIVENOM_URL", "CONDA_PREFIX", "VIRTUAL_ENV"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "advisories.db"
    monkeypatch.setenv("ANTIVENOM_ADVISORIES", str(path))
    advisory_file.write(compile_(*ADVISORIES), path, about=ABOUT)
    return path


Both = Callable[..., tuple[int | None, str]]


@pytest.fixture
def both(capsys: pytest.CaptureFixture[str]) -> Both:
    """Scan both ways; (exit code, stdout) of the quick way, which has to be that of the other one, or None."""

    def run(*arguments: str | Path) -> tuple[int | None, str]:
        given = list(map(str, arguments))
        code = scan(given)
        quick = capsys.readouterr()
        if code is None:
            assert quick == ("", "")
            return None, ""
        try:
            full_code = create_app(["scan"])(["scan", *given], standalone_mode=False) or 0
        except typer.Exit as left:
            full_code = left.exit_code
        full = capsys.readouterr()
        assert (quick.out, quick.err, code) == (full.out, full.err, full_code)
        return code, quick.out

    return run


@pytest.mark.parametrize("write", [as_conda, as_pixi, as_compact])
def test_an_environment_is_scanned_as_the_command_line_scans_it(
    file: Path, tmp_path: Path, both: Both, write: Callable[[Record], str]
) -> None:
    prefix = write_prefix(tmp_path / "work", write)
    for version in ("2.0.1", "3.0"):
        add_project(prefix, f"evil{version[0]}", version)
    code, text = both(prefix)
    assert code == 0
    assert text.splitlines()[0] == f"{prefix} (work, linux-64)"
    assert {line.split()[0] for line in text.splitlines()[2:] if line} >= {"pillow", "openssl"}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0), (("--fail-on", "high"), 1), (("--fail-on=kev",), 0), (("--strict",), 0), (("--output", "table"), 0),
        (("-o", "table", "--fail-on", "kev", "--fail-on", "any"), 1),
    ],
)  # fmt: skip
def test_options_of_pipelines_mean_the_same(
    file: Path, tmp_path: Path, both: Both, options: tuple[str, ...], code: int
) -> None:
    assert both("-p", write_prefix(tmp_path / "work"), *options)[0] == code


def test_several_environments_and_one_by_its_name(
    file: Path, tmp_path: Path, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_ENVS_DIRS", str(tmp_path / "envs"))
    one, two = write_prefix(tmp_path / "envs" / "one"), write_prefix(tmp_path / "two", as_pixi, RECORDS[:2])
    code, text = both("-n", "one", f"{two}/")
    assert code == 0
    assert f"{one} (one, linux-64)" in text
    assert f"{two} (two, linux-64)" in text
    monkeypatch.setenv("CONDA_PREFIX", str(two))
    assert both()[1].startswith(f"{two} (two")


def test_what_conda_brought_is_no_package_of_pip(file: Path, tmp_path: Path, both: Both) -> None:
    listed = record("bundle", "1.0", files=["lib/python3.12/site-packages/evil-1.0.dist-info/METADATA"])
    prefix = write_prefix(tmp_path / "work", as_conda, (*RECORDS, listed))
    add_project(prefix, "evil", "1.0")
    add_project(prefix, "Pillow", "9.5")
    add_project(prefix, "requests", "2.0", direct_url__json='{"url": "file:///src"}')
    add_project(prefix, "torch", "2.0", installer="conda")
    (prefix / "lib" / "python3.1").symlink_to("python3.12")
    egg = prefix / "lib" / "python3.12" / "site-packages" / "old_thing-1.0-py3.12.egg-info"
    egg.write_text("Metadata-Version: 1.0\nName: old-thing\nVersion: 1.0\n")
    code, text = both(prefix)
    assert code == 0
    assert "evil" not in text


def test_an_egg_is_left_to_the_whole_command_line_but_condas_own(file: Path, tmp_path: Path, both: Both) -> None:
    listed = record("bundle", "1.0", files=["lib/python3.12/site-packages/evil-1.0-py3.12.egg/EGG-INFO/PKG-INFO"])
    prefix = write_prefix(tmp_path / "work", as_conda, (*RECORDS, listed))
    site = prefix / "lib" / "python3.12" / "site-packages"
    (site / "evil-1.0-py3.12.egg" / "EGG-INFO").mkdir(parents=True)
    (site / "evil-1.0-py3.12.egg" / "EGG-INFO" / "PKG-INFO").write_text("Name: evil\nVersion: 1.0\n")
    code, text = both(prefix)
    assert (code, "evil" in text) == (0, False)
    for name in ("other-1.0-py3.12.egg", "other.egg-link"):
        (site / name).touch()
        assert both(prefix) == (None, "")
        (site / name).unlink()


def test_what_pip_failed_to_remove_is_not_installed(file: Path, tmp_path: Path, both: Both) -> None:
    prefix = write_prefix(tmp_path / "work")
    before = both(prefix)
    (add_project(prefix, "evil", "1.0").parent / "evil-1.0.dist-info").rename(
        prefix / "lib" / "python3.12" / "site-packages" / "~vil-1.0.dist-info"
    )
    assert both(prefix) == before
    assert before[0] == 0


def test_no_finding_prints_no_table(file: Path, tmp_path: Path, both: Both) -> None:
    assert both(write_prefix(tmp_path / "work", as_conda, RECORDS[2:4])) == (0, "")


ODD = {
    "half-written": ("pillow-9.5-py312_0.json", as_conda(RECORDS[0])[:-200]),
    "empty": ("zlib-1.2.13-h1_0.json", ""),
    "no object": ("zlib-1.2.13-h1_0.json", "[]"),
    "another version than its name": ("zlib-9-h1_0.json", as_conda(RECORDS[2])),
    "no build in its name": ("zlib.json", as_conda(RECORDS[2])),
    "a key twice": ("zlib-1.2.13-h1_0.json", as_conda(RECORDS[2])[:-2] + ',\n "subdir": "noarch"}'),
    "an escape": ("zlib-1.2.13-h1_0.json", as_conda(RECORDS[2]).replace("noarch", "no\\u0061rch")),
    "a secret": ("zlib-1.2.13-h1_0.json", as_conda(record("zlib", "1.2.13", channel="https://u:p@there/x"))),
    "a token": ("zlib-1.2.13-h1_0.json", as_conda(record("zlib", "1.2.13", channel="https://there/t/abc/x"))),
    "no subdir": ("zlib-1.2.13-h1_0.json", as_conda(record("zlib", "1.2.13", "h1_0", ""))),
}


@pytest.mark.parametrize("odd", ODD)
def test_unusual_records_are_left_to_the_command_line(file: Path, tmp_path: Path, both: Both, odd: str) -> None:
    prefix = write_prefix(tmp_path / "work", as_conda, RECORDS[:2])
    assert both(prefix)[0] == 0
    name, text = ODD[odd]
    (prefix / "conda-meta" / name).write_text(text)
    assert both(prefix)[0] is None


@pytest.mark.parametrize(
    "arguments",
    [["--output", "sarif"], ["--policy", "p.yml"], ["--fail-on", "stop"], ["--fail-on"], ["--help"], ["-"], ["none"], ["."],
     ["-n", "nobody"], ["--as", "prefix"], ["--server", "http://x"]],
)  # fmt: skip
def test_other_options_and_targets_are_left_to_the_command_line(
    file: Path, tmp_path: Path, both: Both, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(write_prefix(tmp_path / "work"))
    assert both(str(tmp_path / "work"))[0] == 0
    assert both(str(tmp_path / "work"), *arguments)[0] is None


def test_a_named_server_or_a_bad_file_is_left_to_the_command_line(
    file: Path, tmp_path: Path, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = write_prefix(tmp_path / "work")
    (tmp_path / "bad.db").write_bytes(file.read_bytes()[:-1])
    assert both(prefix, "--advisories", tmp_path / "bad.db")[0] is None
    assert both(prefix, "--advisories", tmp_path / "none.db")[0] is None
    monkeypatch.setenv("ANTIVENOM_URL", "http://there:1")
    assert both(prefix)[0] is None
    assert both(prefix, "--advisories", file)[0] == 0


def test_what_the_hot_tables_do_not_know_is_left_to_the_command_line(file: Path, tmp_path: Path, both: Both) -> None:
    assert both(write_prefix(tmp_path / "work", as_conda, (record("evil", "1.0"),)))[0] is None


def test_the_console_script_scans_at_once_and_imports_nothing_else(file: Path, tmp_path: Path) -> None:
    prefix = write_prefix(tmp_path / "work")
    code = "import sys, os; end = os._exit; os._exit = lambda code: (print(*sorted(sys.modules)), sys.stdout.flush(), end(code))"
    done = subprocess.run(
        [sys.executable, "-P", "-S", "-c", f"{code}; sys.argv = ['antivenom', 'scan', {str(prefix)!r}, '--fail-on', 'any']; {CODE}"],
        capture_output=True, text=True, env={**os.environ}, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{prefix} (work, linux-64)"
    loaded = set(lines[-1].split())
    assert not loaded & {
        "typer",
        "msgspec",
        "zstandard",
        "rattler",
        "httpx2",
        "click",
        "asyncio",
        "urllib.parse",
        "typing",
    }
    assert {name for name in loaded if name.startswith("antivenom.")} == {"antivenom.start"}


def test_the_console_script_leaves_all_else_to_the_command_line(file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", f"import sys; sys.argv = ['antivenom', 'scan', 'none']; {CODE}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no none" in done.stderr


@pytest.mark.parametrize("fragment", ["", "#sha256=aa"])
def test_a_wheel_of_a_conda_channel_is_a_project_of_pypi_and_no_conda_package(
    file: Path, tmp_path: Path, both: Both, fragment: str
) -> None:
    url = f"https://there/wheels/noarch/openssl-3.0.7-py3-none-any.whl{fragment}"
    prefix = write_prefix(tmp_path / "work", as_conda, (record("openssl", "3.0.7", url=url), *RECORDS[2:4]))
    assert both(prefix) == (None, "")
    (read,) = read_environment(prefix).snapshots
    assert ("pypi", "openssl") in {(component.type, component.name) for component in read.components}
