"""Publish: source maps × policy × assessments → publication maps.

What did not change is neither judged nor written again.

Three passes. *Judge*: every record of the buckets in question, assessments looked up once per component. *Close*: what
can no longer be installed falls too (`closure.py`). *Write*: only buckets whose decisions or records changed; shards
and pieces without withheld records are the source's own, byte for byte; the monolith is put together from pieces.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from antivenom.core.closure.propagate import BucketFalls, Except
from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.advisories import Assessment
from antivenom.core.policy.compile import Action, Reason, Verdict
from antivenom.core.publication.publication_map import Counts, Decision, PublicationMap, load_publication
from antivenom.core.publishing.decisions import bucket_decisions, count_records
from antivenom.core.publishing.incremental_closure import IncrementalClosure
from antivenom.core.publishing.publication_writer import SubdirWriter
from antivenom.core.publishing.verdicts import Component, Judging, SubdirVerdicts
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_map import SourceMap, iterate_components, load_source, read_facts

Assess = Callable[[Sequence[Component]], Sequence[Assessment | None]]
Progress = Callable[[str, str, int, int], None]  # phase, subdir, done, total


class Judge(Protocol):
    """What publishing asks of a policy; `CompiledPolicy` is one."""

    def judge(self, record: RecordFacts, assessment: Assessment | None, channel: ChannelFacts, now_ms: int) -> Verdict:
        """The verdict; the constant GO when nothing applies."""
        ...


class PublishedSubdir(msgspec.Struct, frozen=True):
    """The blobs of one published subdir. `monolith` is the key of `repodata.json.zst` ("" when it was not asked
    for)."""

    publication: str
    source: str
    monolith: str
    monolith_bytes: int
    monolith_text_bytes: int
    records: int
    kept: int
    withheld: int


class Published(msgspec.Struct, frozen=True):
    """What a publish made. `changed_names`: names whose served records or reasons differ from the previous
    publication."""

    subdirs: dict[str, PublishedSubdir]
    counts: Counts
    holds_until_ms: int
    changed_names: list[str]
    unchanged: bool


class PlanItem(msgspec.Struct, frozen=True):
    """One record whose fate a plan would change."""

    subdir: str
    fn: str
    name: str
    version: str
    build: str
    action: Action
    reasons: tuple[Reason, ...]


class Plan(msgspec.Struct, frozen=True):
    """What publishing would change: newly withheld and released records (bounded lists, exact counts), and the
    result."""

    withheld: list[PlanItem]
    released: list[PlanItem]
    withheld_count: int
    released_count: int
    withheld_by_rule: dict[str, int]
    released_by_rule: dict[str, int]
    counts: Counts


PLAN_ITEMS_MAX = 20_000  # of each list; the counts are exact


def publish(
    blobs: IndexBlobs,
    sources: Mapping[str, str],
    *,
    channel: ChannelFacts,
    policy: Judge,
    assess: Assess,
    now_ms: int,
    closure: bool = True,
    previous: Mapping[str, str] | None = None,
    rejudge: Collection[str] | None = None,
    build_assessments: Mapping[str, Assessment] | None = None,
    monolith: bool = True,
    on_progress: Progress | None = None,
) -> Published:
    """Publish every subdir of a channel.

    Every record is kept or withheld, never both; a stop withholds, a warning does not. Their order never matters.

    Args:
        sources: subdir → key of its source map.
        assess: Assessments of distinct components, in order; None where nothing is known.
        now_ms: Decides rule ages and exception expiry.
        previous: subdir → key of the publication that is served now.
        rejudge: Names whose assessment may have changed; None judges everything (another policy or channel setting).
            Names whose source changed or whose `holds_until` passed are always judged.
        build_assessments: "subdir/fn" → the assessment of that very build (its component's, and what its
            info/security.json states).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        run = _Run(blobs, sources, previous or {}, on_progress or _silent)
        verdicts = run.judge(_judging(policy, assess, channel, now_ms, build_assessments), rejudge)
        terms = _closure_terms(policy, sources) if closure else b""
        fallen = run.close(verdicts, terms, _excepting(policy, now_ms))
        return run.write(verdicts, fallen, now_ms, monolith=monolith, terms=terms)
    finally:
        if was_enabled:
            gc.enable()


