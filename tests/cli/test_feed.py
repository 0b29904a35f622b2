"""`antivenom feed`: what is refused, and what it says then."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from antivenom.cli.arguments import parse_interval
from antivenom.core.errors import InvalidInputError
from tests.conftest import ANTIVENOM, RunningServer, _clean_environment


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30m", 1_800), (" 1H ", 3_600), ("1d", 86_400), ("2w", 1_209_600)]
)
def test_an_interval_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_interval(text) == seconds


@pytest.mark.parametrize("text", ["5x", "", "h", "-1h", "1.5h", "1h30m", "every day"])
def test_what_is_no_interval_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_interval(text)
    assert refused.value.message == f"{text!r} is not an interval"
    assert "30m, 12h, 1d" in refused.value.hint


def test_a_file_of_another_machine_is_refused_with_what_to_do_instead(up_server: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_text('{"id": "PYSEC-2026-1", "modified": "2026-01-01T00:00:00Z", "affected": []}\n')
    created = up_server.cli("token", "create", "--name", "far-away", "--role", "admin", "--output", "json")
    environment = _clean_environment() | {
        "ANTIVENOM_HOME": str(tmp_path),
        "ANTIVENOM_URL": up_server.url,
        "ANTIVENOM_TOKEN": json.loads(created.stdout)["token"],
    }
    done = subprocess.run(
        [*ANTIVENOM, "feed", "add", "osv", str(path)], env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "only the command line on the server's machine may name one" in done.stderr
    assert "hint: serve the file over http(s) and give its URL" in done.stderr
