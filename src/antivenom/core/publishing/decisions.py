"""The decisions for the records of a name, merged from the policy's and the closure's; and their counts.

Records with equal decisions share one: a closure that withholds half of a channel costs as much as decisions differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

import msgspec

from antivenom.core.closure.propagate import BucketClosure, ClosureDecision, NameClosure
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
    without_filename,
)
from antivenom.core.source.source_map import NameFacts

_LICENSES_MAX = 8
_RecordRow = tuple[str, str, str, int, int]  # file name, version, build, size, place of its decision


def group_decisions(decisions: Iterable[Decision]) -> list[NameDecisions]:
    """The policy's decisions for the records of some names, by name."""
    by_name: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_name.setdefault(decision.name, []).append(decision)
    return [_policy_alone(name, of_name) for name, of_name in by_name.items()]


def bucket_decisions(
    decisions: Sequence[Decision],
    closure: BucketClosure,
    names: Sequence[NameFacts],
    severities: Mapping[str, Severity],
) -> list[NameDecisions]:
    """All decisions of one bucket, by name; names without any are left out."""
    if not closure:
        return group_decisions(decisions)
    by_name: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_name.setdefault(decision.name, []).append(decision)
    found = []
    for place, facts in enumerate(names):
        mine = by_name.get(facts.name, [])
        if place in closure:
            found.append(_name_decisions(mine, closure[place], facts, severities))
        elif mine:
            found.append(_policy_alone(facts.name, mine))
    return [name for name in found if name.fns]


def _policy_alone(name: str, decisions: Sequence[Decision]) -> NameDecisions:
    """The policy's decisions for one name."""
    rows = [_row(decision, place) for place, decision in enumerate(decisions)]
    return _to_columns(name, rows, [_share(decision) for decision in decisions])


def _name_decisions(
    decisions: Sequence[Decision], closure: NameClosure, facts: NameFacts, severities: Mapping[str, Severity]
) -> NameDecisions:
    """The policy's and the closure's decisions for one name."""
    versions = [version for version, _ in facts.components]
    fns, builds, sizes, component_of = facts.fns, facts.builds, facts.sizes, facts.component_of
    by_policy = {decision.fn: decision for decision in decisions}
    by_closure, number_of = closure.decisions(fns)
    shared: list[SharedDecision] = []
    places: dict[tuple[int, Severity], int] = {}  # in `shared`, by number of the closure's decision
    rows: list[_RecordRow] = []
    for record, number in number_of.items():
        fn = fns[record]
        key = number, severities.get(fn, _UNKNOWN)
        if key not in places:
            places[key] = len(shared)
            shared.append(_closure_alone(by_closure[number], key[1]))
        place = places[key]
        if fn in by_policy:
            if by_policy[fn].action == Action.stop:
                continue
            shared.append(_merge(shared[place], by_policy.pop(fn)))
            place = len(shared) - 1
        rows.append((fn, versions[component_of[record]], builds[record], sizes[record], place))
    for decision in by_policy.values():
        rows.append(_row(decision, len(shared)))
        shared.append(_share(decision))
    return _to_columns(facts.name, rows, shared)


_UNKNOWN = Severity.unknown


def _row(decision: Decision, place: int) -> _RecordRow:
    return decision.fn, decision.version, decision.build, decision.size_bytes, place


def _share(decision: Decision) -> SharedDecision:
    """A decision without what only its record has."""
    reasons, excepted = without_filename(decision.fn, decision.reasons, decision.excepted)
    return SharedDecision(
        decision.action, reasons, excepted, decision.holds_until_ms, decision.severity, decision.broken_dependencies
    )


def _closure_alone(by_closure: ClosureDecision, severity: Severity) -> SharedDecision:
    """The decision for records for which the policy decides nothing."""
    reason, texts, item, until_ms = by_closure
    if item:
        return SharedDecision(Action.go, (), ((item, reason),), until_ms, severity, texts)
    return SharedDecision(Action.stop, (reason,), (), until_ms, severity, texts)


def _merge(by_closure: SharedDecision, by_policy: Decision) -> SharedDecision:
    """The decision for a record that the policy only warns about or excepts, and for which the closure decides too."""
    reasons, excepted = without_filename(by_policy.fn, by_policy.reasons, by_policy.excepted)
    return msgspec.structs.replace(
        by_closure,
        action=max(by_closure.action, by_policy.action),
        reasons=(*by_closure.reasons, *reasons),
        excepted=(*excepted, *by_closure.excepted),
        holds_until_ms=earliest(by_policy.holds_until_ms, by_closure.holds_until_ms),
    )


def _to_columns(name: str, rows: list[_RecordRow], shared: Sequence[SharedDecision]) -> NameDecisions:
    """Rows in columns, by file name; equal decisions are written once, in order of their first record."""
    if not rows:  # the policy withholds all that falls
        return NameDecisions(name)
    rows.sort(key=itemgetter(0))
    fns, versions, builds, sizes, places = zip(*rows, strict=True)
    numbers: dict[SharedDecision, int] = {}
    number_of = {place: numbers.setdefault(shared[place], len(numbers)) for place in dict.fromkeys(places)}
    return NameDecisions(name, list(numbers), [number_of[p] for p in places], fns, versions, builds, sizes)


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
            _add(counts.by_rule, dict.fromkeys(reason.rule_id for reason in decision.reasons), number)
            _add(counts.by_gate, dict.fromkeys(reason.gate for reason in decision.reasons), number)
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
