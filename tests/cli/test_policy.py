"""`antivenom policy` as people run it: its output, its exit codes, and what it says to a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RIGHT = """\
name: baseline
rules:
  - {id: exploited, gate: vulnerabilities, trigger: package, action: stop, params: {kev: true}}
"""
WRONG = RIGHT.replace("vulnerabilities", "vulnerabilites").replace("action: stop", "action: halt")


def run(tmp_path: Path, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command on a machine without any server."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ANTIVENOM_")}
    environment["ANTIVENOM_HOME"] = str(tmp_path / "no-home")
    command = [sys.executable, "-m", "antivenom", "policy", *arguments]
    return subprocess.run(command, env=environment, input=given, capture_output=True, text=True)


@pytest.fixture
def right(tmp_path: Path) -> str:
    path = tmp_path / "a policy.yaml"
    path.write_text(RIGHT)
    return str(path)


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    path = tmp_path / "wrong.yaml"
    path.write_text(WRONG)
    return str(path)


def test_check_says_that_a_policy_is_right_without_a_server(tmp_path: Path, right: str) -> None:
    done = run(tmp_path, "check", right)
    assert done.returncode == 0
    assert done.stdout == f"{right}: policy baseline is valid: 1 rule, 0 exceptions\n"
    as_json = run(tmp_path, "check", right, "--output", "json")
    assert json.loads(as_json.stdout) == {"valid": True, "name": "baseline", "rules": 1, "problems": []}
    assert as_json.stderr == ""


def test_check_names_file_line_and_column_of_every_problem(tmp_path: Path, wrong: str) -> None:
    done = run(tmp_path, "check", wrong)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{wrong}:3:27: unknown gate 'vulnerabilites' (rules[0].gate)",
        "  hint: did you mean 'vulnerabilities'?",
        f"{wrong}:3:69: unknown action 'halt' (rules[0].action)",
        "  hint: one of: go, stop, warn",
        "2 problems",
    ]


def test_check_prints_problems_as_json(tmp_path: Path, wrong: str) -> None:
    done = run(tmp_path, "check", wrong, "--output", "json")
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert answer["valid"] is False
    assert [(p["line"], p["column"], p["field"]) for p in answer["problems"]] == [
        (3, 27, "rules[0].gate"),
        (3, 69, "rules[0].action"),
    ]


def test_check_reads_standard_input(tmp_path: Path) -> None:
    assert run(tmp_path, "check", "-", given=RIGHT).returncode == 0
    assert run(tmp_path, "check", "-", given="name: x").returncode == 2


@pytest.mark.parametrize("data", [b"name: \xff\xfe", b"", b"\x00", b"[" * 10_000, b"x" * (5 << 20)])
def test_check_refuses_what_is_no_policy_without_a_trace(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "odd"
    path.write_bytes(data)
    done = run(tmp_path, "check", str(path))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


@pytest.mark.parametrize("path", ["missing.yaml", "."])
def test_check_refuses_what_cannot_be_read(tmp_path: Path, path: str) -> None:
    done = run(tmp_path, "check", str(tmp_path / path))
    assert done.returncode == 2
    assert "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["plan", "set"])
def test_a_wrong_policy_is_reported_before_any_server_is_asked(tmp_path: Path, wrong: str, command: str) -> None:
    done = run(tmp_path, command, wrong, "--channel", "main")
    assert done.returncode == 2
    assert "did you mean 'vulnerabilities'?" in done.stderr


@pytest.mark.parametrize("arguments", [["list"], ["history"], ["show", "x"]])
def test_without_a_server_the_others_say_how_to_start_one(tmp_path: Path, arguments: list[str]) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 3
    assert "antivenom up" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_policy_is_set_on_a_channel_shown_and_looked_back_on(up_server: Any, tmp_path: Path) -> None:
    path, name = tmp_path / "p.yaml", "policy-cli"
    up_server.cli("channel", "create", name)
    for text in (RIGHT, RIGHT + "# again\n"):
        path.write_text(text.replace("baseline", "of-the-cli"))
        up_server.cli("policy", "set", path, "--channel", name)
    rows = json.loads(up_server.cli("policy", "history", "--channel", name, "--output", "json").stdout)
    assert [(row["policy"], row["number"]) for row in rows] == [("of-the-cli", 2), ("of-the-cli", 1)]
    assert up_server.cli("policy", "show", "--channel", name).stdout == path.read_text()
    assert "# again" not in up_server.cli("policy", "show", "of-the-cli", "--revision", "1").stdout
    listed = json.loads(up_server.cli("policy", "list", "--output", "json").stdout)
    assert "of-the-cli" in [row["name"] for row in listed]
    refused = up_server.cli("policy", "show", "nobody", check=False)
    assert refused.returncode == 2
    assert "antivenom policy list" in refused.stderr
