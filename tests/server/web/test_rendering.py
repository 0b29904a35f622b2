"""Lists' addresses, words for numbers, safe targets, and what forms must prove."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.policy.compile import Action, Rule
from antivenom.core.policy.rules import TRIGGERS
from antivenom.server.policies.wording import SUBJECTS, colour_line, describe_rule
from antivenom.server.web.rendering import ListState, ago, duration, parse_time, safe_next, size

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def make_state(**changes: Any) -> ListState:
    values: dict[str, Any] = {
        "path": "/channels",
        "q": "",
        "sort": "name",
        "page": 1,
        "page_size": 50,
        "filters": (),
        "default_sort": "name",
    }
    return ListState(**{**values, **changes})


def test_a_plain_list_has_a_plain_address() -> None:
    assert make_state().url() == "/channels"


def test_a_change_goes_back_to_the_first_page_and_a_page_does_not() -> None:
    state = make_state(page=3, q="open")
    assert state.url(severity="high") == "/channels?q=open&severity=high"
    assert state.url(page=4) == "/channels?q=open&page=4"


def test_sorting_twice_turns_the_order() -> None:
    assert make_state().sort_url("name") == "/channels?sort=-name"
    assert make_state(sort="-name").sort_url("name") == "/channels"
    assert make_state().sort_url("risk", "-") == "/channels?sort=-risk"
    assert make_state(sort="-risk").sort_url("risk", "-") == "/channels?sort=risk"


@given(
    q=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    value=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
)
def test_an_address_says_exactly_what_the_state_holds(q: str, value: str) -> None:
    url = make_state(q=q, filters=(("rule", value),), page=2).url()
    said = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    assert said == {k: v for k, v in {"q": q, "rule": value, "page": "2"}.items() if v}


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "/a\nb",
        "evil",
        "\\\\evil",
    ],
)
def test_a_target_outside_this_server_is_not_followed(target: str) -> None:
    assert safe_next(target) == "/"


@pytest.mark.parametrize("target", ["/", "/channels/demo?q=a&sort=-b", "/advisories/CVE-2024-1"])
def test_a_target_inside_is_followed(target: str) -> None:
    assert safe_next(target) == target


def test_numbers_and_times_are_said_in_words() -> None:
    assert [size(n) for n in (0, 999, 1000, 3_400_000, 250_000_000)] == ["0 B", "999 B", "1.0 kB", "3.4 MB", "250 MB"]
    assert [duration(s) for s in (None, 90, 3600, 5400, 172800)] == ["never", "90 s", "1 h", "90 min", "2 d"]
    assert ago(None, NOW) == "never"
    assert ago(NOW, NOW) == "just now"
    assert ago(NOW - timedelta(minutes=5), NOW) == "5 min ago"
    assert ago(NOW + timedelta(hours=2, seconds=1), NOW) == "in 2 h"
    assert ago(NOW - timedelta(days=400), NOW) == "2025-10-17"


@given(st.one_of(st.none(), st.text(max_size=40), st.integers(), st.floats()))
def test_a_time_that_is_none_is_none_and_never_an_error(value: Any) -> None:
    assert parse_time(value) is None or parse_time(value).tzinfo is not None  # type: ignore[union-attr]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=120))
def test_colouring_a_line_loses_nothing(line: str) -> None:
    assert "".join(text for _, text in colour_line(line)) == line


@pytest.mark.parametrize(
    "line",
    [
        "a" * 1_000_000,
        '"' + '\\"' * 500_000,
        '"' + '\\"' * 500_000 + "\\",
        " '" + "a'b" * 300_000,
        "stop " * 200_000,
        "stop" + " " * 1_000_000 + "x",
        "a" + " " * 1_000_000 + "x",
    ],
    ids=["word", "quotes", "backslash", "apostrophes", "actions", "spaces", "key"],
)
def test_a_line_of_any_length_is_coloured_at_once(line: str) -> None:
    assert "".join(text for _, text in colour_line(line)) == line


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("action: stop # why", [("tok-key", "action"), ("", ": stop "), ("tok-comment", "# why")]),
        ("{reason: don't, action: warn}", [("", "{"), ("tok-key", "reason"), ("", ": don't, "), ("tok-key", "action")]),
        ("expr: \"a.b == 'c'\"", [("tok-key", "expr"), ("", ": "), ("tok-string", "\"a.b == 'c'\"")]),
        ("note: 'it''s'", [("tok-key", "note"), ("", ": "), ("tok-string", "'it''s'")]),
        ("note: 'it goes on", [("tok-key", "note"), ("", ": "), ("", "'it goes on")]),
    ],
)
def test_the_parts_of_a_line_are_told_apart(line: str, parts: list[tuple[str, str]]) -> None:
    assert list(colour_line(line))[: len(parts)] == parts


def test_every_trigger_has_its_words() -> None:
    assert set(SUBJECTS) == set(TRIGGERS)


def test_a_rule_on_replaced_files_says_when_they_were_replaced() -> None:
    for params, words in (({}, ""), ({"less_than_days": 14}, " less than 14 days ago")):
        said = describe_rule(Rule("x", "metadata", "replaced", Action.warn, params))
        assert [said.subject, *said.conditions] == ["the file", f"was replaced under its name{words}"]


def test_a_rule_is_said_as_a_sentence() -> None:
    rule = Rule("x", "vulnerabilities", "package", Action.stop, {"kev": True, "severity": ">= high"})
    words = describe_rule(rule)
    assert words.subject == "a known vulnerability"
    assert words.conditions == ["is known to be exploited", "has severity >= high"]