def plan(
    blobs: IndexBlobs,
    sources: Mapping[str, str],
    *,
    channel: ChannelFacts,
    policy: Judge,
    assess: Assess,
    now_ms: int,
    closure: bool = True,
    previous: Mapping[str, str] | None = None,
    rejudge: Collection[str] | None = None,
    build_assessments: Mapping[str, Assessment] | None = None,
    on_progress: Progress | None = None,
) -> Plan:
    """What `publish` would withhold and release, compared with `previous`; writes nothing."""
    run = _Run(blobs, sources, previous or {}, on_progress or _silent)
    verdicts = run.judge(_judging(policy, assess, channel, now_ms, build_assessments), rejudge)
    fallen = run.close(verdicts, _closure_terms(policy, sources) if closure else b"", _excepting(policy, now_ms))
    return run.compare(verdicts, fallen)


def _silent(phase: str, subdir: str, done: int, total: int) -> None:
    del phase, subdir, done, total


def _judging(
    policy: Judge,
    assess: Assess,
    channel: ChannelFacts,
    now_ms: int,
    build_assessments: Mapping[str, Assessment] | None,
) -> Judging:
    return Judging(
        policy.judge,
        assess,
        channel,
        now_ms,
        build_assessments or {},
        getattr(policy, "touched", None),
        getattr(policy, "reads_depends", True),
    )


def _excepting(policy: Judge, now_ms: int) -> Except | None:
    """How the policy's allowlist speaks of the closure's reasons; None when no item of it does."""
    excepts = getattr(policy, "except_closure", None) if getattr(policy, "closure_exceptions", ()) else None
    return (lambda reason, record: excepts(reason, record, now_ms)) if excepts else None


def _closure_terms(policy: Judge, sources: Collection[str]) -> bytes:
    """What decides the closure besides records and verdicts; where it differs, nothing of the last one holds."""
    items = msgspec.json.encode([sorted(sources), getattr(policy, "closure_exceptions", ())])
    return hashlib.blake2b(items, digest_size=16).digest()


