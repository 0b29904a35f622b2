"""The verdicts of one subdir, bucket by bucket: judged now, or taken over from the previous publication."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from antivenom.core.advisories import Assessment, Severity
from antivenom.core.closure import BucketFalls, NameFalls
from antivenom.core.conda import latest_version
from antivenom.core.packs import IndexBlobs
from antivenom.core.policies import GO, Action, Reason, Verdict
from antivenom.core.previous import PreviousSubdir, policy_stop
from antivenom.core.publication_map import (
    Counts,
    Decision,
    PackageSummary,
    PublicationMap,
    PublishedBucket,
    encode_decisions,
    worst_severity,
)
from antivenom.core.records import ChannelFacts, RecordFacts
from antivenom.core.rules.base import earliest
from antivenom.core.source_map import Bucket, NameDepends, NameFacts, SourceMap, iterate_depends, iterate_facts

Component = tuple[str, str, tuple[str, ...]]
_BUCKETS_AT_ONCE = 64  # components of so many buckets are assessed by one call
_LICENSES_MAX = 8


class Judging(NamedTuple):
    """Everything a verdict depends on besides the record. `curation`: "subdir/fn" → the build's own assessment.

    `touched`: see `CompiledPolicy`; None when the policy cannot say. `reads_depends`: whether it ever looks at
    dependencies.
    """

    judge: Callable[[RecordFacts, Assessment | None, ChannelFacts, int], Verdict]
    assess: Callable[[Sequence[Component]], Sequence[Assessment | None]]
    channel: ChannelFacts
    now_ms: int
    curation: Mapping[str, Assessment]
    touched: Callable[..., Iterable[int]] | None = None
    reads_depends: bool = True


class BucketVerdicts(NamedTuple):
    """What the policy said of one bucket.

    `severities` has the file names whose component has an active finding. `digest` tells whether any of this differs.
    """

    decisions: list[Decision]
    holds_until_ms: int
    severities: dict[str, Severity]
    summaries: list[PackageSummary]
    digest: bytes


class SubdirVerdicts:
    """The verdicts of all buckets of a subdir, before closure.

    `buckets`: None where nothing was judged, and what the previous publication decided holds. `rows`: for each bucket
    the previous publication's row of the same records (-1: there is none).
    """

    def __init__(self, blobs: IndexBlobs, source: SourceMap, previous: PublicationMap | None, judging: Judging) -> None:
        self.source = source
        self.previous = PreviousSubdir(blobs, previous)
        self.rows = self.previous.rows_of(source)
        self.buckets: list[BucketVerdicts | None] = []
        self._blobs, self._judging = blobs, judging
        self._severities: dict[int, Severity] = {}
        self._alive: list[Sequence[Assessment | None]] = []  # ids above stay true while these live
        self._firsts = [bucket.first for bucket in source.buckets]
        self._stops: dict[int, dict[str, dict[str, Decision]]] = {}  # by bucket, name and file name

    @classmethod
    def of(
        cls,
        blobs: IndexBlobs,
        source: SourceMap,
        previous: PublicationMap | None,
        judging: Judging,
        rejudge: Collection[str] | None,
    ) -> SubdirVerdicts:
        """Judge what must be judged; see `publishing.publish`."""
        found = cls(blobs, source, previous, judging)
        names = None if rejudge is None else frozenset(rejudge)
        must = [found._must_judge(at, names) for at in range(len(source.buckets))]
        fresh = found.judge([bucket for bucket, is_due in zip(source.buckets, must, strict=True) if is_due])
        found.buckets = [next(fresh) if is_due else None for is_due in must]
        return found

    def _must_judge(self, at: int, rejudge: frozenset[str] | None) -> bool:
        if self.rows[at] < 0 or rejudge is None:
            return True
        bucket, row = self.source.buckets[at], self.previous.rows[self.rows[at]]
        if 0 < row.holds_until_ms <= self._judging.now_ms:
            return True
        return bool(rejudge) and not rejudge.isdisjoint(self.source.names[bucket.first : bucket.end])

    def row(self, at: int) -> PublishedBucket | None:
        """The previous publication's row of the same records."""
        return self.previous.rows[self.rows[at]] if self.rows[at] >= 0 else None

    def rows_with_closure(self) -> set[int]:
        """The buckets of which the closure may have said something before."""
        return {at for at, row in enumerate(self.rows) if row >= 0 and self.previous.has_closure(row)}

    def is_same(self, at: int) -> bool:
        """Whether the policy says of a bucket what it said before."""
        judged, row = self.buckets[at], self.row(at)
        return row is not None and (judged is None or judged.digest == row.judged)

    def settle(self, reached: Collection[int]) -> None:
        """Judge what the closure reached; the other buckets keep what they had where the policy says the same."""
        again = [at for at in sorted(reached) if self.buckets[at] is None]
        for at, judged in zip(again, self.judge([self.source.buckets[at] for at in again]), strict=True):
            self.buckets[at] = judged
        for at in range(len(self.buckets)):
            if at not in reached and self.is_same(at):
                self.buckets[at] = None

    def judge(self, buckets: Sequence[Bucket]) -> Iterator[BucketVerdicts]:
        """Judge every record of these buckets, in order."""
        for start in range(0, len(buckets), _BUCKETS_AT_ONCE):
            run = buckets[start : start + _BUCKETS_AT_ONCE]
            facts = list(iterate_facts(self._blobs, run))
            depends: Sequence[Sequence[NameDepends | None]]
            if self._judging.reads_depends:
                depends = list(iterate_depends(self._blobs, run))
            else:
                depends = [[None] * len(names) for names in facts]
            components = [
                (f.name, version, purls) for bucket in facts for f in bucket for version, purls in f.components
            ]
            assessments = self._judging.assess(components)
            self._alive.append(assessments)
            at = 0
            for names, lists in zip(facts, depends, strict=True):
                end = at + sum(len(f.components) for f in names)
                yield self._judge_bucket(names, lists, assessments[at:end])
                at = end

    def _judge_bucket(
        self,
        names: Sequence[NameFacts],
        lists: Sequence[NameDepends | None],
        assessments: Sequence[Assessment | None],
    ) -> BucketVerdicts:
        curation = self._judging.curation
        subdir = self.source.subdir
        decisions: list[Decision] = []
        severities: dict[str, Severity] = {}
        summaries: list[PackageSummary] = []
        holds = 0
        at = 0
        for facts, depends in zip(names, lists, strict=True):
            mine = assessments[at : at + len(facts.components)]
            at += len(mine)
            if any(mine) or curation:
                self._rate(facts, mine, severities)
            told = len(decisions)
            for record, verdict in self._judge_name(facts, depends, mine):
                if verdict.holds_until_ms and (not holds or verdict.holds_until_ms < holds):
                    holds = verdict.holds_until_ms
                if verdict.action or verdict.reasons or verdict.excepted:
                    decisions.append(_decision(record, verdict, severities.get(record.fn, Severity.unknown)))
            summaries.append(summarize(facts, subdir, decisions[told:], severities))
        said = encode_decisions(decisions) + repr((holds, sorted(severities.items()))).encode()
        return BucketVerdicts(decisions, holds, severities, summaries, hashlib.blake2b(said, digest_size=16).digest())

    def _judge_name(
        self, facts: NameFacts, depends: NameDepends | None, assessments: Sequence[Assessment | None]
    ) -> Iterator[tuple[RecordFacts, Verdict]]:
        """Every record of a name about which there is something to say, and what."""
        judge, _, channel, now_ms, curation, _, _ = self._judging
        subdir = self.source.subdir
        for position in self._suspects(facts, depends, assessments):
            record = facts.record_at(position, subdir, depends)
            assessment = assessments[facts.component_of[position]]
            if curation:
                assessment = curation.get(f"{subdir}/{record.fn}", assessment)
            verdict = judge(record, assessment, channel, now_ms)
            if verdict is not GO:
                yield record, verdict

    def _suspects(
        self, facts: NameFacts, depends: NameDepends | None, assessments: Sequence[Assessment | None]
    ) -> Iterable[int]:
        """The positions of the records that the policy has to look at."""
        judging, subdir = self._judging, self.source.subdir
        if judging.touched is None or (
            judging.curation and any(f"{subdir}/{fn}" in judging.curation for fn in facts.fns)
        ):
            return range(len(facts.fns))
        return judging.touched(
            facts, lambda at: facts.record_at(at, subdir, depends), assessments, judging.channel, judging.now_ms
        )

    def _rate(
        self, facts: NameFacts, assessments: Sequence[Assessment | None], severities: dict[str, Severity]
    ) -> None:
        rated = [self._severity(assessment) for assessment in assessments]
        if any(rated):
            severities.update((fn, rated[c]) for fn, c in zip(facts.fns, facts.component_of, strict=True) if rated[c])
        for fn in facts.fns if self._judging.curation else ():
            own = self._judging.curation.get(f"{self.source.subdir}/{fn}")
            if own is not None:
                severities.pop(fn, None)
                if severity := worst_severity(own):
                    severities[fn] = severity

    def _severity(self, assessment: Assessment | None) -> Severity:
        if assessment is None or not assessment.findings:
            return Severity.unknown
        known = self._severities.get(id(assessment))
        if known is None:
            known = self._severities[id(assessment)] = worst_severity(assessment)
        return known

    def stopped_names(self) -> list[str]:
        """The names of which the policy withholds something."""
        unread = [row for row, judged in zip(self.rows, self.buckets, strict=True) if judged is None]
        self.previous.read(unread)
        return [name for at in range(len(self.buckets)) for name in self._stops_of(at)]

    def stops(self, position: int) -> Mapping[str, Decision]:
        """What the policy withholds of the name at a position, by file name."""
        at = bisect_right(self._firsts, position) - 1
        return self._stops_of(at).get(self.source.names[position], {})

    def _stops_of(self, at: int) -> dict[str, dict[str, Decision]]:
        found = self._stops.get(at)
        if found is None:
            found = self._stops[at] = {}
            judged = self.buckets[at]
            told = judged.decisions if judged else chain.from_iterable(self.previous.told_in(self.rows[at]).values())
            for decision in told:
                if decision.action == Action.stop and policy_stop(decision) is not None:
                    found.setdefault(decision.name, {})[decision.fn] = decision
        return found


