"""What a rule is: its words, the check it compiles to, and what it finds in a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, Protocol

import msgspec

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.advisories import Assessment
from antivenom.core.policy.rules.parameters import Parameter

MS_PER_DAY = 86_400_000
UNDECIDED = "could not be evaluated"


class Action(IntEnum):
    """Worst wins."""

    go = 0
    warn = 1
    stop = 2


class Reason(msgspec.Struct, frozen=True):
    """Why a verdict is not a plain go. `trigger_id` is stable, since allowlist items name it.

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


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule of a policy. `params` are as written, checked against the trigger's parameters."""

    id: str
    gate: str
    trigger: str
    action: Action
    params: dict[str, Any] = {}
    recommendation: str = ""
    description: str = ""


class Facts(msgspec.Struct, frozen=True, gc=False):
    """All that a check may look at. `assessment` is None when the component was not matched yet."""

    record: RecordFacts
    assessment: Assessment | None
    channel: ChannelFacts
    now_ms: int


class Hit(msgspec.Struct, frozen=True):
    """One reason, every trigger_id an allowlist item may name it by, and how much it weighs among equals."""

    reason: Reason
    trigger_ids: tuple[str, ...]
    weight: float = 0.0


class RuleResult(msgspec.Struct, frozen=True, cache_hash=True):
    """What a check finds in a record, and the instant at which time alone may change that (ms; 0 is never)."""

    hits: tuple[Hit, ...] = ()
    until_ms: int = 0


NOTHING = RuleResult()


def earliest(*instants_ms: int) -> int:
    """The earliest of some instants, where 0 is never."""
    return min((i for i in instants_ms if i), default=0)


class NameColumns(Protocol):
    """The facts of all records of one name, column by column; `signed` has the positions of the signed ones.

    `replaced`: when another file stood under a record's name last (ms), by position.

    `component_of` counts the name's components, `license_of` points into `licenses` (text, family); see `NameFacts`.
    """

    @property
    def name(self) -> str: ...
    @property
    def fns(self) -> Sequence[str]: ...
    @property
    def component_of(self) -> Sequence[int]: ...
    @property
    def licenses(self) -> Sequence[tuple[str, str]]: ...
    @property
    def license_of(self) -> Sequence[int]: ...
    @property
    def sizes(self) -> Sequence[int]: ...
    @property
    def indexed(self) -> Sequence[int]: ...
    @property
    def signed(self) -> Sequence[int]: ...
    @property
    def replaced(self) -> Mapping[int, int]: ...


Meter = Callable[[str, Callable[[], Any]], Any]
"""Runs what may take long, for the rule of that id, and gives what it returns. Raises TooExpensiveError."""


def unmetered(_rule_id: str, work: Callable[[], Any]) -> Any:
    """The meter that allows everything."""
    return work()


class Check:
    """A compiled rule, or one independent part of it.

    Equal `reads` give equal answers of `concerns`; equal `result_reads` (and the same assessment) give equal
    results of `evaluate`. Both name fields of RecordFacts, or "assessment"; the channel and the instant are the same
    for a whole sweep. `direct`: asking is cheaper than remembering; `direct_reads` are the fields that it asks.
    `fix_cooldown_ms`: how long it withholds what is new, where it lets fixes through (fixes.py); else 0.
    """

    reads: tuple[str, ...] = ()
    result_reads: tuple[str, ...] = ()
    names: frozenset[str] | None = None  # the only names it can concern; None is any
    direct: ClassVar[bool] = False
    direct_reads: ClassVar[tuple[str, ...]] = ()
    fix_cooldown_ms: int = 0

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.meter: Meter = unmetered

    @property
    def needs(self) -> frozenset[str]:
        """The facts of a record without which there is no answer."""
        return frozenset((*self.reads, *self.result_reads, *self.direct_reads)) - {"assessment", "fn"}

    def concerns(self, facts: Facts) -> bool:
        """Whether `evaluate` returns anything but NOTHING."""
        return self.evaluate(facts) is not NOTHING

    def positions(self, names: NameColumns, now_ms: int) -> Iterable[int]:  # noqa: ARG002
        """The positions of the records that a `direct` check concerns; may hold others too."""
        return range(len(names.fns))

    def evaluate(self, facts: Facts) -> RuleResult:
        """The reasons of this rule for the record, or NOTHING."""
        raise NotImplementedError

    def hit(
        self, trigger_ids: tuple[str, ...], message: str, *, weight: float = 0.0, action: Action | None = None
    ) -> Hit:
        """A hit of this rule; the first of `trigger_ids` is the one that is shown."""
        rule = self.rule
        reason = Reason(
            rule_id=rule.id,
            gate=rule.gate,
            trigger=rule.trigger,
            trigger_id=trigger_ids[0],
            action=rule.action if action is None else action,
            message=message,
            recommendation=rule.recommendation,
        )
        return Hit(reason, trigger_ids, weight)

    def undecided(self, record: RecordFacts, why: str) -> RuleResult:
        """A warning in place of an answer: a rule that cannot be evaluated is never silently a go."""
        message = f"rule {self.rule.id} {UNDECIDED} for {record.name} {record.version}: {why}"
        return RuleResult((self.hit((f"{self.rule.id}+{record.fn}",), message, action=Action.warn),))


@dataclass(frozen=True)
class Trigger:
    """One thing a rule can look for: its words, its parameters, and how a rule of it becomes checks.

    `trigger_id` describes, for the documentation, how its reasons are named.
    """

    gate: str
    name: str
    summary: str
    trigger_id: str
    parameters: Mapping[str, Parameter]
    compile: Callable[[Rule, Mapping[str, Any]], Iterator[Check]]
    needs_parameter: bool = True
    needs: Mapping[str, str] = field(default_factory=dict)  # parameter → another without which it means nothing

    def checks(self, rule: Rule) -> Iterator[Check]:
        """The checks of a rule whose params were read from a valid policy."""
        read = {name: self.parameters[name].read(value) for name, value in rule.params.items()}
        return self.compile(rule, read)
