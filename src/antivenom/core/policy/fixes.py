"""Cooldowns that do not hold back the fix: which young records of a name are let through, and why.

A young record is never released for what an advisory says of it: anybody can have one written. It is released because
nothing else is left: all older records that a client of its platform and Python could get otherwise are stopped by a
known vulnerability, or as malware. Of the young ones it is the oldest that nothing but the cooldown stops: the one that
others have looked at for the longest.

Source: docs/reference/policy.md, "metadata · age".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from antivenom.core.conda.records import RecordFacts
from antivenom.core.conda.specs import version_order
from antivenom.core.policy.compile import Action, Reason, Verdict
from antivenom.core.policy.rules.metadata import day, first_listed_ms
from antivenom.core.policy.rules.vulnerabilities import GATE as VULNERABILITIES
from antivenom.core.policy.rules.vulnerabilities import OF_VULNERABILITIES

# "py311" of a build string; "" is any Python, or none.
_PYTHON = re.compile(r"(?:pypy|py)[0-9]+")

Judged = tuple[RecordFacts, Verdict]


class _Pool(NamedTuple):
    """The records that one variant's clients choose from, but for those that are stopped for other reasons."""

    waiting: list[Judged]  # nothing but a cooldown that lets fixes through stops them
    vulnerable: list[Judged]  # nothing but known vulnerabilities stops them


def python_of(build: str) -> str:
    """The Python that a build string says it is for, such as "py311"; "" for any, or none."""
    found = _PYTHON.search(build)
    return found.group() if found else ""


def release_fixes(
    cooldowns: Mapping[str, int], judged: list[Judged], fns: Sequence[str], builds: Sequence[str], now_ms: int
) -> list[Judged]:
    """The verdicts on a name's records in one subdir, those of the fixes that a cooldown must not hold back replaced.

    A released record has no stop any more; the reason of the cooldown stays, as a note that says why.

    Args:
        cooldowns: Rules that let fixes through, by id, with the length of their cooldown in ms.
        judged: The records on which the policy decides anything; on all others it decides nothing, so they are served.
        fns: The file names of all records of the name.
        builds: Their build strings, in the same order.
    """
    if not any(_is_waiting(record, verdict, cooldowns, now_ms) for record, verdict in judged):
        return judged
    released: dict[str, Verdict] = {}
    stopped = {record.fn for record, verdict in judged if verdict.action is Action.stop}
    served = {python_of(build) for fn, build in zip(fns, builds, strict=True) if fn not in stopped}
    variants = {python_of(build) for build in builds}
    for variant in variants - {""} or {""}:
        if not served.isdisjoint((variant, "")):
            continue
        pool = _pool_of(variant, judged, cooldowns, now_ms)
        if pool.waiting and pool.vulnerable:
            record, verdict = min(pool.waiting, key=_by_age)
            released[record.fn] = _release(record, verdict, pool.vulnerable, cooldowns, variant)
    return [(record, released.get(record.fn, verdict)) for record, verdict in judged]


def _pool_of(variant: str, judged: Iterable[Judged], cooldowns: Mapping[str, int], now_ms: int) -> _Pool:
    pool = _Pool([], [])
    for record, verdict in judged:
        if python_of(record.build) not in (variant, ""):
            continue
        if _is_waiting(record, verdict, cooldowns, now_ms):
            pool.waiting.append((record, verdict))
        elif verdict.action is Action.stop and all(_is_of_vulnerability(reason) for reason in _stops(verdict)):
            pool.vulnerable.append((record, verdict))
    return pool


def _stops(verdict: Verdict) -> Iterator[Reason]:
    return (reason for reason in verdict.reasons if reason.action is Action.stop)


def _is_waiting(record: RecordFacts, verdict: Verdict, cooldowns: Mapping[str, int], now_ms: int) -> bool:
    """Whether only cooldowns that let fixes through stop the record; one of unknown age has no place in their order."""
    since_ms = first_listed_ms(record)
    return (
        verdict.action is Action.stop
        and since_ms > 0
        and all(now_ms < since_ms + cooldowns.get(reason.rule_id, -since_ms) for reason in _stops(verdict))
    )


def _is_of_vulnerability(reason: Reason) -> bool:
    return reason.gate == VULNERABILITIES and reason.trigger in OF_VULNERABILITIES


def _by_age(judged: Judged) -> tuple[Any, ...]:
    """The oldest first; of those that came together the lowest version, since it changes least."""
    record = judged[0]
    order = version_order(record.version)
    return first_listed_ms(record), order is None, order, record.build_number, record.fn


def _release(
    record: RecordFacts, verdict: Verdict, vulnerable: Sequence[Judged], cooldowns: Mapping[str, int], variant: str
) -> Verdict:
    """The verdict without its stops: each becomes a note that says why the record is released."""
    newest, why = max(vulnerable, key=lambda judged: (first_listed_ms(judged[0]), judged[0].fn))
    cause = next(_stops(why)).trigger_id.partition("+")[0]
    older = f"the only older record{f' for {variant}' if variant else ''} is"
    if len(vulnerable) > 1:
        older = f"all {len(vulnerable)} older records{f' for {variant}' if variant else ''} are"
    reasons = []
    for reason in verdict.reasons:
        if reason.action is Action.stop:
            ends = day(first_listed_ms(record) + cooldowns[reason.rule_id])
            message = (
                f"{record.fn} is released before its cooldown ends {ends}: {older} stopped by known "
                f"vulnerabilities, such as {cause} in {newest.name} {newest.version}; this is the oldest that nothing "
                "else stops"
            )
            reason = msgspec.structs.replace(reason, action=Action.go, message=message)
        reasons.append(reason)
    reasons.sort(key=lambda reason: -reason.action)
    action = max((reason.action for reason in reasons), default=Action.go)
    return msgspec.structs.replace(verdict, action=action, reasons=tuple(reasons))


__all__ = ["python_of", "release_fixes"]
