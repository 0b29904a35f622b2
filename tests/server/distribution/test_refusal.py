"""What a client prints about a withheld file: why, what the rule recommends, what to do instead."""

from __future__ import annotations

import msgspec

from antivenom.core.policy.compile import Action
from antivenom.core.policy.rules.base import Reason
from antivenom.core.publication.publication_map import Decision
from antivenom.server.distribution.refusal import explain_refusal


def refuse(recommendation: str, install: str) -> str:
    reason = Reason(
        "banned", "packages", "match_spec", "xz 5.6.*+xz", Action.stop, "xz 5.6.0 is denied", recommendation
    )
    decision = Decision("xz-5.6.0-0.conda", "xz", "5.6.0", "0", 1, Action.stop, (reason,))
    return explain_refusal(decision, channel="main", policy="baseline", install=install)[0]


def test_a_refusal_says_why_what_is_recommended_and_what_to_install_instead() -> None:
    assert refuse("Backdoored: check where it was installed.", "xz=5.4.6") == (
        "xz-5.6.0-0.conda is withheld by policy 'baseline', rule banned: xz 5.6.0 is denied. "
        "Backdoored: check where it was installed. "
        "Install \"xz=5.4.6\" instead, or ask the administrators of this channel for an exception to rule 'banned'."
    )


def test_a_refusal_of_a_package_without_any_allowed_version_names_whom_to_ask() -> None:
    assert refuse("", "").endswith(
        "xz 5.6.0 is denied. Every xz of this channel is withheld: ask its administrators for an exception to rule 'banned'."
    )


def test_a_refusal_has_its_facts_for_programs() -> None:
    reason = Reason("banned", "packages", "match_spec", "xz 5.6.*+xz", Action.stop, "xz 5.6.0 is denied", "")
    decision = Decision("xz-5.6.0-0.conda", "xz", "5.6.0", "0", 1, Action.stop, (reason,))
    _, facts = explain_refusal(decision, channel="main", policy="baseline", install="xz=5.4.6")
    assert msgspec.to_builtins(facts) == {
        "channel": "main", "fn": "xz-5.6.0-0.conda", "policy": "baseline", "rule_id": "banned",
        "allowed_version": "xz=5.4.6",
        "reasons": [
            {
                "rule_id": "banned", "gate": "packages", "trigger": "match_spec", "trigger_id": "xz 5.6.*+xz",
                "action": "stop", "message": "xz 5.6.0 is denied", "recommendation": "",
            },
        ],
    }  # fmt: skip
