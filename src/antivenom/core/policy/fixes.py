"""Cooldowns that do not hold back the fix: which young records of a name are let through, and why.

A young record is never released for what an advisory says of it: anybody can have one written. It is released because
nothing else is left: all older records that a client of its platform and Python could get otherwise are stopped by a
known vulnerability, or as malware. Of the young ones it is the oldest that nothing but the cooldown stops: the one that
others have looked at for the longest.

What a client can get otherwise, and what else stops a young record, is also the closure's to say; it decides over a
whole channel, so publishing asks here again with what it learnt (core/publishing/fix_releases.py).

Source: docs/reference/policy.md, "metadata · age".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
Place = tuple[str, str]  # subdir and file name of a record


def python_of(build: str) -> str:
    """The Python that a build string says it is for, such as "py311"; "" for any, or none."""
    found = _PYTHON.search(build)
    return found.group() if found else ""


class NameRecords(NamedTuple):
    """The records of one name in one subdir, by what becomes of them.

    `fns`: all of them, in the order of the source. `waiting`: nothing but a cooldown that lets fixes through stops
    them. `vulnerable`: nothing but known vulnerabilities does. `served`: the file names that the policy serves, by
    Python.
    """

    subdir: str
    fns: Sequence[str]
    variants: frozenset[str]
    waiting: Sequence[Judged]
    vulnerable: Sequence[Judged]
    served: Mapping[str, Sequence[str]]


def sort_records(
    subdir: str,
    cooldowns: Mapping[str, int],
    judged: Collection[Judged],
    fns: Sequence[str],
    builds: Sequence[str],
    now_ms: int,
) -> NameRecords:
    """The records of a name in a subdir, by what becomes of them.

    Args:
        cooldowns: Rules that let fixes through, by id, with the length of their cooldown in ms.
        judged: The records on which the policy decides anything; on all others it decides nothing, so they are served.
        fns: The file names of all records of the name.
        builds: Their build strings, in the same order.
    """
    waiting, vulnerable, stopped = [], [], set()
    for record, verdict in judged:
        if verdict.action is not Action.stop:
            continue
        stopped.add(record.fn)
        if is_waiting(record, verdict, cooldowns, now_ms):
            waiting.append((record, verdict))
        elif all(_is_of_vulnerability(reason) for reason in _stops(verdict)):
            vulnerable.append((record, verdict))
    served: dict[str, list[str]] = {}
    variants = []
    for fn, build in zip(fns, builds, strict=True):
        variants.append(python := python_of(build))
        if fn not in stopped:
            served.setdefault(python, []).append(fn)
    return NameRecords(subdir, fns, frozenset(variants), waiting, vulnerable, served)


class Pool:
    """The records of one name that clients of one platform choose from: those of their subdir, and of noarch.

    `lost`: records that the policy serves, and the closure does not.
    """

    def __init__(self, parts: Sequence[NameRecords], lost: Collection[Place] = ()) -> None:
        self._parts, self._lost = parts, lost

    def variants_in_need(self) -> list[str]:
        """The Pythons for which nothing is served, something older is vulnerable, and something waits; sorted."""
        variants = {variant for part in self._parts for variant in part.variants}
        return [
            variant
            for variant in sorted(variants - {""} or variants)
            if not self._is_served(variant)
            and any(_of_variant(variant, part.vulnerable) for part in self._parts)
            and any(_of_variant(variant, part.waiting) for part in self._parts)
        ]

    def serves_what_waits(self) -> bool:
        """Whether something is served for each Python that a waiting record is for: then none of these is of use."""
        waiting = {python_of(record.build) for part in self._parts for record, _ in part.waiting}
        return all(self._is_served(variant) for variant in waiting)

    def _is_served(self, variant: str) -> bool:
        return any(
            (part.subdir, fn) not in self._lost
            for part in self._parts
            for python in {variant, ""}
            for fn in part.served.get(python, ())
        )

    def release(self, cooldowns: Mapping[str, int], struck: Collection[Place] = ()) -> Iterator[tuple[Place, Verdict]]:
        """The records to let through, with their new verdicts.

        A released record has no stop any more; the reason of the cooldown stays, as a note that says why.

        Args:
            struck: Records that something else would stop if they were released.
        """
        for variant in self.variants_in_need():
            waiting = [
                (part.subdir, *one)
                for part in self._parts
                for one in _of_variant(variant, part.waiting)
                if (part.subdir, one[0].fn) not in struck
            ]
            if waiting:
                vulnerable = [one for part in self._parts for one in _of_variant(variant, part.vulnerable)]
                subdir, record, verdict = min(waiting, key=_by_age)
                yield (subdir, record.fn), _release(record, verdict, vulnerable, cooldowns, variant)


def release_fixes(
    cooldowns: Mapping[str, int], judged: list[Judged], fns: Sequence[str], builds: Sequence[str], now_ms: int
) -> list[Judged]:
    """The verdicts on a name's records in one subdir, those of the fixes replaced that the policy alone lets through.

    Args:
        cooldowns, judged, fns, builds: See `sort_records`.
    """
    if not any(is_waiting(record, verdict, cooldowns, now_ms) for record, verdict in judged):
        return judged
    released: dict[Place, Verdict] = {}
    for place, verdict in Pool([sort_records("", cooldowns, judged, fns, builds, now_ms)]).release(cooldowns):
        released.setdefault(place, verdict)
    return [(record, released.get(("", record.fn), verdict)) for record, verdict in judged]


def is_waiting(record: RecordFacts, verdict: Verdict, cooldowns: Mapping[str, int], now_ms: int) -> bool:
    """Whether only cooldowns that let fixes through stop the record; one of unknown age has no place in their order."""
    since_ms = first_listed_ms(record)
    return (
        verdict.action is Action.stop
        and since_ms > 0
        and all(now_ms < since_ms + cooldowns.get(reason.rule_id, -since_ms) for reason in _stops(verdict))
    )


def _of_variant(variant: str, judged: Iterable[Judged]) -> list[Judged]:
    return [one for one in judged if python_of(one[0].build) in (variant, "")]


def _stops(verdict: Verdict) -> Iterator[Reason]:
    return (reason for reason in verdict.reasons if reason.action is Action.stop)


def _is_of_vulnerability(reason: Reason) -> bool:
    return reason.gate == VULNERABILITIES and reason.trigger in OF_VULNERABILITIES


def _by_age(waiting: tuple[str, RecordFacts, Verdict]) -> tuple[Any, ...]:
    """The oldest first; of those that came together the lowest version, since it changes least."""
    subdir, record, _ = waiting
    order = version_order(record.version)
    return first_listed_ms(record), order is None, order, record.build_number, record.fn, subdir


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


__all__ = ["Judged", "NameRecords", "Place", "Pool", "is_waiting", "python_of", "release_fixes", "sort_records"]