class _Run:
    """One publish: the loaded maps and the passes over them."""

    def __init__(
        self, blobs: IndexBlobs, sources: Mapping[str, str], previous: Mapping[str, str], on_progress: Progress
    ) -> None:
        self.blobs, self.source_keys, self.previous_keys, self.on_progress = blobs, sources, previous, on_progress
        self.sources: dict[str, SourceMap] = {subdir: load_source(blobs, key) for subdir, key in sources.items()}
        self.previous: dict[str, PublicationMap] = {
            subdir: load_publication(blobs, previous[subdir]) for subdir in sources if subdir in previous
        }

    def judge(self, judging: Judging, rejudge: Collection[str] | None) -> dict[str, SubdirVerdicts]:
        found = {}
        for subdir, source in self.sources.items():
            self.on_progress("judge", subdir, 0, source.records)
            found[subdir] = SubdirVerdicts.of(self.blobs, source, self.previous.get(subdir), judging, rejudge)
            self.on_progress("judge", subdir, source.records, source.records)
        return found

    def close(
        self, verdicts: Mapping[str, SubdirVerdicts], terms: bytes, excepts: Except | None
    ) -> dict[str, dict[int, BucketFalls]]:
        if not terms:
            for found in verdicts.values():
                found.settle(found.rows_with_closure())
            return {subdir: {} for subdir in verdicts}
        self.on_progress("closure", "", 0, 1)
        before = [self.previous[subdir].closure if subdir in self.previous else b"" for subdir in verdicts]
        anew = any(closure != terms for closure in before)
        return IncrementalClosure(self.blobs, verdicts, excepts, anew=anew).work_out()

    def write(
        self,
        verdicts: Mapping[str, SubdirVerdicts],
        fallen: Mapping[str, Mapping[int, BucketFalls]],
        now_ms: int,
        *,
        monolith: bool,
        terms: bytes,
    ) -> Published:
        subdirs: dict[str, PublishedSubdir] = {}
        counts = Counts()
        changed: set[str] = set()
        holds = []
        for subdir, source in self.sources.items():
            self.on_progress("write", subdir, 0, len(source.buckets))
            writer = SubdirWriter(
                self.blobs, source, self.source_keys[subdir], self.previous.get(subdir), verdicts[subdir]
            )
            made = writer.write(fallen.get(subdir, {}), now_ms, monolith=monolith, closure=terms)
            key = self.previous_keys[subdir] if made.unchanged else made.key
            published = made.map
            changed |= made.changed
            counts.add(published.counts)
            if published.holds_until_ms:
                holds.append(published.holds_until_ms)
            subdirs[subdir] = PublishedSubdir(
                publication=key,
                source=self.source_keys[subdir],
                monolith=published.monolith,
                monolith_bytes=published.monolith_bytes,
                monolith_text_bytes=published.monolith_text_bytes,
                records=published.counts.records,
                kept=published.counts.kept,
                withheld=published.counts.withheld,
            )
        unchanged = {s: p.publication for s, p in subdirs.items()} == dict(self.previous_keys)
        return Published(subdirs, counts, min(holds, default=0), sorted(changed), unchanged)

    def compare(self, verdicts: Mapping[str, SubdirVerdicts], fallen: Mapping[str, Mapping[int, BucketFalls]]) -> Plan:
        withheld: list[PlanItem] = []
        released: list[PlanItem] = []
        counts: list[Counts] = []
        for subdir, found in verdicts.items():
            rows = set(range(len(found.previous.rows)))
            after: dict[str, Decision] = {}
            by_bucket = fallen.get(subdir, {})
            for at, (bucket, judged) in enumerate(zip(found.source.buckets, found.buckets, strict=True)):
                if judged is None:
                    counts.append(found.previous.rows[found.rows[at]].counts)
                    rows.remove(found.rows[at])
                    continue
                names = read_facts(self.blobs, bucket) if at in by_bucket else ()
                decided = bucket_decisions(judged.decisions, by_bucket.get(at, {}), names, judged.severities)
                counts.append(count_records(bucket.records, decided, judged.severities))
                after.update((d.fn, d) for name in decided for d in name.decisions() if d.action == Action.stop)
            before = found.previous.stops(sorted(rows))
            withheld += [_item(subdir, decision) for fn, decision in after.items() if fn not in before]
            released += [_item(subdir, decision) for fn, decision in before.items() if fn not in after]
        return Plan(
            withheld=sorted(withheld, key=_place)[:PLAN_ITEMS_MAX],
            released=sorted(released, key=_place)[:PLAN_ITEMS_MAX],
            withheld_count=len(withheld),
            released_count=len(released),
            withheld_by_rule=_by_rule(withheld),
            released_by_rule=_by_rule(released),
            counts=Counts.sum(counts),
        )


def _item(subdir: str, decision: Decision) -> PlanItem:
    return PlanItem(
        subdir, decision.fn, decision.name, decision.version, decision.build, decision.action, decision.reasons
    )


def _place(item: PlanItem) -> tuple[str, str, str]:
    return item.name, item.subdir, item.fn


def _by_rule(items: Sequence[PlanItem]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for item in items:
        found.update({reason.rule_id for reason in item.reasons if reason.action == Action.stop})
    return dict(found)


__all__ = ["Assess", "Judge", "Plan", "Published", "PublishedSubdir", "iterate_components", "plan", "publish"]
