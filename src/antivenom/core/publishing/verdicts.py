"""The policy's verdicts in one subdir, bucket by bucket: judged now, or the previous publication's."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.advisories import Assessment, Severity
from antivenom.core.matching.assessment_plan import on_subdir
from antivenom.core.matching.build_statements import BUILD_STATEMENT
from antivenom.core.policy.compile import GO, Action, Verdict
from antivenom.core.policy.fixes import NameRecords, is_waiting, release_fixes, sort_records
from antivenom.core.publication.previous_publication import PreviousSubdir, policy_stop
from antivenom.core.publication.publication_map import (
    Decision,
    PackageSummary,
    PublicationMap,
    PublishedBucket,
    worst_severity,
)
from antivenom.core.publishing.decisions import summarize
from antivenom.core.publishing.request import Judge, PublishRequest
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_map import (
    Bucket,
    Component,
    NameDepends,
    NameFacts,
    SourceMap,
    iterate_depends,
    iterate_facts,
)

_BUCKETS_AT_ONCE = 64  # components of so many buckets are assessed by one call
_encode = msgspec.msgpack.Encoder().encode


class BucketVerdicts(NamedTuple):
    """What the policy decides in one bucket.

    `severities` has the file names whose component has an active finding. Where `digest` is equal, all of this is.
    """

    decisions: list[Decision]
    holds_until_ms: int
    severities: dict[str, Severity]
    summaries: list[PackageSummary]
    digest: bytes


class SubdirVerdicts:
    """The verdicts of all buckets of a subdir, before the closure.

    `buckets`: None where nothing was judged, for the previous publication's decisions hold. `rows`: for each bucket,
    the previous publication's row of the same records; -1 when there is none. `parts`: of names that were judged and of
    which a record waits for a cooldown, what becomes of each record by the rules alone. `fixes`: names that need a fix.
    `judged_again`: how often some buckets were judged once more.
    """

    def __init__(
        self, blobs: IndexBlobs, source: SourceMap, previous: PublicationMap | None, request: PublishRequest
    ) -> None:
        self.source = source
        self.previous = PreviousSubdir(blobs, previous)
        self.rows = self.previous.rows_of(source)
        self.buckets: list[BucketVerdicts | None] = []
        self._blobs, self._request = blobs, request
        self._severities: dict[Assessment, Severity] = {}
        self._narrowed: dict[Assessment, Assessment] = {}
        self._firsts = [bucket.first for bucket in source.buckets]
        self._stops: dict[int, dict[str, dict[str, Decision]]] = {}  # by bucket, name and file name
        self.positions = {name: i for i, name in enumerate(source.names)}
        self.parts: dict[str, NameRecords] = {}
        self.fixes: list[str] = []
        self.judged_again = 0
        self._wanted: set[str] = set()  # names of which `parts` are needed, even if nothing waits
        self._released: dict[str, Verdict] = {}  # by file name

    @classmethod
    def of(
        cls,
        blobs: IndexBlobs,
        source: SourceMap,
        previous: PublicationMap | None,
        request: PublishRequest,
        names: frozenset[str] | None,
    ) -> SubdirVerdicts:
        """Judge what must be judged: `names` (None: all), and what changed; see `PublishRequest.rejudge`."""
        found = cls(blobs, source, previous, request)
        must = [found._must_judge(at, names) for at in range(len(source.buckets))]
        fresh = found.judge([bucket for bucket, is_due in zip(source.buckets, must, strict=True) if is_due])
        found.buckets = [next(fresh) if is_due else None for is_due in must]
        return found

    def _must_judge(self, at: int, rejudge: frozenset[str] | None) -> bool:
        if self.rows[at] < 0 or rejudge is None:
            return True
        bucket, row = self.source.buckets[at], self.previous.rows[self.rows[at]]
        if 0 < row.holds_until_ms <= self._request.now_ms:
            return True
        return bool(rejudge) and not rejudge.isdisjoint(self.source.names[bucket.first : bucket.end])

    def row(self, at: int) -> PublishedBucket | None:
        """The previous publication's row of the same records."""
        return self.previous.rows[self.rows[at]] if self.rows[at] >= 0 else None

    def rows_with_closure(self) -> set[int]:
        """The buckets in which the closure may have decided something before."""
        return {at for at, row in enumerate(self.rows) if row >= 0 and self.previous.has_closure(row)}

    def is_same(self, at: int) -> bool:
        """Whether the policy's verdicts of a bucket are the previous ones."""
        judged, row = self.buckets[at], self.row(at)
        return row is not None and (judged is None or judged.digest == row.verdicts_digest)

    def settle(self, reached: Collection[int]) -> None:
        """Judge the buckets that the closure reached; drop the verdicts of others where they are the previous ones."""
        again = [at for at in sorted(reached) if self.buckets[at] is None]
        for at, judged in zip(again, self.judge([self.source.buckets[at] for at in again]), strict=True):
            self.buckets[at] = judged
        for at in range(len(self.buckets)):
            if at not in reached and self.is_same(at):
                self.buckets[at] = None

    def place_of(self, name: str) -> tuple[int, int]:
        """The bucket of a name that is listed, and the name's place in it."""
        position = self.positions[name]
        at = bisect_right(self._firsts, position) - 1
        return at, position - self._firsts[at]

    def is_judged(self, name: str) -> bool:
        """Whether a name that is listed was judged now."""
        return self.buckets[self.place_of(name)[0]] is not None

    def judge_whole(self, name: str) -> None:
        """Judge a name that is listed, and keep what becomes of each of its records in `parts`."""
        self._wanted.add(name)
        self._judge_again({self.place_of(name)[0]})

    def release(self, released: Mapping[str, Verdict], names: Collection[str]) -> None:
        """Put these verdicts, by file name, in place of those of the rules (and of what was released before).

        Args:
            names: The names concerned.
        """
        if released != self._released:
            self._released = dict(released)
            self._judge_again({self.place_of(name)[0] for name in names})

    def _judge_again(self, places: Collection[int]) -> None:
        self.judged_again += 1
        again = sorted(places)
        for at, judged in zip(again, self.judge([self.source.buckets[at] for at in again]), strict=True):
            self.buckets[at] = judged
            self._stops.pop(at, None)

    def changed_names(self) -> set[str]:
        """The names with other records than in the previous publication, or of which the policy stops others."""
        if self.previous.map is None:
            return set()
        found: set[str] = set()
        if self.previous.map.source_shards != self.source.shards or self.previous.names != self.source.names:
            old = dict(zip(self.previous.names, self.previous.map.source_shards.to_rows(), strict=True))
            new = dict(zip(self.source.names, self.source.shards.to_rows(), strict=True))
            found = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        for at, (bucket, judged) in enumerate(zip(self.source.buckets, self.buckets, strict=True)):
            if judged is not None and not self.is_same(at):
                for name in self.source.names[bucket.first : bucket.end]:
                    before = {d.fn for d in self.previous.decisions_of_name(name) if policy_stop(d) is not None}
                    if before != self._stops_of(at).get(name, {}).keys():
                        found.add(name)
        return found

    def judge(self, buckets: Sequence[Bucket]) -> Iterator[BucketVerdicts]:
        """Judge every record of these buckets, in order."""
        for start in range(0, len(buckets), _BUCKETS_AT_ONCE):
            run = buckets[start : start + _BUCKETS_AT_ONCE]
            facts = list(iterate_facts(self._blobs, run))
            depends: Sequence[Sequence[NameDepends | None]]
            if self._request.policy.reads_depends:
                depends = list(iterate_depends(self._blobs, run))
            else:
                depends = [[None] * len(names) for names in facts]
            components = [
                Component(f.name, version, purls) for bucket in facts for f in bucket for version, purls in f.components
            ]
            assessments = self._on_this_subdir(self._request.assess(components))
            at = 0
            for names, lists in zip(facts, depends, strict=True):
                end = at + sum(len(f.components) for f in names)
                yield self._judge_bucket(names, lists, assessments[at:end])
                at = end

    def _on_this_subdir(self, assessments: Sequence[Assessment | None]) -> Sequence[Assessment | None]:
        """The assessments without findings of other platforms; components share them, and each is looked at once."""
        known = self._narrowed
        answers: list[Assessment | None] = []
        for assessment in assessments:
            if assessment is None or not assessment.findings:
                answers.append(assessment)
                continue
            narrowed = known.get(assessment)
            if narrowed is None:
                narrowed = known[assessment] = on_subdir(assessment, self.source.subdir)
            answers.append(narrowed)
        return answers

    def _judge_bucket(
        self,
        names: Sequence[NameFacts],
        lists: Sequence[NameDepends | None],
        assessments: Sequence[Assessment | None],
    ) -> BucketVerdicts:
        build_assessments = self._request.build_assessments
        subdir = self.source.subdir
        decisions: list[Decision] = []
        severities: dict[str, Severity] = {}
        summaries: list[PackageSummary] = []
        holds = 0
        at = 0
        for facts, depends in zip(names, lists, strict=True):
            mine = assessments[at : at + len(facts.components)]
            at += len(mine)
            if any(mine) or build_assessments:
                self._rate(facts, mine, severities)
            before = len(decisions)
            for record, verdict in self._judge_name(facts, depends, mine):
                if verdict.holds_until_ms and (not holds or verdict.holds_until_ms < holds):
                    holds = verdict.holds_until_ms
                if verdict.action or verdict.reasons or verdict.excepted:
                    decisions.append(_decision(record, verdict, severities.get(record.fn, Severity.unknown)))
            actions = {decision.fn: decision.action for decision in decisions[before:]}
            summaries.append(summarize(facts, subdir, actions, severities))
        encoded = _encode(decisions) + repr((holds, sorted(severities.items()))).encode()
        return BucketVerdicts(
            decisions, holds, severities, summaries, hashlib.blake2b(encoded, digest_size=16).digest()
        )

    def _judge_name(
        self, facts: NameFacts, depends: NameDepends | None, assessments: Sequence[Assessment | None]
    ) -> Iterator[tuple[RecordFacts, Verdict]]:
        """The records of a name whose verdict is not GO, and the verdicts."""
        found = self._judge_records(facts, depends, assessments)
        cooldowns, now_ms = self._request.policy.fix_cooldowns, self._request.now_ms
        if not cooldowns:
            return found
        judged = list(found)
        if facts.name in self._wanted or any(is_waiting(*one, cooldowns, now_ms) for one in judged):
            self.parts[facts.name] = sort_records(
                self.source.subdir, cooldowns, judged, facts.fns, facts.builds, now_ms
            )
        released = self._released
        return ((record, released.get(record.fn, verdict)) for record, verdict in judged)

    def _judge_records(
        self, facts: NameFacts, depends: NameDepends | None, assessments: Sequence[Assessment | None]
    ) -> Iterator[tuple[RecordFacts, Verdict]]:
        """The records of a name on which the rules decide anything, each for itself."""
        request, judge = self._request, self._request.policy.judge
        build_assessments = request.build_assessments
        subdir = self.source.subdir
        for position in self._positions_to_judge(facts, depends, assessments):
            record = facts.record_at(position, subdir, depends)
            assessment = assessments[facts.component_of[position]]
            verdict = judge(record, assessment, request.channel, request.now_ms)
            if build_assessments and (own := build_assessments.get(f"{subdir}/{record.fn}")) is not None:
                verdict = _judge_own(request.policy, record, own, verdict, request.channel, request.now_ms)
            if verdict is not GO:
                yield record, verdict

    def _positions_to_judge(
        self, facts: NameFacts, depends: NameDepends | None, assessments: Sequence[Assessment | None]
    ) -> Iterable[int]:
        """The positions of the records that the policy has to look at."""
        request, subdir = self._request, self.source.subdir
        if request.build_assessments and any(f"{subdir}/{fn}" in request.build_assessments for fn in facts.fns):
            return range(len(facts.fns))
        return request.policy.touched_positions(
            facts, lambda at: facts.record_at(at, subdir, depends), assessments, request.channel, request.now_ms
        )

    def _rate(
        self, facts: NameFacts, assessments: Sequence[Assessment | None], severities: dict[str, Severity]
    ) -> None:
        rated = [self._severity(assessment) for assessment in assessments]
        if any(rated):
            severities.update((fn, rated[c]) for fn, c in zip(facts.fns, facts.component_of, strict=True) if rated[c])
        for fn in facts.fns if self._request.build_assessments else ():
            own = self._request.build_assessments.get(f"{self.source.subdir}/{fn}")
            if own is not None:
                severities.pop(fn, None)
                if severity := worst_severity(on_subdir(own, self.source.subdir)):
                    severities[fn] = severity

    def _severity(self, assessment: Assessment | None) -> Severity:
        if assessment is None or not assessment.findings:
            return Severity.unknown
        known = self._severities.get(assessment)
        if known is None:
            known = self._severities[assessment] = worst_severity(assessment)
        return known

    def stopped_names(self) -> list[str]:
        """The names with a record that the policy withholds."""
        unread = [row for row, judged in zip(self.rows, self.buckets, strict=True) if judged is None]
        self.previous.read(unread)
        return [name for at in range(len(self.buckets)) for name in self._stops_of(at)]

    def stops(self, position: int) -> Mapping[str, Decision]:
        """The records that the policy withholds of the name at a position, by file name."""
        at = bisect_right(self._firsts, position) - 1
        return self._stops_of(at).get(self.source.names[position], {})

    def _stops_of(self, at: int) -> dict[str, dict[str, Decision]]:
        found = self._stops.get(at)
        if found is None:
            found = self._stops[at] = {}
            judged = self.buckets[at]
            decisions = (
                judged.decisions if judged else chain.from_iterable(self.previous.decisions_in(self.rows[at]).values())
            )
            for decision in decisions:
                if decision.action == Action.stop and policy_stop(decision) is not None:
                    found.setdefault(decision.name, {})[decision.fn] = decision
        return found


