"""`antivenom feed`: what is refused before a server is asked."""

from __future__ import annotations

import pytest

from antivenom.cli.mirror import parse_interval
from antivenom.core.errors import InvalidInputError


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
