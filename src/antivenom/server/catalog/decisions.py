"""Lists the withheld and warned records of a publication: filters, counts and sorts them.

Reasons are long, and there may be half a million of them. So only the location of each record and what filters and
sorts need is kept, a few bytes for each record; a row is read from its bucket when it is shown.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from antivenom.core.conda.records import ARTIFACT_SUFFIXES, RecordFacts
from antivenom.core.conda.specs import RecordSpec, parse_record_spec
from antivenom.core.errors import AntivenomError, InvalidInputError
from antivenom.core.policy.compile import Action
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import Decision
from antivenom.server.db.paging import check_sort

DECISIONS = {"withheld": Action.stop, "warned": Action.warn}
TEXTS_CACHED = 8
COUNTS_CACHED = 64
SORTS = ("subdir", "name", "severity", "rule")


class RuleHit(NamedTuple):
    """What filters and sorts need of a reason."""

    rule_id: str
    gate: str
    action: int


RuleHits = tuple[RuleHit, ...]
"""Of each reason of a decision, the worst first. Many decisions share theirs."""


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which records to list: all given parts must hold.

    `decision` is withheld or warned; `spec` is a match spec or a file name; `name` is searched in the package's name
    and `q` in the file name; `gate` and `rule_id` are those of any of the reasons.
    """

    decision: str = "withheld"
    spec: str = ""
    name: str = ""
    q: str = ""
    subdir: str = ""
    gate: str = ""
    rule_id: str = ""

    def check(self) -> None:
        """Check the parts.

        Raises:
            InvalidInputError: An unknown decision, or a spec that does not parse.
        """
        if self.decision not in DECISIONS:
            raise InvalidInputError(
                f"decision {self.decision!r} is not known", hint=f"one of {', '.join(DECISIONS)}", field="decision"
            )
        if self.spec and not self.spec.endswith(ARTIFACT_SUFFIXES):
            parse_record_spec(self.spec)


@dataclass(frozen=True, slots=True)
class DecisionCounts:
    """How many records each choice of a filter would leave, given the other filters.

    Rules belong to gates, so decisions and rules are counted without the filters of rule and gate.
    """

    decisions: dict[str, int]
    withheld_by: dict[str, int]
    warned_by: dict[str, int]
    gates: dict[str, int]
    subdirs: dict[str, int]


