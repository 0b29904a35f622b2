"""The templates for CI systems: their very steps are run, in a repository, with what the system would set."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from antivenom.core.readers.registry import KINDS
from tests.cli.test_scan import knowing
from tests.cli.test_scan_changes import commit, git

__all__ = ["knowing"]
REPO = Path(__file__).parents[2]
ACTION = yaml.safe_load((REPO / "packaging/ci/github-action/action.yml").read_text())
GITLAB_SPEC, GITLAB_JOBS = yaml.safe_load_all((REPO / "packaging/ci/gitlab.yml").read_text())
HOOKS = yaml.safe_load((REPO / ".pre-commit-hooks.yaml").read_text())
VULNERABLE = "requests==2.25.0\n"
HOSTILE = "$(touch pwned)'; touch pwned; '\"; touch pwned; \"`touch pwned`\ntouch pwned"


class Runner:
    """A repository, and what a CI system runs in it."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.server, self.temp = server, folder / "temp"
        self.repo = folder / "repo"
        for made in (self.repo, self.temp, folder / "bin"):
            made.mkdir()
        program = folder / "bin" / "antivenom"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m antivenom "$@"\n')
        program.chmod(0o755)
        self.base_env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANTIVENOM_")},
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary"),
            "GITHUB_OUTPUT": str(self.temp / "output"),
        }
        git(self.repo, "init", "-q", "-b", "main")
        self.before = commit(self.repo, {"requirements.txt": VULNERABLE, "README": "x"})

    def run(self, shell: list[str], script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*shell, script], env={**self.base_env, **env}, cwd=self.repo, capture_output=True, text=True
        )

    @property
    def outputs(self) -> dict[str, str]:
        text = Path(self.base_env["GITHUB_OUTPUT"])
        return dict(line.partition("=")[::2] for line in text.read_text().splitlines()) if text.exists() else {}

    def action(self, **given: str) -> subprocess.CompletedProcess[str]:
        """Run the steps of the action until one fails."""
        inputs = {name: str(spec["default"]) for name, spec in ACTION["inputs"].items()}
        inputs |= {"install": "", "since": self.before, "server": self.server.url, "token": self.server.token}
        inputs |= {name.replace("_", "-"): value for name, value in given.items()}
        done = None
        for step in ACTION["runs"]["steps"]:
            if "run" not in step:
                continue
            env = {name: self._evaluate(value, inputs) for name, value in step.get("env", {}).items()}
            done = self.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"], step["run"], env)
            if done.returncode:
                break
        assert done is not None
        return done

    def _evaluate(self, expression: str, inputs: dict[str, str]) -> str:
        found = re.fullmatch(r"\$\{\{ (inputs\.([a-z-]+)|steps\.scan\.outputs\.([a-z-]+)) \}\}", expression)
        assert found is not None, expression
        return inputs[found[2]] if found[2] else self.outputs[found[3]]

    def gitlab(self, **given: str) -> subprocess.CompletedProcess[str]:
        """Run the script of the GitLab job."""
        inputs = {name: spec["default"] for name, spec in GITLAB_SPEC["spec"]["inputs"].items()}
        inputs |= {"install": "", "server": self.server.url} | {n.replace("_", "-"): v for n, v in given.items()}
        job = GITLAB_JOBS["antivenom"]
        env = {
            name: re.sub(r"\$\[\[ inputs\.([a-z-]+) \]\]", lambda match: inputs[match[1]], value)
            for name, value in job["variables"].items()
        }
        env |= {"CI_MERGE_REQUEST_DIFF_BASE_SHA": self.before, "ANTIVENOM_TOKEN": self.server.token}
        [script] = job["script"]
        return self.run(["sh", "-c"], script, env)


@pytest.fixture
def runner(knowing: Any, tmp_path: Path) -> Runner:
    return Runner(knowing, tmp_path)


def test_the_action_fails_for_what_a_change_brings_in(runner: Runner) -> None:
    commit(runner.repo, {"app/requirements.txt": "requests==2.25.0\n", "b/requirements.txt": "flask==2.0\n"})
    runner.before = "0" * 40
    done = runner.action(fail_on="medium kev")
    assert (done.returncode, runner.outputs["exit-code"]) == (1, "1")
    assert len(json.loads(Path(runner.outputs["sarif"]).read_text())["runs"][0]["results"]) == 2
    summary = Path(runner.base_env["GITHUB_STEP_SUMMARY"]).read_text()
    assert "CVE-2023-32681" in summary
    assert "| flask | – | 2.0 |" in summary