class RecordCase(NamedTuple):
    """A record, the assessment of its component, and that of its very build if the build states something."""

    record: RecordFacts
    assessment: Assessment | None
    own: Assessment | None = None


def judge_apart(
    policy: Judge, fn: str, cases: Sequence[RecordCase], channel: ChannelFacts, now_ms: int
) -> Verdict | None:
    """The verdict on one file, as publishing judges it among the records of its name in its subdir.

    None when no case has the file name.
    """
    judged: list[tuple[RecordFacts, Verdict]] = []
    for record, assessment, own in cases:
        if record.fn != fn and not policy.fix_cooldowns:
            continue
        narrowed = on_subdir(assessment, record.subdir) if assessment is not None else None
        verdict = policy.judge(record, narrowed, channel, now_ms)
        judged.append((record, _judge_own(policy, record, own, verdict, channel, now_ms) if own else verdict))
    if policy.fix_cooldowns:
        fns, builds = [case.record.fn for case in cases], [case.record.build for case in cases]
        judged = list(release_fixes(policy.fix_cooldowns, judged, fns, builds, now_ms))
    return next((verdict for record, verdict in judged if record.fn == fn), None)


def _judge_own(
    policy: Judge, record: RecordFacts, own: Assessment, without: Verdict, channel: ChannelFacts, now_ms: int
) -> Verdict:
    """The verdict by the assessment of the record's very build, where it would be another `without` that."""
    return _spare(policy.judge(record, on_subdir(own, record.subdir), channel, now_ms), without)


def _spare(verdict: Verdict, without: Verdict) -> Verdict:
    """The verdict by a build's own statements, with the reasons that it would have `without` them."""
    hits = {(reason.rule_id, reason.trigger_id) for reason in verdict.reasons}
    spared = [(BUILD_STATEMENT, r) for r in without.reasons if (r.rule_id, r.trigger_id) not in hits]
    return msgspec.structs.replace(verdict, excepted=(*verdict.excepted, *spared)) if spared else verdict


def _decision(record: RecordFacts, verdict: Verdict, severity: Severity) -> Decision:
    return Decision(
        record.fn, record.name, record.version, record.build, record.size_bytes, verdict.action, verdict.reasons,
        verdict.excepted, verdict.holds_until_ms, severity,
    )  # fmt: skip


__all__ = ["BucketVerdicts", "RecordCase", "SubdirVerdicts", "judge_apart"]
