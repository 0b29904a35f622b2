"""Policies: parse, explain, compile, judge. One format, one evaluation, many gates.

Types only so far; see docs/dev/contracts.md.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Action(IntEnum):
    """Worst wins."""

    go = 0
    warn = 1
    stop = 2


class Reason(msgspec.Struct, frozen=True):
    """Why a verdict is not a plain go. `trigger_id` is stable: allowlist items name it.

    trigger_id by gate: vulnerabilities "CVE-2024-0001+name" · licenses "GPL-3.0-only+name" · packages "spec+name"
    · metadata "age+fn", "size+fn", ... · expression "ruleid+fn" · closure "closure+fn".
    """

    rule_id: str
    gate: str
    trigger: str
    trigger_id: str
    action: Action
    message: str
    recommendation: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What the policy says of one record: the worst action, all its reasons (worst first), and until when it holds.

    `holds_until_ms`: the instant (ms since 1970 UTC) at which time alone may change it; 0 is never.
    `excepted`: reasons that an unexpired allowlist item put aside (kept, and shown with the item's id).
    """

    action: Action
    reasons: tuple[Reason, ...] = ()
    holds_until_ms: int = 0
    excepted: tuple[tuple[str, Reason], ...] = ()


GO = Verdict(Action.go)