class DecisionList:
    """The withheld and warned records of one publication; immutable, safe to share between threads."""

    def __init__(self, maps: Mapping[str, PublicationIndex]) -> None:
        self._maps = dict(sorted(maps.items()))
        self._subdirs = list(self._maps)
        self._names: list[str] = []
        self._subdir, self._action, self._severity = array("B"), array("B"), array("B")
        self._bucket, self._position, self._hits = array("I"), array("I"), array("I")
        self._distinct_hits: list[RuleHits] = []
        self._by_text = lru_cache(maxsize=TEXTS_CACHED)(self._find_text)
        self.count = lru_cache(maxsize=COUNTS_CACHED)(self._count)
        known: dict[RuleHits, int] = {}
        for number, index in enumerate(self._maps.values()):
            for bucket, decisions in index.decisions_by_bucket():
                for position, decision in enumerate(decisions):
                    if decision.action != Action.go:
                        self._add(number, bucket, position, decision, known)

    def _add(self, subdir: int, bucket: int, position: int, decision: Decision, known: dict[RuleHits, int]) -> None:
        hits = tuple(RuleHit(reason.rule_id, reason.gate, int(reason.action)) for reason in decision.reasons)
        number = known.setdefault(hits, len(known))
        if number == len(self._distinct_hits):  # not seen before
            self._distinct_hits.append(hits)
        self._names.append(decision.name)
        self._subdir.append(subdir)
        self._action.append(decision.action)
        self._severity.append(decision.severity)
        self._bucket.append(bucket)
        self._position.append(position)
        self._hits.append(number)

    def select(self, wanted: DecisionFilter, *, sort: str = "subdir") -> Sequence[int]:
        """The numbers of the matching rows, sorted by `sort`; equal ones by name, subdir and file name.

        Raises:
            InvalidInputError: An unknown sort.
        """
        key = check_sort(sort, SORTS)
        wanted.check()
        left = set(self._narrow(wanted))
        return [row for row in self._order(key, descending=sort.startswith("-")) if row in left]

    def row(self, number: int) -> tuple[str, Decision]:
        """(subdir, decision with all reasons) of a row."""
        subdir = self._subdirs[self._subdir[number]]
        return subdir, self._maps[subdir].decisions_in(self._bucket[number])[self._position[number]]

    def _count(self, wanted: DecisionFilter) -> DecisionCounts:
        """What each choice would leave. `count` caches it, because every page of a list shows it."""
        by_rule = {
            name: self._count_hits(replace(wanted, decision=name, rule_id="", gate=""), action, lambda hit: hit.rule_id)
            for name, action in DECISIONS.items()
        }
        action = DECISIONS.get(wanted.decision, Action.stop)
        return DecisionCounts(
            decisions={name: self._total(replace(wanted, decision=name, rule_id="", gate="")) for name in DECISIONS},
            withheld_by=by_rule["withheld"],
            warned_by=by_rule["warned"],
            gates=self._count_hits(replace(wanted, gate=""), action, lambda hit: hit.gate),
            subdirs=self._count_subdirs(replace(wanted, subdir="")),
        )

    def _total(self, wanted: DecisionFilter) -> int:
        return sum(1 for _ in self._narrow(wanted))

    def _count_hits(self, wanted: DecisionFilter, action: Action, value_of: Callable[[RuleHit], str]) -> dict[str, int]:
        """How many rows have each value in a reason with that action, the most frequent first."""
        found: Counter[str] = Counter()
        for hits, number in Counter(self._hits[row] for row in self._narrow(wanted)).items():
            for value in {value_of(hit) for hit in self._distinct_hits[hits] if hit.action == action}:
                found[value] += number
        return dict(found.most_common())

    def _count_subdirs(self, wanted: DecisionFilter) -> dict[str, int]:
        found = Counter(self._subdir[row] for row in self._narrow(wanted))
        return {self._subdirs[number]: found[number] for number in sorted(found)}

    def _narrow(self, wanted: DecisionFilter) -> Iterable[int]:
        """The rows that match the filter."""
        rows: Iterable[int] = self._by_text(wanted.decision, wanted.spec, wanted.name, wanted.q)
        if wanted.subdir:
            number = self._subdirs.index(wanted.subdir) if wanted.subdir in self._subdirs else -1
            rows = (row for row in rows if self._subdir[row] == number)
        if wanted.rule_id or wanted.gate:
            numbers = {number for number, hits in enumerate(self._distinct_hits) if _has(hits, wanted)}
            rows = (row for row in rows if self._hits[row] in numbers)
        return rows

    def _find_text(self, decision: str, spec: str, name: str, q: str) -> Sequence[int]:
        """The rows of a decision that match the texts. `_by_text` caches it: counting each choice needs them."""
        action = DECISIONS[decision]
        rows: Iterable[int] = (row for row, found in enumerate(self._action) if found == action)
        if name:
            rows = (row for row in rows if name.lower() in self._names[row])
        if spec:
            rows = self._matching(rows, spec)
        if q:
            rows = (row for row in rows if q.lower() in self.row(row)[1].fn.lower())
        return array("I", rows)

    def _matching(self, rows: Iterable[int], text: str) -> Iterable[int]:
        """The rows that match a match spec or a file name. Reads records only if the spec has more than a name."""
        if text.endswith(ARTIFACT_SUFFIXES):
            names = {found.map.name_of(text) for found in self._maps.values()}
            return (row for row in rows if self._names[row] in names and self.row(row)[1].fn == text)
        spec = parse_record_spec(text)
        names = {name for name in self._distinct_names if spec.matches_name(name)}
        rows = (row for row in rows if self._names[row] in names)
        if not spec.fields:
            return rows
        return self._matching_facts(rows, spec)

    def _matching_facts(self, rows: Iterable[int], spec: RecordSpec) -> Iterator[int]:
        """The rows whose facts match too. Rows of a name and subdir are neighbours, so their facts are read once."""
        for (subdir, name), group in groupby(rows, key=lambda row: (self._subdir[row], self._names[row])):
            facts = {found.fn: found for found in self._maps[self._subdirs[subdir]].facts(name)}
            for row in group:
                found = facts.get(self.row(row)[1].fn)
                if found is not None and _is_match(spec, found):
                    yield row

    @cached_property
    def _distinct_names(self) -> set[str]:
        return set(self._names)

    def _order(self, key: str, *, descending: bool) -> Sequence[int]:
        if key == "subdir":
            return self._by_subdir[::-1] if descending else self._by_subdir
        order = {"name": self._by_name, "severity": self._by_severity, "rule": self._by_rule}[key]
        if not descending:
            return order
        columns: dict[str, Sequence[Any]] = {
            "name": self._names,
            "severity": self._severity,
            "rule": self._first_rules,
        }
        return sorted(self._by_name, key=columns[key].__getitem__, reverse=True)  # equal rows keep the order of names

    @cached_property
    def _first_rules(self) -> list[str]:
        first = [hits[0].rule_id if hits else "" for hits in self._distinct_hits]
        return [first[number] for number in self._hits]

    @cached_property
    def _by_subdir(self) -> Sequence[int]:
        return range(len(self._names))

    @cached_property
    def _by_name(self) -> Sequence[int]:
        return array("I", sorted(range(len(self._names)), key=self._names.__getitem__))

    @cached_property
    def _by_severity(self) -> Sequence[int]:
        return array("I", sorted(self._by_name, key=self._severity.__getitem__))

    @cached_property
    def _by_rule(self) -> Sequence[int]:
        return array("I", sorted(self._by_name, key=self._first_rules.__getitem__))


def _has(hits: RuleHits, wanted: DecisionFilter) -> bool:
    return (not wanted.rule_id or any(hit.rule_id == wanted.rule_id for hit in hits)) and (
        not wanted.gate or any(hit.gate == wanted.gate for hit in hits)
    )


def _is_match(spec: RecordSpec, facts: RecordFacts) -> bool:
    try:
        return spec.matches(facts)
    except AntivenomError:  # conda cannot order the version, so it matches no range
        return False
