"""What commands print: a table for people, JSON alone for scripts, nothing that steers the terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.cli.arguments import parse_expiry, parse_name
from antivenom.cli.output import Output, count_of, emit, note, progress
from antivenom.core.errors import InvalidInputError

ROWS = [
    {"name": "zlib", "kev": True, "risk": 7.5, "ids": ["CVE-1", "GHSA-2"], "note": None},
    {"name": "x", "kev": False},
]


def test_listing_is_one_json_array_on_stdout_alone(capsys: pytest.CaptureFixture[str]):
    emit(iter(ROWS), ("name",), Output.json)
    note("a word for people")
    out, err = capsys.readouterr()
    assert json.loads(out) == ROWS
    assert err == "a word for people\n"


def test_empty_listing_is_an_empty_array_and_a_note(capsys: pytest.CaptureFixture[str]):
    emit([], ("name",), Output.json)
    assert json.loads(capsys.readouterr().out) == []
    emit([], ("name",), Output.table)
    assert capsys.readouterr() == ("", "nothing to list\n")


def test_table_has_the_asked_columns_in_line(capsys: pytest.CaptureFixture[str]):
    emit(ROWS, ("name", "kev", "risk", "ids"), Output.table)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "kev", "risk", "ids"],
        ["zlib", "yes", "7.5", "CVE-1,", "GHSA-2"],
        ["x", "no", "-", "-"],
    ]


def test_what_a_fact_is_made_of_gets_lines_of_its_own_once(capsys: pytest.CaptureFixture[str]):
    emit({"name": "main", "kept": 3, "counts": {"kept": 3, "by_rule": {"banned": 1, "old": 2}}}, None, Output.table)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "main"],
        ["kept", "3"],
        ["by", "rule", "banned", "1,", "old", "2"],
    ]


def test_control_characters_of_strangers_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]):
    emit([{"name": "evil\x1b[2J\x07name\r"}], None, Output.table)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\r" not in out


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b"]),
            st.none() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
            max_size=2,
        )
    )
)
def test_any_rows_make_json_that_reads_back(rows):
    import contextlib
    import io

    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer):
        emit(rows, None, Output.json)
    assert len(json.loads(buffer.getvalue())) == len(rows)


def test_progress_without_a_terminal_says_each_phase_once(capsys: pytest.CaptureFixture[str]):
    with progress("sync") as show:
        for done in range(5):
            show({"phase": "download", "done": done, "total": 5})
        show({"phase": "match", "done": 0, "total": 0})
    assert capsys.readouterr() == ("", "sync: download\nsync: match\n")


@pytest.mark.parametrize(
    ("text", "expiry"),
    [
        ("", None),
        ("12h", "2026-01-01T12:00:00+00:00"),
        ("30d", "2026-01-31T00:00:00+00:00"),
        ("2027-01-31", "2027-01-31T00:00:00+00:00"),
    ],
)
def test_expiry_is_a_length_of_time_or_a_date(text: str, expiry: str | None):
    from datetime import UTC, datetime

    assert parse_expiry(text, datetime(2026, 1, 1, tzinfo=UTC)) == expiry


@pytest.mark.parametrize("text", ["soon", "-1d", "5", "99999999y", "2027-13-01"])
def test_expiry_that_is_neither_is_refused(text: str):
    from datetime import UTC, datetime

    with pytest.raises(InvalidInputError):
        parse_expiry(text, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_count_agrees_with_its_noun() -> None:
    assert [count_of(n, "records") for n in (0, 1, 2000)] == ["0 records", "1 record", "2,000 records"]
    assert [count_of(n, "policies") for n in (1, 2)] == ["1 policy", "2 policies"]
    assert count_of(1, "entries") == "1 entry"


@pytest.mark.parametrize("name", ["../feeds/1", "..", ".", "", "main?x=1", "main#x", "a/b", "a%2Fb", "a b", "\u00fc"])
def test_what_is_no_name_never_becomes_another_address(name: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_name(name)
    assert parse_name("main-2.x") == "main-2.x"


def test_seconds_and_bytes_are_printed_with_their_units(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"every_s": 5400, "retry_s": 0.5, "size_bytes": 1_500_000, "stored_bytes": None}, None, Output.table)
    told = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert told == [["every", "90m"], ["retry", "0.5s"], ["size", "1.5 MB"], ["stored", "-"]]
    emit([{"name": "a", "every_s": 86_400}, {"name": "b", "every_s": 0}], ("name", "every_s"), Output.table)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["name", "every"], ["a", "1d"], ["b", "0s"],
    ]  # fmt: skip


def test_counts_by_severity_are_listed_the_worst_first(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"counts": {"by_severity": {"low": 1, "critical": 2, "unknown": 3, "malware": 4}}}, None, Output.table)
    assert "malware 4, critical 2, low 1, unknown 3" in capsys.readouterr().out
