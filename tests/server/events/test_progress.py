"""Retries of failed jobs."""

from __future__ import annotations

from antivenom.server.events.progress import first_error, retry_after_s


def test_retries_come_later_and_later_up_to_six_hours() -> None:
    waits = [retry_after_s(n) for n in range(1, 40)]
    assert waits[:3] == [30, 60, 120]
    assert waits == sorted(waits)
    assert waits[-1] == 6 * 3600


def test_the_first_of_nested_failures_is_told():
    group = BaseExceptionGroup("several", [ExceptionGroup("inner", [OSError("first")]), ValueError("second")])
    assert str(first_error(group)) == "first"
    assert str(first_error(KeyError("alone"))) == "'alone'"
