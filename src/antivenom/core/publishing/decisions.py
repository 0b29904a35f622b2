"""What is told of the records of a name, from what the policy decides and the closure adds; and its sums.

Records of which the same is said share it, so that a closure that fells half of a channel costs what it says, not what
it fells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

import msgspec

from antivenom.core.closure.propagate import BucketFalls, Closed, NameFalls
from antivenom.core.conda.specs import latest_version
from antivenom.core.matching.advisories import Severity
from antivenom.core.policy.compile import Action
from antivenom.core.policy.rules.base import earliest
from antivenom.core.publication.publication_map import Counts, Decision, PackageSummary, Said, ToldName, of_any_file
from antivenom.core.source.source_map import NameFacts

_LICENSES_MAX = 8
_Row = tuple[str, str, str, int, Said]  # file name, version, build, size, what is said


def tell(decisions: Iterable[Decision]) -> list[ToldName]:
    """What the policy alone decides of the records of some names, by name."""
    by_name: dict[str, list[_Row]] = {}
    for decision in decisions:
        by_name.setdefault(decision.name, []).append(_row(decision))
    return [_columns(name, rows) for name, rows in by_name.items()]


def tell_bucket(
    decisions: Sequence[Decision], falls: BucketFalls, names: Sequence[NameFacts], severities: Mapping[str, Severity]
) -> list[ToldName]:
    """What is told in one bucket, by name, names of which there is nothing to say left out."""
    if not falls:
        return tell(decisions)
    by_name: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_name.setdefault(decision.name, []).append(decision)
    told = []
    for place, facts in enumerate(names):
        mine = by_name.get(facts.name, [])
        if place in falls:
            told.append(_tell_name(mine, falls[place], facts, severities))
        elif mine:
            told += tell(mine)
    return [name for name in told if name.fns]


def _tell_name(
    decisions: Sequence[Decision], falls: NameFalls, facts: NameFacts, severities: Mapping[str, Severity]
) -> ToldName:
    """What the policy decides of the records of one name, and what the closure says of them."""
    versions = [version for version, _ in facts.components]
    fns, builds, sizes, component_of = facts.fns, facts.builds, facts.sizes, facts.component_of
    decided = {decision.fn: decision for decision in decisions}
    shared: dict[tuple[int, int], Said] = {}  # by identity of what falls alike and of the severity
    rows: list[_Row] = []
    fallen = list(falls.closed(fns))  # a list: what has gone could give its identity to another
    for record, closed in fallen:
        fn = fns[record]
        severity = severities.get(fn, _UNKNOWN)
        said = shared.get((id(closed), id(severity)))
        if said is None:
            said = shared[id(closed), id(severity)] = _said(closed, severity)
        if fn in decided:
            if decided[fn].action == Action.stop:
                continue
            said = _both(said, decided.pop(fn))
        rows.append((fn, versions[component_of[record]], builds[record], sizes[record], said))
    rows += map(_row, decided.values())
    return _columns(facts.name, rows)


_UNKNOWN = Severity.unknown


def _row(decision: Decision) -> _Row:
    reasons, excepted = of_any_file(decision.fn, decision.reasons, decision.excepted)
    said = Said(
        decision.action, reasons, excepted, decision.holds_until_ms, decision.severity, decision.culprits
    )  # fmt: skip
    return decision.fn, decision.version, decision.build, decision.size_bytes, said


def _said(closed: Closed, severity: Severity) -> Said:
    if closed.item:
        return Said(Action.go, (), ((closed.item, closed.reason),), closed.until_ms, severity, closed.culprits)
    return Said(Action.stop, (closed.reason,), (), closed.until_ms, severity, closed.culprits)


def _both(closed: Said, decision: Decision) -> Said:
    """What the closure says of a record that the policy warns about or excepts."""
    reasons, excepted = of_any_file(decision.fn, decision.reasons, decision.excepted)
    return msgspec.structs.replace(
        closed,
        action=max(closed.action, decision.action),
        reasons=(*closed.reasons, *reasons),
        excepted=(*excepted, *closed.excepted),
        holds_until_ms=earliest(decision.holds_until_ms, closed.holds_until_ms),
    )


def _columns(name: str, rows: list[_Row]) -> ToldName:
    """Rows in columns, by file name; what is said alike is written once."""
    if not rows:  # the policy withholds all that falls
        return ToldName(name)
    rows.sort(key=itemgetter(0))
    fns, versions, builds, sizes, said = zip(*rows, strict=True)
    numbers: dict[Said, int] = {}
    by_identity: dict[int, int] = {}
    for one in said:
        if id(one) not in by_identity:
            by_identity[id(one)] = numbers.setdefault(one, len(numbers))
    said_of = [by_identity[id(one)] for one in said]
    return ToldName(name, list(numbers), said_of, fns, versions, builds, sizes)


def summarize(
    facts: NameFacts, subdir: str, actions: Mapping[str, Action], severities: Mapping[str, Severity]
) -> PackageSummary:
    """One name's summary, given what is decided by file name."""
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


def count(records: int, told: Iterable[ToldName], severities: Mapping[str, Severity]) -> Counts:
    """The counts of one bucket."""
    counts = Counts(records=records)
    stop, warn = Action.stop, Action.warn  # an enumeration's members are looked up slowly
    withheld = dict.fromkeys(Severity, 0)
    for name in told:
        for said, number in name.numbers():
            if said.action == stop:
                withheld[said.severity] += number
            elif said.action == warn:
                counts.warned += number
            if said.excepted:
                counts.excepted += number
            _add(counts.by_rule, {reason.rule_id for reason in said.reasons}, number)
            _add(counts.by_gate, {reason.gate for reason in said.reasons}, number)
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


__all__ = ["count", "summarize", "tell_bucket"]