def merge_closure(
    decisions: Sequence[Decision],
    falls: BucketFalls,
    names: Sequence[NameFacts],
    severities: Mapping[str, Severity],
) -> list[Decision]:
    """The decisions with those of the closure, ordered by name and file name."""
    by_name: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_name.setdefault(decision.name, []).append(decision)
    merged: list[Decision] = []
    for place, facts in enumerate(names):
        told = by_name.get(facts.name, [])
        if place in falls:
            told = _merge_name({decision.fn: decision for decision in told}, falls[place], facts, severities)
        merged += sorted(told, key=attrgetter("fn"))
    return merged


def _merge_name(
    told: dict[str, Decision], falls: NameFalls, facts: NameFacts, severities: Mapping[str, Severity]
) -> list[Decision]:
    """The decisions on one name with those of the closure."""
    versions = [version for version, _ in facts.components]
    for record, (reason, culprits, item, until_ms) in falls.closed(facts.fns):
        fn = facts.fns[record]
        old = told.get(fn)
        action = Action.go if item else Action.stop
        reasons: tuple[Reason, ...] = () if item else (reason,)
        excepted: tuple[tuple[str, Reason], ...] = ((item, reason),) if item else ()
        if old is not None:
            if old.action == Action.stop:
                continue
            action, reasons, excepted = max(action, old.action), (*reasons, *old.reasons), (*old.excepted, *excepted)
            until_ms = earliest(old.holds_until_ms, until_ms)
        told[fn] = Decision(
            fn, facts.name, versions[facts.component_of[record]], facts.builds[record], facts.sizes[record], action,
            reasons, excepted, until_ms, severities.get(fn, Severity.unknown), culprits=culprits,
        )  # fmt: skip
    return list(told.values())


