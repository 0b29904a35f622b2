"""What answers a scan: an advisory file or a server, which of them, and how old the file is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from antivenom.cli import scan_knowledge
from antivenom.cli.match_explained import explanation_lines
from antivenom.cli.scan_knowledge import ask_file, choose_explainer, choose_knowledge
from antivenom.core import advisory_file
from antivenom.core.errors import InvalidInputError, UnavailableError
from antivenom.core.readers.snapshot import Component
from antivenom_client.age import seconds_of, tell_age
from antivenom_client.places import default_advisories
from tests.cli.test_scan import write_prefix
from tests.core.test_advisory_file import ADVISORIES, compile_

PILLOW = Component("conda", "pillow", "9.5", channel="conda-forge")


def write_file(path: Path, made_at: str = "2026-11-28T16:00:00Z") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    advisory_file.write(compile_(*ADVISORIES), path, about=advisory_file.About(made_at, "0.1.0"))
    return path


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a server and without a file."""
    for name in ("ANTIVENOM_URL", "ANTIVENOM_TOKEN", "ANTIVENOM_ADVISORIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("ANTIVENOM_HOME", str(tmp_path / "home"))
    return tmp_path


def test_a_named_file_answers(nothing_here: Path) -> None:
    [answer] = choose_knowledge(advisories=str(write_file(nothing_here / "some.db")))([PILLOW])
    assert [finding.ids[0] for finding in answer.findings] == ["CVE-2026-1"]


def test_the_pulled_file_answers_where_no_server_is_named(nothing_here: Path) -> None:
    write_file(Path(default_advisories()))
    assert choose_knowledge()([PILLOW])[0].findings


def test_the_pulled_file_may_lie_elsewhere(nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIVENOM_ADVISORIES", str(write_file(nothing_here / "elsewhere" / "a.db")))
    assert choose_knowledge()([PILLOW])[0].findings


@pytest.mark.parametrize("is_in_environment", [True, False])
def test_a_named_server_is_asked_though_there_is_a_file(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch, is_in_environment: bool
) -> None:
    write_file(Path(default_advisories()))
    asked: list[tuple[str, str]] = []

    class Server:
        def __init__(self, url: str, token: str) -> None:
            asked.append((url, token))

        def post(self, path: str, *, json: Any) -> Any:
            return [{"assessed": True, "reason": "it says so", "findings": []} for _ in json["components"]]

    monkeypatch.setattr(scan_knowledge, "Client", Server)
    if is_in_environment:
        monkeypatch.setenv("ANTIVENOM_URL", "http://there:1")
    ask = choose_knowledge() if is_in_environment else choose_knowledge(server="http://there:1")
    assert ask([PILLOW])[0].reason == "it says so"
    assert ask([PILLOW])
    assert asked == [("http://there:1", "")]


def test_without_a_file_and_a_server_both_ways_are_named(nothing_here: Path) -> None:
    with pytest.raises(UnavailableError) as refused:
        choose_knowledge()([PILLOW])
    assert "antivenom up" in refused.value.hint
    assert "antivenom feed pull" in refused.value.hint


def test_a_file_that_cannot_be_read_is_an_error_and_no_server_is_asked(nothing_here: Path) -> None:
    Path(default_advisories()).parent.mkdir(parents=True)
    Path(default_advisories()).write_text("no database")
    with pytest.raises(InvalidInputError, match=r"advisories\.db is no advisory file"):
        choose_knowledge()


def test_a_file_answers_as_the_server_does(up_server: Any, tmp_path: Path) -> None:
    prefix = write_prefix(tmp_path / "work", name="pillow", version="9.5")
    file = write_file(tmp_path / "some.db")
    done = up_server.cli("scan", prefix, "--advisories", file, "--output", "json")
    found = json.loads(done.stdout)
    assert found["snapshots"][0]["components"][0]["findings"][0]["ids"] == ["CVE-2026-1", "GHSA-aaaa"]
    assert "advisories of 2026-11-28 16:00 UTC" in done.stderr
    refused = up_server.cli("scan", prefix, "--advisories", tmp_path / "none.db", check=False)
    assert refused.returncode == 2
    assert "none.db cannot be read: No such file" in refused.stderr
    assert "hint: get it again: antivenom feed pull" in refused.stderr


# -- the age -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", [1970, 1999, 2000, 2024, 2026, 2100, 2101])
def test_times_are_read_as_datetime_reads_them(year: int) -> None:
    for day in range(366):
        at = datetime(year, 1, 1, 23, 59, 58, tzinfo=UTC) + timedelta(days=day)
        assert seconds_of(at.strftime("%Y-%m-%dT%H:%M:%SZ")) == at.timestamp()


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01T00:00:00Z", "2026-00-10T00:00:00Z", "0000-01-01T00:00:00Z"]
)
def test_what_is_no_time_is_told(text: str) -> None:
    assert tell_age("a.db", text, 0) == ["warning: a.db does not say when it was made"]


@pytest.mark.parametrize(
    ("made_at", "told"),
    [
        ("2026-11-28T15:59:30Z", "advisories of 2026-11-28 15:59 UTC (less than a minute old)"),
        ("2026-11-28T15:00:00Z", "advisories of 2026-11-28 15:00 UTC (1 hour old)"),
        ("2026-11-21T16:00:01Z", "advisories of 2026-11-21 16:00 UTC (6 days old)"),
        ("2026-11-21T15:59:59Z", "warning: advisories of 2026-11-21 15:59 UTC (7 days old): newer vulnerabilities are"),
        ("2026-11-28T16:00:30Z", "advisories of 2026-11-28 16:00 UTC (less than a minute old)"),
        ("2026-11-30T16:00:00Z", "warning: a.db was made 2 days after now: its date or this machine's clock is wrong"),
    ],
)
def test_the_age_is_told_and_an_odd_one_warns(made_at: str, told: str) -> None:
    now = datetime(2026, 11, 28, 16, tzinfo=UTC).timestamp()
    assert tell_age("a.db", made_at, now)[0].startswith(told)


def test_the_age_of_a_file_is_told_on_stderr(nothing_here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask_file(str(write_file(nothing_here / "old.db", "2020-01-01T00:00:00Z")))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("warning: advisories of 2020-01-01")


def test_a_file_explains_a_finding_without_a_server(nothing_here: Path) -> None:
    explain = choose_explainer(advisories=str(write_file(nothing_here / "some.db")))
    found = explain(PILLOW, "cve-2026-1")
    assert [item["ids"][0] for item in found["considered"]] == ["CVE-2026-1"]
    assert any("CVE-2026-1" in line for line in explanation_lines("pillow=9.5", found))
