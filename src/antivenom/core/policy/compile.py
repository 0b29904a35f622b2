"""Policies: parse, compile, judge. One format, one evaluation, many gates.

Law: the action of a verdict is the worst of its reasons; an unexpired allowlist item puts a reason aside, whatever its
rule says; neither the order of rules nor that of records matters.

Source: docs/dev/measurements.md (Gates, triggers and allowlist); docs/reference/policy.md is checked against the
registry of rules.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import attrgetter

import msgspec

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.advisories import Assessment
from antivenom.core.policy.format import FOREVER_MS, AllowlistItem, Policy, parse_policy, read_stored_policy
from antivenom.core.policy.rules import TRIGGERS
from antivenom.core.policy.rules.base import (
    NOTHING,
    Action,
    Check,
    Facts,
    Hit,
    Meter,
    NameColumns,
    Reason,
    Rule,
    RuleResult,
    earliest,
    unmetered,
)

__all__ = [
    "GO",
    "Action",
    "AllowlistItem",
    "CompiledPolicy",
    "Policy",
    "Reason",
    "Rule",
    "Verdict",
    "changed_gates",
    "compile_policy",
    "parse_policy",
    "read_stored_policy",
]


class Verdict(msgspec.Struct, frozen=True):
    """What the policy decides for one record: the worst action, all its reasons (worst first), and until when it holds.

    `holds_until_ms`: the instant (ms since 1970 UTC) at which time alone may change it; 0 is never.
    `excepted`: reasons that an unexpired allowlist item puts aside, each with the item's id.
    """

    action: Action
    reasons: tuple[Reason, ...] = ()
    holds_until_ms: int = 0
    excepted: tuple[tuple[str, Reason], ...] = ()


GO = Verdict(Action.go)
UNKNOWN_WORDS = {
    "license": "licence", "license_family": "licence family", "timestamp_ms": "age", "indexed_ms": "age",
    "size_bytes": "size", "signed": "signature", "replaced_ms": "replacement", "subdir": "platform",
    "build_number": "build number", "purls": "package URLs", "depends": "dependencies",
}  # fmt: skip
"""Facts by the words that people know."""
# Stands for checks that are not known yet; true, unlike the empty tuple of checks when none is concerned.
_UNDECIDED: tuple[Check, ...] = (Check(Rule("", "", "", Action.go)),)


def changed_gates(old: Policy | None, new: Policy | None) -> set[str]:
    """The gates whose rules or allowlist items differ, whatever their order. All of one when the other is None."""
    return {gate for gate, _ in _parts(old) ^ _parts(new)}


def _parts(policy: Policy | None) -> set[tuple[str, bytes]]:
    if policy is None:
        return set()
    encode = msgspec.json.Encoder(order="deterministic").encode
    items: list[Rule | AllowlistItem] = [*policy.rules, *policy.allowlist]
    return {(item.gate, type(item).__name__.encode() + encode(item)) for item in items}


def compile_policy(policy: Policy, meter: Meter = unmetered, unknown: frozenset[str] = frozenset()) -> CompiledPolicy:
    """The policy ready to judge. Picklable: another process compiles it anew, without the meter.

    Args:
        meter: Runs the expressions of its rules.
        unknown: Facts that nobody knows of the records to be judged; rules that need one cannot be evaluated.
    """
    return CompiledPolicy(policy, meter, unknown)


class CompiledPolicy:
    """Judges records. Remembers what it decided about equal facts, for one channel and one instant at a time.

    `uses_findings`: whether assessments matter. `reads_depends`: whether dependencies do. `names_concerned`: the only
    names that any rule can touch; None: any name. `closure_exceptions`: the allowlist items that may put a reason of
    the closure aside. `fix_cooldowns`: the cooldowns that let fixes through (fixes.py), in ms, by rule.
    """

    def __init__(self, policy: Policy, meter: Meter = unmetered, unknown: frozenset[str] = frozenset()) -> None:
        self.policy = policy
        self._unknown = unknown
        every = [check for rule in policy.rules for check in TRIGGERS[rule.gate, rule.trigger].checks(rule)]
        checks = [check for check in every if check.needs.isdisjoint(unknown)]
        self._unanswered = [check for check in every if not check.needs.isdisjoint(unknown)]
        for check in checks:
            check.meter = meter
        self.fix_cooldowns = {check.rule.id: check.fix_cooldown_ms for check in checks if check.fix_cooldown_ms}
        self.uses_findings = any("assessment" in check.reads for check in checks)
        groups = [_Group(reads, found) for reads, found in _by_reads(checks).items()]
        self._groups = groups
        self._record_groups = [(g.read, g.decided, g) for g in groups if g.read and not g.on_findings]
        self._finding_groups = [(g.read, g.decided, g) for g in groups if g.on_findings]
        self._named = _by_name(checks)
        self._direct = [check for check in checks if check.direct]
        named = [check.names for check in checks]
        self.names_concerned = None if None in named else frozenset(name for names in named for name in names or ())
        self._exceptions = policy.allowlist
        self.closure_exceptions = tuple(item for item in policy.allowlist if item.gate in ("closure", "*"))
        self.reads_depends = any("depends" in (*check.reads, *check.result_reads) for check in checks)
        self._concluded: dict[tuple[RuleResult, ...], Verdict] = {}
        self._channel: ChannelFacts | None = None
        self._now_ms = -1

    def __reduce__(self) -> tuple[Callable[..., CompiledPolicy], tuple[Policy, Meter, frozenset[str]]]:
        return compile_policy, (self.policy, unmetered, self._unknown)

    def judge(self, record: RecordFacts, assessment: Assessment | None, channel: ChannelFacts, now_ms: int) -> Verdict:
        """The verdict on one record; GO itself when no rule touches it.

        Written flat: a record that no rule touches costs one look-up for each group of rules (about 1 µs in all).

        Args:
            assessment: Of the record's component.
            now_ms: Ms since 1970 UTC; the same for all records of a sweep (a new instant forgets what was remembered).
        """
        if now_ms != self._now_ms or channel is not self._channel:
            self._begin(channel, now_ms)
        facts = Facts(record, assessment, channel, now_ms)
        results: list[RuleResult] = []
        remember = True  # the verdict, for other records with the same results
        for read, decided, group in self._record_groups:
            key = read(record)
            checks = decided.get(key, _UNDECIDED)
            if checks:
                _add(results, group.evaluate(facts, key, checks))
                remember &= group.remembers
        for reads, decided, group in self._finding_groups:
            key = (assessment, reads(record)) if reads else assessment
            checks = decided.get(key, _UNDECIDED)
            if checks:
                _add(results, group.evaluate(facts, key, checks))
                remember &= group.remembers
        shared = len(results)
        for check in self._named.get(record.name, ()):
            _add(results, check.evaluate(facts))
        for check in self._direct:
            if check.concerns(facts):
                _add(results, check.evaluate(facts))
        if self._unanswered:
            results += self._undecided(record)
        return self._conclude(results, record, now_ms, remember=remember and shared == len(results)) if results else GO

    def _undecided(self, record: RecordFacts) -> Iterable[RuleResult]:
        """A warning for each rule that may concern the record and needs a fact that nobody knows."""
        rules: dict[str, RuleResult] = {}
        for check in self._unanswered:
            if check.names is None or record.name in check.names:
                missing = ", ".join(UNKNOWN_WORDS.get(fact, fact) for fact in sorted(check.needs & self._unknown))
                rules.setdefault(check.rule.id, check.undecided(record, f"nothing states its {missing}"))
        return rules.values()

    def touched_positions(
        self,
        names: NameColumns,
        record_at: Callable[[int], RecordFacts],
        assessments: Sequence[Assessment | None],
        channel: ChannelFacts,
        now_ms: int,
    ) -> Iterable[int]:
        """The positions of the records of one name that some rule touches, ascending; all others get GO.

        Each group of rules looks at one record for all that agree in what the group reads.

        Args:
            assessments: Of the name's components, in the order that `component_of` refers to.
        """
        if now_ms != self._now_ms or channel is not self._channel:
            self._begin(channel, now_ms)
        found: set[int] = set()
        for check in self._direct:
            found.update(check.positions(names, now_ms))

        def facts_at(position: int) -> Facts:
            return Facts(record_at(position), assessments[names.component_of[position]], channel, now_ms)

        for group in self._groups:
            found.update(group.positions(names, assessments, facts_at))
        for check in self._named.get(names.name, ()):
            found.update(_positions(names, check.reads, facts_at, check.concerns))
        return sorted(found)

    def except_closure(self, reason: Reason, record: RecordFacts, now_ms: int) -> AllowlistItem | None:
        """The unexpired allowlist item that puts a reason of the closure aside; None when there is none."""
        return self._exception_for(Hit(reason, (reason.trigger_id,)), record, now_ms) if self._exceptions else None

    def _begin(self, channel: ChannelFacts, now_ms: int) -> None:
        """Forget what a sweep of another channel or instant decided."""
        self._channel, self._now_ms = channel, now_ms
        self._concluded.clear()
        for _, _, group in (*self._record_groups, *self._finding_groups):
            group.forget()

    def _conclude(self, results: list[RuleResult], record: RecordFacts, now_ms: int, *, remember: bool) -> Verdict:
        """The verdict of all results together. Records of one component share their results, and so their verdict."""
        key = tuple(results)
        if remember and key in self._concluded:
            return self._concluded[key]
        hits = [hit for result in results for hit in result.hits]
        until_ms = earliest(*(result.until_ms for result in results))
        counted, excepted = [], []
        for hit in sorted(hits, key=_rank):
            exception = self._exception_for(hit, record, now_ms) if self._exceptions else None
            if exception is None:
                counted.append(hit.reason)
            else:
                excepted.append((exception.id, hit.reason))
                until_ms = earliest(until_ms, exception.expires_ms)
        action = counted[0].action if counted else Action.go
        verdict = Verdict(action, tuple(counted), until_ms, tuple(excepted)) if hits or until_ms else GO
        if remember and not self._exceptions:
            self._concluded[key] = verdict
        return verdict

    def _exception_for(self, hit: Hit, record: RecordFacts, now_ms: int) -> AllowlistItem | None:
        """The unexpired item that puts the reason aside; of several the one that lasts longest."""
        fitting = [i for i in self._exceptions if i.excepts(hit, now_ms) and i.fits_record(record)]
        return min(fitting, key=lambda item: (-(item.expires_ms or FOREVER_MS), item.id), default=None)


# For each fact, the column of a name's records that differs where the fact does. Name and subdir never differ.
_COLUMNS = {
    "assessment": "component_of", "version": "component_of", "purls": "component_of", "build": "builds",
    "build_number": "build_numbers", "license": "license_of", "license_family": "license_of", "size_bytes": "sizes",
    "timestamp_ms": "timestamps", "indexed_ms": "indexed", "noarch": "noarchs",
}  # fmt: skip
_SAME_FOR_A_NAME = {"name", "subdir"}


def _positions(
    names: NameColumns, reads: Iterable[str], facts_at: Callable[[int], Facts], concerns: Callable[[Facts], bool]
) -> Iterable[int]:
    """Where `concerns` holds; asked once for all records that agree in the facts that are read."""
    everything = range(len(names.fns))
    facts = [fact for fact in reads if fact not in _SAME_FOR_A_NAME]
    if not facts:
        return everything if concerns(facts_at(0)) else ()
    if any(fact not in _COLUMNS for fact in facts):
        return [position for position in everything if concerns(facts_at(position))]
    columns: list[Sequence[Hashable]] = [getattr(names, column) for column in {_COLUMNS[fact] for fact in facts}]
    keys: Sequence[Hashable] = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    asked = dict(zip(keys, everything, strict=True))
    touched = {key for key, position in asked.items() if concerns(facts_at(position))}
    return [position for position in everything if keys[position] in touched] if touched else ()


def _by_component(
    names: NameColumns, assessments: Sequence[Assessment | None]
) -> tuple[Sequence[Assessment | None], Sequence[int]]:
    return assessments, names.component_of


def _by_license(names: NameColumns, _: Sequence[Assessment | None]) -> tuple[Sequence[str], Sequence[int]]:
    return [text for text, _ in names.licenses], names.license_of


# What most rules read lies in small tables: the keys of `_Group.decided`, and the row of each record.
_TABLES: dict[tuple[str, ...], Callable[..., tuple[Sequence[Hashable], Sequence[int]]]] = {
    ("assessment",): _by_component,
    ("license",): _by_license,
}


class _Group:
    """Checks that read the same facts. Decides and evaluates them once for each distinct value of these facts."""

    def __init__(self, reads: tuple[str, ...], checks: list[Check]) -> None:
        result_reads = dict.fromkeys(fact for check in checks for fact in check.result_reads)
        self.on_findings = "assessment" in reads
        self.reads = reads
        self.read = None if reads == ("assessment",) else _getter(reads)  # of the record; None: nothing
        self.decided: dict[Hashable, tuple[Check, ...]] = {}
        self._checks = tuple(checks)
        # One record has one file name: remembering its result would only fill memory.
        self.remembers = "fn" not in result_reads
        self._read_result_facts = _getter(result_reads)
        self._results: dict[Hashable, RuleResult] = {}

    def forget(self) -> None:
        self.decided.clear()
        self._results.clear()

    def concerns(self, facts: Facts) -> bool:
        """Whether any check concerns the record."""
        value = self.read(facts.record) if self.read else None
        key = (facts.assessment, value) if self.on_findings else value
        checks = self.decided.get(key, _UNDECIDED)
        return bool(self._decide(facts, key) if checks is _UNDECIDED else checks)

    def positions(
        self, names: NameColumns, assessments: Sequence[Assessment | None], facts_at: Callable[[int], Facts]
    ) -> Iterable[int]:
        """Where any check concerns a record."""
        table = _TABLES.get(self.reads)
        if table is None:
            return _positions(names, self.reads, facts_at, self.concerns)
        keys, row_of = table(names, assessments)
        decided, touched = self.decided, set()
        for key in set(keys):
            checks = decided.get(key, _UNDECIDED)
            if checks is _UNDECIDED:
                checks = self._decide(facts_at(row_of.index(keys.index(key))), key)
            if checks:
                touched.add(key)
        return [at for at, row in enumerate(row_of) if keys[row] in touched] if touched else ()

    def evaluate(self, facts: Facts, key: Hashable, checks: tuple[Check, ...]) -> RuleResult:
        """The merged result of the checks that concern a record; finds these first when `checks` is _UNDECIDED."""
        if checks is _UNDECIDED:
            checks = self._decide(facts, key)
            if not checks:
                return NOTHING
        if not self.remembers:
            return _merge(check.evaluate(facts) for check in checks)
        result_key = (key, self._read_result_facts(facts.record))
        result = self._results.get(result_key)
        if result is None:
            result = self._results[result_key] = _merge(check.evaluate(facts) for check in checks)
        return result

    def _decide(self, facts: Facts, key: Hashable) -> tuple[Check, ...]:
        checks = self.decided[key] = tuple(check for check in self._checks if check.concerns(facts))
        return checks


def _add(results: list[RuleResult], result: RuleResult) -> None:
    if result is not NOTHING:
        results.append(result)


def _getter(facts: Iterable[str]) -> Callable[[RecordFacts], Hashable]:
    fields = [fact for fact in facts if fact != "assessment"]
    return attrgetter(*fields) if fields else lambda _record: None


def _merge(parts: Iterable[RuleResult]) -> RuleResult:
    results = [result for result in parts if result is not NOTHING]
    if len(results) < 2:
        return results[0] if results else NOTHING
    hits = tuple(hit for result in results for hit in result.hits)
    return RuleResult(hits, earliest(*(result.until_ms for result in results)))


def _by_reads(checks: list[Check]) -> dict[tuple[str, ...], list[Check]]:
    found: dict[tuple[str, ...], list[Check]] = {}
    for check in checks:
        if check.names is None and not check.direct:
            found.setdefault(tuple(sorted(check.reads)), []).append(check)
    return found


def _by_name(checks: list[Check]) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = {}
    for check in checks:
        for name in check.names or ():
            found.setdefault(name, []).append(check)
    return found


def _rank(hit: Hit) -> tuple[int, float, str, str, str]:
    """Worst first; among equals the weightier, then by words, so that the order of rules never matters."""
    reason = hit.reason
    return -reason.action, -hit.weight, reason.rule_id, reason.trigger_id, reason.message
