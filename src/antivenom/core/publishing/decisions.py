"""The decisions for the records of a name, from what the policy decides and the closure adds; and their counts.

Records with the same decision share it, so that a closure that fells half of a channel costs what differs, not what it
fells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

import msgspec

from antivenom.core.closure.propagate import BucketFalls, ClosureDecision, NameFalls
from antivenom.core.conda.specs import latest_version
from antivenom.core.matching.advisories import Severity
from antivenom.core.policy.compile import Action
from antivenom.core.policy.rules.base import earliest
from antivenom.core.publication.publication_map import (
    Counts,
    Decision,
    NameDecisions,
    PackageSummary,
    SharedDecision,
    of_any_file,
)
from antivenom.core.source.source_map import NameFacts

_LICENSES_MAX = 8
_Row = tuple[str, str, str, int, SharedDecision]  # file name, version, build, size, decision


def group_decisions(decisions: Iterable[Decision]) -> list[NameDecisions]:
    """What the policy alone decides for the records of some names, by name."""
    by_name: dict[str, list[_Row]] = {}
    for decision in decisions:
        by_name.setdefault(decision.name, []).append(_row(decision))
    return [_to_columns(name, rows) for name, rows in by_name.items()]


def bucket_decisions(
    decisions: Sequence[Decision], falls: BucketFalls, names: Sequence[NameFacts], severities: Mapping[str, Severity]
) -> list[NameDecisions]:
    """All decisions of one bucket, by name; names without any are left out."""
    if not falls:
        return group_decisions(decisions)
    by_name: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_name.setdefault(decision.name, []).append(decision)
    found = []
    for place, facts in enumerate(names):
        mine = by_name.get(facts.name, [])
        if place in falls:
            found.append(_name_decisions(mine, falls[place], facts, severities))
        elif mine:
            found += group_decisions(mine)
    return [name for name in found if name.fns]


def _name_decisions(
    decisions: Sequence[Decision], falls: NameFalls, facts: NameFacts, severities: Mapping[str, Severity]
) -> NameDecisions:
    """What the policy and the closure decide for the records of one name."""
    versions = [version for version, _ in facts.components]
    fns, builds, sizes, component_of = facts.fns, facts.builds, facts.sizes, facts.component_of
    decided = {decision.fn: decision for decision in decisions}
    known: dict[tuple[int, int], SharedDecision] = {}  # by identity of what falls alike and of the severity
    rows: list[_Row] = []
    fallen = list(falls.decisions(fns))  # a list: what has gone could give its identity to another
    for record, by_closure in fallen:
        fn = fns[record]
        severity = severities.get(fn, _UNKNOWN)
        shared = known.get((id(by_closure), id(severity)))
        if shared is None:
            shared = known[id(by_closure), id(severity)] = _closure_alone(by_closure, severity)
        if fn in decided:
            if decided[fn].action == Action.stop:
                continue
            shared = _merge(shared, decided.pop(fn))
        rows.append((fn, versions[component_of[record]], builds[record], sizes[record], shared))
    rows += map(_row, decided.values())
    return _to_columns(facts.name, rows)


_UNKNOWN = Severity.unknown


def _row(decision: Decision) -> _Row:
    reasons, excepted = of_any_file(decision.fn, decision.reasons, decision.excepted)
    shared = SharedDecision(
        decision.action, reasons, excepted, decision.holds_until_ms, decision.severity, decision.culprits
    )  # fmt: skip
    return decision.fn, decision.version, decision.build, decision.size_bytes, shared


def _closure_alone(by_closure: ClosureDecision, severity: Severity) -> SharedDecision:
    """The decision for records of which the policy decides nothing."""
    reason, culprits, item, until_ms = by_closure
    if item:
        return SharedDecision(Action.go, (), ((item, reason),), until_ms, severity, culprits)
    return SharedDecision(Action.stop, (reason,), (), until_ms, severity, culprits)


def _merge(by_closure: SharedDecision, by_policy: Decision) -> SharedDecision:
    """The decision for a record that the closure decides about, and that the policy warns about or excepts."""
    reasons, excepted = of_any_file(by_policy.fn, by_policy.reasons, by_policy.excepted)
    return msgspec.structs.replace(
        by_closure,
        action=max(by_closure.action, by_policy.action),
        reasons=(*by_closure.reasons, *reasons),
        excepted=(*excepted, *by_closure.excepted),
        holds_until_ms=earliest(by_policy.holds_until_ms, by_closure.holds_until_ms),
    )


def _to_columns(name: str, rows: list[_Row]) -> NameDecisions:
    """Rows in columns, by file name; equal decisions are written once."""
    if not rows:  # the policy withholds all that falls
        return NameDecisions(name)
    rows.sort(key=itemgetter(0))
    fns, versions, builds, sizes, decisions = zip(*rows, strict=True)
    numbers: dict[SharedDecision, int] = {}
    by_identity: dict[int, int] = {}
    for decision in decisions:
        if id(decision) not in by_identity:
            by_identity[id(decision)] = numbers.setdefault(decision, len(numbers))
    shared_of = [by_identity[id(decision)] for decision in decisions]
    return NameDecisions(name, list(numbers), shared_of, fns, versions, builds, sizes)


def summarize(
    facts: NameFacts, subdir: str, actions: Mapping[str, Action], severities: Mapping[str, Severity]
) -> PackageSummary:
    """One name's summary, given the actions by file name."""
    stop, warn = Action.stop, Action.warn  # an enumeration's members are looked up slowly
    withheld = {fn for fn, action in actions.items() if action == stop}
    warned = len([fn for fn, action in actions.items() if action == warn])
    latest = facts.latest
    rated = [fn for fn in facts.fns if fn in severities] if severities else []
    severity = max([severities[fn] for fn in rated], default=_UNKNOWN)
    kept_severity = max([severities[fn] for fn in rated if fn not in withheld], default=_UNKNOWN)
    if withheld:
        kept = {c for fn, c in zip(facts.fns, facts.component_of, strict=True) if fn not in withheld}
        versions = [facts.components[c][0] for c in kept]
        latest = latest if latest in versions else latest_version(versions)
    return PackageSummary(
        facts.name, subdir, len({version for version, _ in facts.components}), len(facts.fns), len(withheld),
        warned, latest, facts.latest,
        tuple(dict.fromkeys(text for text, _ in facts.licenses if text))[:_LICENSES_MAX], severity, kept_severity,
    )  # fmt: skip


def count_records(records: int, decided: Iterable[NameDecisions], severities: Mapping[str, Severity]) -> Counts:
    """The counts of one bucket."""
    counts = Counts(records=records)
    stop, warn = Action.stop, Action.warn  # an enumeration's members are looked up slowly
    withheld = dict.fromkeys(Severity, 0)
    for name in decided:
        for decision, number in name.record_counts():
            if decision.action == stop:
                withheld[decision.severity] += number
            elif decision.action == warn:
                counts.warned += number
            if decision.excepted:
                counts.excepted += number
            _add(counts.by_rule, {reason.rule_id for reason in decision.reasons}, number)
            _add(counts.by_gate, {reason.gate for reason in decision.reasons}, number)
    counts.withheld = sum(withheld.values())
    counts.kept = records - counts.withheld
    counts.by_severity = {severity.name: number for severity, number in Counter(severities.values()).items()}
    counts.withheld_by_severity = {
        severity.name: number for severity, number in withheld.items() if number and severity
    }
    return counts


def _add(sums: dict[str, int], keys: Iterable[str], number: int) -> None:
    for key in keys:
        sums[key] = sums.get(key, 0) + number


__all__ = ["bucket_decisions", "count_records", "summarize"]
