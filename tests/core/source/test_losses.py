"""Which losses of records are suspicious."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.source.losses import LOSS_FLOOR_RECORDS, is_suspicious_loss

COUNT = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("before", "now", "suspicious"),
    [
        (20, 0, True), (10, 0, True), (9, 0, False), (3, 0, False), (19, 9, True), (18, 9, False), (40, 20, True), (40, 21, False), (1000, 501, False), (1000, 500, True),
        (0, 0, False), (10, 500, False),
    ],
)  # fmt: skip
def test_half_of_the_records_and_ten_or_more_are_suspicious(before: int, now: int, suspicious: bool) -> None:
    assert is_suspicious_loss(before, now, max_percent=50) is suspicious


@given(COUNT, COUNT, st.integers(1, 100))
def test_a_larger_loss_and_a_lower_limit_are_never_less_suspicious(before: int, now: int, percent: int) -> None:
    if is_suspicious_loss(before, now, max_percent=percent):
        assert before - now >= LOSS_FLOOR_RECORDS
        assert is_suspicious_loss(before, max(now - 1, 0), max_percent=percent)
        assert is_suspicious_loss(before, now, max_percent=max(percent - 1, 1))
    assert not is_suspicious_loss(before, now, max_percent=0)


def test_a_small_channel_that_empties_is_suspicious_and_one_that_is_built_anew_is_not() -> None:
    emptied = [is_suspicious_loss(n, 0, max_percent=50, is_emptied=True) for n in (1, 2, 3, 9)]
    assert emptied == [False, False, True, True]
    assert not is_suspicious_loss(9, 0, max_percent=50, is_emptied=False)
    assert not is_suspicious_loss(9, 0, max_percent=0, is_emptied=True)