def _decision(record: RecordFacts, verdict: Verdict, severity: Severity) -> Decision:
    return Decision(
        record.fn, record.name, record.version, record.build, record.size_bytes, verdict.action, verdict.reasons,
        verdict.excepted, verdict.holds_until_ms, severity,
    )  # fmt: skip


def summarize(
    facts: NameFacts, subdir: str, decisions: Sequence[Decision], severities: Mapping[str, Severity]
) -> PackageSummary:
    """One name's summary, given its decisions."""
    stop, warn, unknown = Action.stop, Action.warn, Severity.unknown  # an enumeration's members are looked up slowly
    withheld = {d.fn for d in decisions if d.action == stop}
    latest = facts.latest
    rated = [fn for fn in facts.fns if fn in severities] if severities else []
    severity = max([severities[fn] for fn in rated], default=unknown)
    kept_severity = max([severities[fn] for fn in rated if fn not in withheld], default=unknown)
    if withheld:
        kept = {c for fn, c in zip(facts.fns, facts.component_of, strict=True) if fn not in withheld}
        versions = [facts.components[c][0] for c in kept]
        latest = latest if latest in versions else latest_version(versions)
    return PackageSummary(
        facts.name, subdir, len({version for version, _ in facts.components}), len(facts.fns), len(withheld),
        sum([d.action == warn for d in decisions]), latest, facts.latest,
        tuple(dict.fromkeys(text for text, _ in facts.licenses if text))[:_LICENSES_MAX], severity, kept_severity,
    )  # fmt: skip


def count(records: int, decisions: Sequence[Decision], severities: Mapping[str, Severity]) -> Counts:
    """The counts of one bucket."""
    counts = Counts(records=records)
    stop, warn = Action.stop, Action.warn  # an enumeration's members are looked up slowly
    rules: list[str] = []
    gates: list[str] = []
    withheld: list[Severity] = []
    for decision in decisions:
        action, reasons = decision.action, decision.reasons
        if action == stop:
            withheld.append(decision.severity)
        elif action == warn:
            counts.warned += 1
        if decision.excepted:
            counts.excepted += 1
        if len(reasons) == 1:
            rules.append(reasons[0].rule_id)
            gates.append(reasons[0].gate)
        else:
            rules += {reason.rule_id for reason in reasons}
            gates += {reason.gate for reason in reasons}
    counts.withheld = len(withheld)
    counts.kept = records - counts.withheld
    counts.by_rule, counts.by_gate = dict(Counter(rules)), dict(Counter(gates))
    counts.by_severity = {severity.name: number for severity, number in Counter(severities.values()).items()}
    counts.withheld_by_severity = {severity.name: number for severity, number in Counter(withheld).items() if severity}
    return counts


__all__ = ["BucketVerdicts", "Judging", "SubdirVerdicts", "count", "merge_closure", "summarize"]