def test_the_action_is_fine_with_what_was_there_before(runner: Runner) -> None:
    commit(runner.repo, {"requirements.txt": "requests==2.26.0\n"})
    done = runner.action(fail_on="any")
    assert (done.returncode, runner.outputs["exit-code"]) == (0, "0"), done.stderr
    assert "| requests | 2.25.0 | 2.26.0 |" in Path(runner.base_env["GITHUB_STEP_SUMMARY"]).read_text()
    assert json.loads(Path(runner.outputs["sarif"]).read_text())["runs"][0]["results"] == []


POLICY = """
name: ci
rules:
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: [flask]}, recommendation: "Not ours."}
"""


def test_the_action_judges_by_a_policy_of_the_repository(runner: Runner) -> None:
    runner.before = commit(runner.repo, {"policy.yml": POLICY, "environment.yml": "dependencies: [python]\n"})
    commit(
        runner.repo, {"conda-linux-64.lock": "@EXPLICIT\nhttps://c.example/conda-forge/noarch/flask-2.0-py_0.conda\n"}
    )
    done = runner.action(policy="policy.yml", fail_on="stop")
    assert (done.returncode, runner.outputs["exit-code"]) == (1, "1"), done.stderr
    assert "banned" in Path(runner.base_env["GITHUB_STEP_SUMMARY"]).read_text()


@pytest.mark.parametrize("field", ["paths", "since", "fail_on", "policy", "vex", "key"])
def test_no_input_of_the_action_is_part_of_a_script(runner: Runner, field: str) -> None:
    done = runner.action(**{field: HOSTILE})
    assert not list(runner.repo.rglob("pwned"))
    assert field == "key" or done.returncode != 0


def test_no_name_of_a_file_is_part_of_a_script(runner: Runner) -> None:
    commit(runner.repo, {f"requirements{HOSTILE}.txt": VULNERABLE})
    assert runner.action(fail_on="any").returncode == 1
    assert runner.gitlab(fail_on="any").returncode == 1
    assert not list(runner.repo.rglob("pwned"))


def test_expressions_stand_in_no_script() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
    assert "$[[" not in "".join(GITLAB_JOBS["antivenom"]["script"])


@pytest.mark.parametrize(("limit", "code"), [("any", 1), ("critical malware", 0)])
def test_the_gitlab_job_writes_its_reports_whatever_comes_of_it(runner: Runner, limit: str, code: int) -> None:
    commit(runner.repo, {"app/requirements.txt": "requests==2.25.0\n"})
    runner.before = "0" * 40
    done = runner.gitlab(fail_on=limit, paths="app\nrequirements.txt")
    assert done.returncode == code, done.stderr
    assert ElementTree.parse(runner.repo / "antivenom-junit.xml").getroot().tag == "testsuites"
    assert json.loads((runner.repo / "antivenom-cyclonedx.json").read_text())["bomFormat"] == "CycloneDX"


@pytest.mark.parametrize("field", ["paths", "fail_on", "policy"])
def test_no_input_of_the_gitlab_job_is_part_of_its_script(runner: Runner, field: str) -> None:
    assert runner.gitlab(**{field: HOSTILE}).returncode != 0
    assert not list(runner.repo.rglob("pwned"))


def test_the_hook_judges_what_is_about_to_be_committed(runner: Runner) -> None:
    [hook] = HOOKS
    (runner.repo / "requirements.txt").write_text(VULNERABLE + "flask==2.0\n")
    git(runner.repo, "add", "-A")
    env = {"ANTIVENOM_URL": runner.server.url, "ANTIVENOM_TOKEN": runner.server.token}
    command = f"{hook['entry']} --fail-on any requirements.txt"
    assert runner.run(["sh", "-c"], command, env).returncode == 0
    (runner.repo / "pylock.toml").write_text(
        'lock-version = "1.0"\n[[packages]]\nname = "requests"\nversion = "2.25.0"\n'
    )
    git(runner.repo, "add", "-A")
    git(runner.repo, "rm", "-q", "-f", "requirements.txt")
    git(runner.repo, "commit", "-q", "-m", "x", "--allow-empty", "--", "requirements.txt")
    done = runner.run(["sh", "-c"], f"{hook['entry']} --fail-on any pylock.toml", env)
    assert done.returncode == 1, done.stderr


@pytest.mark.parametrize(
    "pattern", [pattern for kind, (_, _, files) in KINDS.items() if kind != "pixi-manifest" for pattern in files]
)
def test_the_hook_looks_at_every_file_that_a_scan_of_a_folder_would(pattern: str) -> None:
    for name in (pattern.replace("*", "-linux"), f"sub/{pattern.replace('*', 'x')}"):
        assert re.search(HOOKS[0]["files"], name), name
    assert not re.search(HOOKS[0]["files"], "src/main.py")
