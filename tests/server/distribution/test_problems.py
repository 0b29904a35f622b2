"""What clients are told of what goes wrong: a status that says whose fault it is, and nothing that is not theirs to know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antivenom.core.errors import (
    AntivenomError,
    BlockedByPolicyError,
    InvalidInputError,
    OutboundRefusedError,
    UnavailableError,
    UpstreamError,
)
from antivenom.server.distribution.channel_files import problem_answer

INSIDE = {"upstream": "https://token@inside/", "timed_out": False}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInputError("no", **INSIDE), 422, "invalid-input"),
        (UpstreamError("it answers 500", **INSIDE), 502, "upstream"),
        (UpstreamError("it is silent", timed_out=True), 504, "upstream"),
        (OutboundRefusedError("it points inside", **INSIDE), 502, "outbound-refused"),
        (UnavailableError("not now", hint="try again"), 503, "unavailable"),
        (BlockedByPolicyError("withheld", rule_id="banned", fn="a.conda"), 403, "blocked-by-policy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, AntivenomError) else "",
)
def test_an_error_is_told_by_its_message_and_what_it_knows_besides_stays_here(
    error: AntivenomError, status: int, code: str
) -> None:
    answer = problem_answer(error)
    told: dict[str, Any] = json.loads(answer.body)
    assert (answer.status, told["status"], told["code"]) == (status, status, code)
    assert told["detail"] == (f"{error.message} ({error.hint})" if error.hint else error.message)
    is_refusal = isinstance(error, BlockedByPolicyError)
    assert told["title"] == ("Withheld by policy" if is_refusal else code.replace("-", " ").capitalize())
    beyond = set(told) - {"type", "title", "status", "detail", "message", "reason", "code"}
    assert beyond == ({"rule_id", "fn"} if is_refusal else set())
    assert dict(answer.headers).get(b"retry-after") == (b"5" if status == 503 else None)
