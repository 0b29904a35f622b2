"""What a job tells of itself, and when a failed one is tried again."""

from __future__ import annotations

import errno

import pytest

from antivenom.core.errors import UpstreamError
from antivenom.server.events.progress import explain_failure, retry_after_s


def test_retries_come_later_and_later_up_to_six_hours() -> None:
    waits = [retry_after_s(n) for n in range(1, 40)]
    assert waits[:3] == [30, 60, 120]
    assert waits == sorted(waits)
    assert waits[-1] == 6 * 3600


def test_what_ended_a_job_is_told_in_words(caplog: pytest.LogCaptureFixture):
    expected = UpstreamError("the upstream is away")
    assert explain_failure(expected) is expected
    assert (
        explain_failure(ExceptionGroup("several", [ExceptionGroup("inner", [expected]), ValueError("second")]))
        is expected
    )
    assert "No space left" in explain_failure(OSError(errno.ENOSPC, "No space left on device")).message
    told = explain_failure(KeyError("hunter2"))
    assert "hunter2" not in f"{told.message} {told.hint}"
    assert told.data["reference"] in caplog.text
