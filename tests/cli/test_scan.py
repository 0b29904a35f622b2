"""`antivenom scan` as people and their pipelines run it: against a whole server that knows one feed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

import msgspec
import pytest

from antivenom.cli.scan_assessing import Answer, assess
from antivenom.cli.scan_output import Progress
from antivenom.cli.scan_targets import Target, find_environment, read_target
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.snapshot import Component, Snapshot
from antivenom.core.reports.as_json import JsonReport
from tests.cli.test_match import ADVISORY
from tests.conftest import ANTIVENOM
from tests.core.readers import samples

RECORD = {
    "name": "requests",
    "version": "2.25.0",
    "build": "py_0",
    "subdir": "noarch",
    "channel": "conda-forge",
    "files": [],
}


@pytest.fixture(scope="module")
def knowing(up_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("feed")
    folder.parent.chmod(0o755)
    (folder / "osv.jsonl").write_text(json.dumps(ADVISORY))
    up_server.cli("feed", "add", "osv", folder / "osv.jsonl")
    return up_server


def write_prefix(folder: Path, **record: Any) -> Path:
    (folder / "conda-meta").mkdir(parents=True)
    (folder / "conda-meta" / "history").write_text("")
    (folder / "conda-meta" / "requests-2.25.0-py_0.json").write_text(json.dumps(RECORD | record))
    info = folder / "lib" / "python3.12" / "site-packages" / "flask-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flask\nVersion: 2.0\n\n")
    return folder


def test_an_environment_is_scanned_and_what_is_not_known_is_said(knowing: Any, tmp_path: Path) -> None:
    write_prefix(tmp_path / "work")
    (tmp_path / "work" / "conda-meta" / "odd.json").write_text("{")
    done = knowing.cli("scan", tmp_path / "work")
    lines = done.stdout.splitlines()
    assert lines[0].endswith("work (work)")
    assert lines[2].split() == ["requests", "2.25.0", "CVE-2023-32681", "medium", *lines[2].split()[4:]]
    assert "update to 2.31.0 or later" in lines[2]
    assert "1 finding in 2 components of 1 environment" in done.stderr
    assert "conda-meta/odd.json is left out" in done.stderr
    strict = knowing.cli("scan", "--strict", "-p", tmp_path / "work", check=False)
    assert strict.returncode == 2


@pytest.mark.parametrize("output", ["json", "sarif", "junit", "markdown", "spdx", "openvex", "html"])
def test_stdout_holds_the_result_alone(knowing: Any, tmp_path: Path, output: str) -> None:
    (tmp_path / "pixi.lock").write_text(samples.PIXI_7)
    text = knowing.cli("scan", tmp_path / "pixi.lock", "--output", output).stdout
    if output == "json":
        assert (json.loads(text)["components"], json.loads(text)["findings"]) == (2, 1)
    elif output == "sarif":
        assert len(json.loads(text)["runs"][0]["results"]) == 1
    elif output == "html":
        assert "CVE-2023-32681" in text
    elif output == "openvex":
        assert [s["vulnerability"]["name"] for s in json.loads(text)["statements"]] == ["CVE-2023-32681"]
    elif output == "spdx":
        assert [p["name"] for p in json.loads(text)["packages"][1:]] == ["openssl", "requests"]
    elif output == "junit":
        assert ElementTree.fromstring(text)[0].get("failures") == "1"
    else:
        assert text.startswith("## Antivenom: 1 finding in 2 components")


@pytest.mark.parametrize(
    ("limits", "code"),
    [(["high"], 0), (["kev"], 0), (["medium"], 1), (["high", "low"], 1), (["any"], 1), (["nothing"], 2)],
)
def test_the_exit_code_is_that_of_the_limits(knowing: Any, tmp_path: Path, limits: list[str], code: int) -> None:
    (tmp_path / "requirements.txt").write_text("requests==2.25.0\n")
    options = [part for limit in limits for part in ("--fail-on", limit)]
    assert knowing.cli("scan", tmp_path / "requirements.txt", *options, check=False).returncode == code


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "there is nothing to scan"),
        (["no-such"], "there is no no-such"),
        (["-n", "no-such"], "no environment is named 'no-such'"),
        (["--as", "wheel", "."], "no kind of file"),
    ],
)
def test_what_cannot_be_scanned_is_said(knowing: Any, tmp_path: Path, given: list[str], words: str) -> None:
    (tmp_path / "requirements.txt").write_text("a==1\n")
    done = knowing.cli("scan", *[str(tmp_path) if part == "." else part for part in given], check=False)
    assert (done.returncode, words in done.stderr, done.stdout) == (2, True, "")


def test_a_pipeline_fails_on_what_is_new_only(knowing: Any, tmp_path: Path) -> None:
    old, new = tmp_path / "old.txt", tmp_path / "requirements.txt"
    old.write_text("requests==2.31.0\n")
    new.write_text("requests==2.25.0\n")
    first = knowing.cli("scan", new, "--output", "json")
    (tmp_path / "baseline.json").write_text(first.stdout)
    again = knowing.cli("scan", new, "--baseline", tmp_path / "baseline.json", "--fail-on", "any", check=False)
    assert (again.returncode, "1 finding of" in again.stderr) == (0, True)
    worse = knowing.cli("scan", "--diff", old, new, "--fail-on", "medium", check=False)
    assert (worse.returncode, "1 package changed, 1 finding came, 0 findings went" in worse.stderr) == (1, True)
    better = knowing.cli("scan", "--diff", new, old, "--fail-on", "any", "--output", "markdown", check=False)
    assert (better.returncode, "| requests | 2.25.0 | 2.31.0 |" in better.stdout) == (0, True)
    assert knowing.cli("scan", "--diff", old, check=False).returncode == 2


def test_a_file_that_cannot_be_read_among_many_is_said_and_the_rest_goes_on(knowing: Any, tmp_path: Path) -> None:
    good, broken = tmp_path / "all" / "requirements.txt", tmp_path / "all" / "a" / "uv.lock"
    broken.parent.mkdir(parents=True)
    good.write_text("requests==2.25.0\n")
    broken.write_text("[[package]]\nname = \n")
    for options, code in ((["--strict"], 2), ([], 0), (["--fail-on", "any"], 1)):
        done = knowing.cli("scan", tmp_path / "all", *options, check=False)
        assert (done.returncode, "CVE-2023-32681" in done.stdout) == (code, True)
        assert "error: " in done.stderr
        assert "uv.lock, line 2: it is no TOML" in done.stderr
        assert "1 finding in 1 component of 1 environment" in done.stderr
    named = knowing.cli("scan", broken, good, tmp_path / "gone", "--output", "json", check=False)
    found = json.loads(named.stdout)
    assert (named.returncode, [bool(s["error"]) for s in found["snapshots"]]) == (2, [True, False, True])
    alone = knowing.cli("scan", broken, "--output", "json", check=False)
    assert (alone.returncode, alone.stdout) == (2, "")
    compared = knowing.cli("scan", "--diff", tmp_path / "all", good, check=False)
    assert (compared.returncode, compared.stdout) == (2, "")


POLICY = """name: team
rules:
- {id: severe, gate: vulnerabilities, trigger: package, action: stop, params: {severity: '>= medium'}}
- {id: copyleft, gate: licenses, trigger: license, action: stop, params: {families: [gpl]}}
"""
ALLOWED = """allowlist:
- {id: ok, gate: vulnerabilities, trigger_id: CVE-2023-32681+requests, owner: ana, reason: not reachable}
"""


def test_a_policy_judges_a_scan_and_its_allowlist_sets_aside(knowing: Any, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("requests==2.25.0\n")
    (tmp_path / "team.yml").write_text(POLICY)
    (tmp_path / "allowing.yml").write_text(POLICY + ALLOWED)
    given = tmp_path / "requirements.txt"
    stopped = knowing.cli("scan", given, "--policy", tmp_path / "team.yml", check=False)
    assert (stopped.returncode, "policy: 1 stopped, 0 with a warning, 0 go" in stopped.stderr) == (1, True)
    assert "rule copyleft could not be evaluated for 1 component: nothing states its licence" in stopped.stderr
    assert stopped.stdout.splitlines()[2].split()[6] == "stop"
    other = knowing.cli("scan", given, "--policy", tmp_path / "team.yml", "--fail-on", "kev", check=False)
    assert other.returncode == 0
    allowed = knowing.cli("scan", given, "--policy", tmp_path / "allowing.yml", check=False)
    assert (allowed.returncode, "1 finding set aside" in allowed.stderr) == (0, True)
    (tmp_path / "wrong.yml").write_text("name: p\nrules:\n- {id: a, gate: nothing, trigger: b, action: stop}\n")
    for policy, words in ((tmp_path / "wrong.yml", "wrong.yml:3:"), ("no-such", "no-such"), ("../x", "cannot be read")):
        wrong = knowing.cli("scan", given, "--policy", policy, check=False)
        assert (wrong.returncode != 0, words in wrong.stderr, wrong.stdout) == (True, True, "")
    assert knowing.cli("scan", given, "--fail-on", "stop", check=False).returncode == 2


def test_a_baseline_holds_for_what_a_policy_stops(knowing: Any, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("requests==2.25.0\n")
    (tmp_path / "team.yml").write_text(
        POLICY + "- {id: banned, gate: packages, trigger: names, action: stop, params: {deny: [requests]}}\n"
    )
    given = ("scan", tmp_path / "requirements.txt", "--policy", tmp_path / "team.yml", "--output", "json")
    first = knowing.cli(*given, check=False)
    assert first.returncode == 1
    (tmp_path / "baseline.json").write_text(first.stdout)
    again = knowing.cli(*given, "--baseline", tmp_path / "baseline.json", check=False)
    assert (again.returncode, json.loads(again.stdout)["policy_stop"]) == (0, 0)


def test_a_policy_of_the_server_is_asked_for_by_its_name(knowing: Any, tmp_path: Path) -> None:
    (tmp_path / "team.yml").write_text(POLICY)
    (tmp_path / "requirements.txt").write_text("requests==2.25.0\n")
    knowing.cli("channel", "create", "judged")
    knowing.cli("policy", "set", tmp_path / "team.yml", "--channel", "judged")
    done = knowing.cli("scan", tmp_path / "requirements.txt", "--policy", "team", check=False)
    assert (done.returncode, "policy: 1 stopped" in done.stderr) == (1, True)
    token = (knowing.home / "local-token").read_text().strip()
    elsewhere = knowing.environment | {"ANTIVENOM_HOME": str(tmp_path / "other"), "ANTIVENOM_TOKEN": token}
    command = [*ANTIVENOM, "scan", str(tmp_path / "requirements.txt"), "--policy", "team", "--server", knowing.url]
    named = subprocess.run(command, env=elsewhere, capture_output=True, text=True, check=False)
    assert (named.returncode, "policy: 1 stopped" in named.stderr) == (1, True)


def test_a_vex_document_sets_aside_what_it_says_is_no_danger(knowing: Any, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("requests==2.25.0\n")
    statement = {
        "vulnerability": {"name": "CVE-2023-32681"},
        "products": [{"@id": "pkg:pypi/requests"}],
        "status": "not_affected",
    }
    untied = {**statement, "products": [{"@id": "https://app.example"}]}
    (tmp_path / "vex.json").write_text(
        json.dumps({"@context": "https://openvex.dev/ns/v0.2.0", "statements": [statement, untied]})
    )
    done = knowing.cli(
        "scan", tmp_path / "requirements.txt", "--vex", tmp_path / "vex.json", "--fail-on", "any", check=False
    )
    assert (done.returncode, done.stdout, "1 finding set aside" in done.stderr) == (0, "", True)
    assert "1 statement without a package URL" in done.stderr


@pytest.mark.parametrize(
    ("name", "options", "member"),
    [
        ("a.json", (), "bomFormat"),
        ("a.spdx.json", (), "spdxVersion"),
        ("a.json", ("--sbom-format", "spdx"), "spdxVersion"),
    ],
)
def test_an_sbom_is_written_beside_the_result(
    knowing: Any, tmp_path: Path, name: str, options: tuple[str, ...], member: str
) -> None:
    (tmp_path / "pixi.lock").write_text(samples.PIXI_7)
    knowing.cli("scan", tmp_path / "pixi.lock", "--sbom-out", tmp_path / name, *options)
    document = json.loads((tmp_path / name).read_text())
    assert member in document
    [again] = list(read_target(str(tmp_path / name)))
    assert [(c.type, c.name, c.version) for c in again.snapshots[0].components] == [
        ("conda", "openssl", "3.0.7"), ("pypi", "requests", "2.25.0")
    ]  # fmt: skip


def test_a_finding_is_explained_as_match_does(knowing: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "requirements.txt").write_text("requests==2.25.0\nflask==2.0\n")
    done = knowing.cli("scan", tmp_path, "--explain", "cve-2023-32681")
    assert done.stdout.splitlines()[0] == f"in {tmp_path}/a/requirements.txt, {tmp_path}/b/requirements.txt"
    assert "pypi requests=2.25.0: 1 finding" in done.stdout
    assert "Names tried" in done.stdout
    [found] = json.loads(knowing.cli("scan", tmp_path, "--explain", "CVE-2023-32681", "-o", "json").stdout)
    [again] = json.loads(
        knowing.cli(
            "match", "--explain", "--advisory", "CVE-2023-32681", "pkg:pypi/requests@2.25.0", "-o", "json"
        ).stdout
    )
    assert found == again
    none = knowing.cli("scan", tmp_path, "--explain", "CVE-1999-1", check=False)
    assert (none.returncode != 0, "nothing that was scanned has CVE-1999-1" in none.stderr, none.stdout) == (
        True,
        True,
        "",
    )


def test_a_channel_of_the_server_is_asked_whether_it_has_the_fix(knowing: Any, tmp_path: Path) -> None:
    knowing.cli("channel", "create", "fixes")
    listed = f"{knowing.url}/conda/fixes/noarch/requests-2.25.0-py_0.conda"
    elsewhere = "https://conda.example/main/noarch/requests-2.25.0-py_0.conda"
    for url, options in ((listed, ()), (elsewhere, ("--channel", "fixes"))):
        (tmp_path / "explicit.txt").write_text(f"@EXPLICIT\n{url}\n")
        done = knowing.cli("scan", tmp_path / "explicit.txt", *options)
        assert "update to 2.31.0 or later; channel fixes does not have the package" in done.stdout
    wrong = knowing.cli("scan", tmp_path / "explicit.txt", "--channel", "no-such", check=False)
    assert (wrong.returncode, "no-such" in wrong.stderr, wrong.stdout) == (2, True, "")


# -- many targets ------------------------------------------------------------------------------------------------------


def target(number: int, *versions: str) -> Target:
    components = tuple(Component("pypi", f"p{v}", v, depends=("a",), md5=f"{number}") for v in versions)
    return Target(f"{number}/uv.lock", "python-lock", [Snapshot("", "", components)])


def test_equal_components_of_many_targets_are_asked_for_once_and_in_batches() -> None:
    asked: list[list[str]] = []

    def ask(components: Sequence[Component]) -> list[Answer]:
        asked.append([c.version for c in components])
        return [Answer(True, c.version, ()) for c in components]

    versions = [str(n) for n in range(2_500)]
    found = list(assess((target(number, *versions) for number in range(7)), ask))
    assert [len(part) for part in asked] == [1000, 1000, 500]
    assert sorted(v for part in asked for v in part) == sorted(versions)
    assert [(s.target, [a.reason for a in s.components]) for s in found] == [
        (f"{number}/uv.lock", versions) for number in range(7)
    ]
    assert found[3].components[0].component.md5 == "3"  # what each file says stays its own


def test_ten_thousand_targets_stream_in_the_memory_of_a_few() -> None:
    finding = Finding(("CVE-1",), "high", None, False, None, 1.0, (), "reported", "high", ())

    def ask(components: Sequence[Component]) -> list[Answer]:
        return [Answer(True, c.version, tuple(msgspec.structs.replace(finding, summary=f"{c.version}{n}") for n in range(3))) for c in components]  # fmt: skip

    def peak(count: int) -> int:
        report = JsonReport()
        tracemalloc.start()
        targets = (target(number, *(f"{number}.{n}" for n in range(10))) for number in range(count))
        assert sum(len(report.add(snapshot)) for snapshot in assess(targets, ask)) > count * 1000
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    full = peak(2_000)  # answers are remembered up to a limit
    assert peak(10_000) < full * 1.3


def test_what_is_scanned_is_printed_before_the_last_target_is_read() -> None:
    read: list[int] = []

    def targets() -> Iterator[Target]:
        for number in range(100):
            read.append(number)
            yield target(number, *map(str, range(1000)))

    first = next(assess(targets(), lambda components: [Answer(True, "", ()) for _ in components]))
    assert (first.target, len(read)) == ("0/uv.lock", 5)


def test_the_active_environment_is_scanned_where_nothing_is_named(knowing: Any, tmp_path: Path) -> None:
    environment = knowing.environment | {"CONDA_PREFIX": str(write_prefix(tmp_path / "work"))}
    done = subprocess.run([*ANTIVENOM, "scan"], env=environment, capture_output=True, text=True, check=True)
    assert "work (work)" in done.stdout


def test_progress_is_shown_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for is_terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", partial(bool, is_terminal))
        progress = Progress()
        progress.show("a/long/uv.lock")
        progress.show("b\x1b[31m")
        progress.clear()
        shown = capsys.readouterr().err
        lines = shown.split("\r")
        expected = ["", "1 read: a/long/uv.lock", "2 read: b?[31m", "", ""] if is_terminal else [""]
        assert [line.strip() for line in lines] == expected


# -- what is found on a disk -------------------------------------------------------------------------------------------


def paths(folder: Path) -> list[str]:
    return sorted(os.path.relpath(target.path, folder) for target in read_target(str(folder)))


def test_a_folder_is_searched_without_what_git_ignores(tmp_path: Path) -> None:
    shutil.copytree(write_prefix(tmp_path / "first"), tmp_path / "deep" / "env")
    for place in ("a", "a/b", "ignored", "node_modules/x"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "uv.lock").write_text(samples.UV)
    (tmp_path / "a" / "notes.txt").write_text("nothing")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "pixi.lock").symlink_to("/dev/zero")
    expected = ["a/b/uv.lock", "a/uv.lock", "deep/env", "first", "ignored/uv.lock"]
    assert paths(tmp_path) == expected
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("ignored/\nfirst\n")
    assert paths(tmp_path) == ["a/b/uv.lock", "a/uv.lock", "deep/env"]


def test_the_rest_of_a_damaged_environment_is_scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_prefix(tmp_path / "work")
    (tmp_path / "work" / "conda-meta" / "shut.json").write_text("{}")
    (tmp_path / "work" / "conda-meta" / "half.json").write_text('{"name": "half", "ver')
    (tmp_path / "work" / "lib" / "python3.12" / "site-packages" / "shut-1.0.dist-info").mkdir()
    (tmp_path / "work" / "lib" / "python3.12" / "site-packages" / "shut-1.0.dist-info" / "METADATA").write_text(
        "Name: a"
    )
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if "shut" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    [target] = read_target(str(tmp_path / "work"))
    [snapshot] = target.snapshots
    assert [c.name for c in snapshot.components] == ["requests", "flask"]
    assert [what for what, _ in snapshot.skipped] == [
        "conda-meta/shut.json",
        "conda-meta/half.json",
        "shut-1.0.dist-info",
    ]


def test_a_virtual_environment_says_which_python_it_has(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.7\n")
    info = tmp_path / "lib" / "python3.11" / "site-packages" / "flask-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: flask\nVersion: 2.0\n")
    [target] = read_target(str(tmp_path))
    found = [(c.type, c.name, c.version) for c in target.snapshots[0].components]
    assert (target.kind, found) == ("venv", [("generic", "python", "3.11.7"), ("pypi", "flask", "2.0")])


def test_eggs_and_what_is_developed_are_installed_too(tmp_path: Path) -> None:
    site = write_prefix(tmp_path / "work").joinpath("lib", "python3.12", "site-packages")
    (site / "Django-2.1-py3.7.egg" / "EGG-INFO").mkdir(parents=True)
    (site / "Django-2.1-py3.7.egg" / "EGG-INFO" / "PKG-INFO").write_text("Name: Django\nVersion: 2.1\n")
    with ZipFile(site / "urllib3-1.23-py3.7.egg", "w") as egg:
        egg.writestr("EGG-INFO/PKG-INFO", "Name: urllib3\nVersion: 1.23\n")
    with ZipFile(site / "bare-1.0-py3.7.egg", "w") as egg:
        egg.writestr("bare.py", "")
    (site / "torn-1.0-py3.7.egg").write_bytes(b"PK")
    (tmp_path / "src" / "my_tool.egg-info").mkdir(parents=True)
    (tmp_path / "src" / "my_tool.egg-info" / "PKG-INFO").write_text("Name: my-tool\nVersion: 3\n")
    (site / "my-tool.egg-link").write_text(f"{tmp_path / 'src'}\n.")
    (site / "gone.egg-link").write_text("/no/such/folder\n.")
    (site / "empty.egg-link").write_text("")
    (site / "~flask-1.0.dist-info").mkdir()
    (site / "~flask-1.0.dist-info" / "METADATA").write_text("Name: flask\nVersion: 1.0\n")
    [target] = read_target(str(tmp_path / "work"))
    [snapshot] = target.snapshots
    assert [(c.name, c.version) for c in snapshot.components] == [
        ("requests", "2.25.0"), ("Django", "2.1"), ("flask", "2.0"), ("my-tool", "3"), ("urllib3", "1.23"),
    ]  # fmt: skip
    assert snapshot.components[3].url == (tmp_path / "src").as_uri()
    unread = ["bare-1.0-py3.7.egg", "empty.egg-link", "gone.egg-link", "torn-1.0-py3.7.egg"]
    assert [what for what, _ in snapshot.skipped] == unread


def test_an_environment_is_found_by_its_name_where_conda_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prefix(tmp_path / "root" / "envs" / "work")
    monkeypatch.setenv("CONDA_EXE", str(tmp_path / "root" / "bin" / "conda"))
    assert find_environment("work") == tmp_path / "root" / "envs" / "work"
    write_prefix(tmp_path / "root" / "envs" / "base")  # a folder of that name is not what conda calls base
    (tmp_path / "root" / "conda-meta").mkdir()
    assert find_environment("base") == tmp_path / "root"
    with pytest.raises(InvalidInputError, match="looked in"):
        find_environment("other")


def test_base_is_not_found_where_there_is_no_conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONDA_ROOT", "CONDA_EXE", "CONDA_PREFIX", "MAMBA_ROOT_PREFIX", "MAMBA_EXE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InvalidInputError) as refused:
        find_environment("base")
    assert refused.value.message == "no environment is named 'base'; no conda or mamba is found here"


def test_pipes_and_closed_folders_among_many_files_do_not_hold_up_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uv.lock").write_text(samples.UV)
    for name in ("pipe", "shut", "sick/conda-meta"):
        (tmp_path / name).mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe" / "uv.lock")
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:  # tests may run as root, to whom nothing is shut
        if str(path).endswith(("shut", "conda-meta")):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = {os.path.relpath(t.path, tmp_path): t.error for t in read_target(str(tmp_path))}
    assert sorted(found) == ["shut", "sick", "uv.lock"]
    assert found["uv.lock"] == ""
    assert "shut cannot be read: Permission denied" in found["shut"]
    assert "conda-meta cannot be read: Permission denied" in found["sick"]
    with pytest.raises(InvalidInputError, match="cannot be read"):
        list(read_target(str(tmp_path / ("x" * 300))))


def test_a_file_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antivenom.cli.scan_targets.FILE_MAX_BYTES", 1000)
    monkeypatch.setattr("antivenom.core.readers.parsing.FILE_MAX_BYTES", 1000)
    (tmp_path / "uv.lock").symlink_to("/dev/zero")
    with pytest.raises(InvalidInputError, match="files of up to 1,000 are read"):
        list(read_target(str(tmp_path / "uv.lock")))


def test_a_folder_without_anything_to_scan_says_so(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("")
    [target] = read_target(str(tmp_path))
    assert (target.snapshots, target.error) == ([], f"{tmp_path} has nothing that can be scanned")
    (tmp_path / "src" / "dev-requirements.txt").write_text("requests==2.25.0\n")
    [target] = read_target(str(tmp_path))
    assert target.kind == "requirements"


def test_an_empty_target_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="a target is empty"):
        list(read_target(""))
