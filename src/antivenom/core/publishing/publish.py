"""Makes publication maps from source maps, a policy and assessments.

What did not change is neither judged nor written again.

Three passes. *Judge*: every record of the buckets in question, assessments looked up once per component. *Propagate*:
what can no longer be installed is withheld too (core/closure). *Write*: only buckets whose decisions or records
changed; shards and pieces without withheld records are the source's own, byte for byte; the monolith is put together
from pieces.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from antivenom.core.closure.propagate import BucketClosure, FindException
from antivenom.core.policy.compile import Action, Reason
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import Counts, Decision, PublicationMap, load_publication
from antivenom.core.publishing.decisions import bucket_decisions, count_records
from antivenom.core.publishing.fix_releases import FixReleases
from antivenom.core.publishing.incremental_closure import IncrementalClosure
from antivenom.core.publishing.publication_writer import SubdirWriter
from antivenom.core.publishing.request import Judge, PublishRequest
from antivenom.core.publishing.verdicts import SubdirVerdicts
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_map import SourceMap, load_source, read_facts

Progress = Callable[[str, str, int, int], None]  # phase, subdir, done, total


class PublishedSubdir(msgspec.Struct, frozen=True):
    """The blobs of one published subdir. `monolith` is the key of `repodata.json.zst`, "" when none was made."""

    publication: str
    source: str
    monolith: str
    monolith_bytes: int
    monolith_text_bytes: int
    records: int
    kept: int
    withheld: int


class Published(msgspec.Struct, frozen=True):
    """The result of `publish`.

    `changed_names`: names whose served records or reasons differ from the previous publication's.
    """

    subdirs: dict[str, PublishedSubdir]
    counts: Counts
    holds_until_ms: int
    changed_names: list[str]
    unchanged: bool


class PlanItem(msgspec.Struct, frozen=True):
    """One record that a plan would withhold or release."""

    subdir: str
    fn: str
    name: str
    version: str
    build: str
    action: Action
    reasons: tuple[Reason, ...]


class Plan(msgspec.Struct, frozen=True):
    """The result of `plan`: newly withheld and released records (bounded lists, exact counts), and the counts after."""

    withheld: list[PlanItem]
    released: list[PlanItem]
    withheld_count: int
    released_count: int
    withheld_by_rule: dict[str, int]
    released_by_rule: dict[str, int]
    counts: Counts


PLAN_ITEMS_MAX = 20_000  # of each list; the counts are exact


def publish(
    blobs: IndexBlobs, request: PublishRequest, *, monolith: bool = True, on_progress: Progress | None = None
) -> Published:
    """Publish every subdir of a channel.

    Every record is kept or withheld, never both; a stop withholds, a warning does not. Their order never matters.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        run = _PublishRun(blobs, request, on_progress or _silent)
        verdicts = run.judge()
        return run.write(verdicts, run.propagate(verdicts), monolith=monolith)
    finally:
        if was_enabled:
            gc.enable()


def plan(
    blobs: IndexBlobs, request: PublishRequest, served: Mapping[str, str], *, on_progress: Progress | None = None
) -> Plan:
    """What `publish` would withhold and release, compared with the maps that are `served`, by subdir; writes nothing.

    They need not be those of `request.previous`: one of an earlier format, or one that lacks a blob, can be compared
    with, though nothing can be built on it.

    Raises:
        LostBlobError: What is served cannot be read.
        UnreadablePublicationError: Another release wrote it.
    """
    run = _PublishRun(blobs, request, on_progress or _silent)
    verdicts = run.judge()
    return run.compare(verdicts, run.propagate(verdicts), served)


def _silent(phase: str, subdir: str, done: int, total: int) -> None:
    del phase, subdir, done, total


def _exception_finder(policy: Judge, now_ms: int) -> FindException | None:
    """A finder of the allowlist item that puts a reason of the closure aside; None when no item can."""
    if not policy.closure_exceptions:
        return None
    return lambda reason, record: policy.except_closure(reason, record, now_ms)


def _closure_terms(request: PublishRequest) -> bytes:
    """A digest of what decides the closure besides records and verdicts; empty when there is to be no closure.

    Where it differs from the previous one, nothing of the previous closure holds.
    """
    if not request.closure:
        return b""
    terms = msgspec.json.encode([sorted(request.sources), request.policy.closure_exceptions])
    return hashlib.blake2b(terms, digest_size=16).digest()


class _PublishRun:
    """One publish: the loaded maps and the passes over them."""

    def __init__(self, blobs: IndexBlobs, request: PublishRequest, on_progress: Progress) -> None:
        self.blobs, self.request, self.on_progress = blobs, request, on_progress
        self.closure_terms = _closure_terms(request)
        self.sources: dict[str, SourceMap] = {
            subdir: load_source(blobs, key) for subdir, key in request.sources.items()
        }
        self.previous: dict[str, PublicationMap] = {
            subdir: load_publication(blobs, request.previous[subdir])
            for subdir in request.sources
            if subdir in request.previous
        }

    def judge(self) -> dict[str, SubdirVerdicts]:
        """The policy's verdicts, by subdir."""
        found = {}
        names = self._names_to_judge()
        for subdir, source in self.sources.items():
            self.on_progress("judge", subdir, 0, source.records)
            found[subdir] = SubdirVerdicts.of(self.blobs, source, self.previous.get(subdir), self.request, names)
            self.on_progress("judge", subdir, source.records, source.records)
        return found

    def _names_to_judge(self) -> frozenset[str] | None:
        """The names to judge, besides those whose records changed; None: all."""
        rejudge = self.request.rejudge
        if rejudge is None or (self.request.policy.fix_cooldowns and self.previous.keys() != self.sources.keys()):
            return None
        return frozenset(rejudge).union(*(known.fixes for known in self.previous.values()))

    def propagate(self, verdicts: Mapping[str, SubdirVerdicts]) -> dict[str, dict[int, BucketClosure]]:
        """The closure's decisions, by subdir and bucket; releases the fixes that cooldowns let through."""
        cooldowns = self.request.policy.fix_cooldowns
        if not cooldowns:
            return self._close(verdicts)
        fixes = FixReleases(verdicts, cooldowns)
        fixes.release()
        closures = self._close(verdicts)
        while not fixes.settle(closures):
            closures = self._close(verdicts)
        return closures

    def _close(self, verdicts: Mapping[str, SubdirVerdicts]) -> dict[str, dict[int, BucketClosure]]:
        """The closure's decisions, by subdir and bucket."""
        if not self.closure_terms:
            for found in verdicts.values():
                found.settle(found.rows_with_closure())
            return {subdir: {} for subdir in verdicts}
        self.on_progress("closure", "", 0, 1)
        before = [self.previous[subdir].closure_terms if subdir in self.previous else b"" for subdir in verdicts]
        anew = any(terms != self.closure_terms for terms in before)
        find_exception = _exception_finder(self.request.policy, self.request.now_ms)
        return IncrementalClosure(self.blobs, verdicts, find_exception, anew=anew).propagate()

    def write(
        self,
        verdicts: Mapping[str, SubdirVerdicts],
        closures: Mapping[str, Mapping[int, BucketClosure]],
        *,
        monolith: bool,
    ) -> Published:
        """Write the publication maps."""
        subdirs: dict[str, PublishedSubdir] = {}
        counts: list[Counts] = []
        changed: set[str] = set()
        holds = []
        for subdir, source in self.sources.items():
            self.on_progress("write", subdir, 0, len(source.buckets))
            source_key = self.request.sources[subdir]
            writer = SubdirWriter(self.blobs, source, source_key, self.previous.get(subdir), verdicts[subdir])
            made = writer.write(
                closures.get(subdir, {}), self.request.now_ms, monolith=monolith, closure_terms=self.closure_terms
            )
            key = self.request.previous[subdir] if made.unchanged else made.key
            published = made.map
            changed |= made.changed
            counts.append(published.counts)
            if published.holds_until_ms:
                holds.append(published.holds_until_ms)
            subdirs[subdir] = PublishedSubdir(
                publication=key,
                source=source_key,
                monolith=published.monolith,
                monolith_bytes=published.monolith_bytes,
                monolith_text_bytes=published.monolith_text_bytes,
                records=published.counts.records,
                kept=published.counts.kept,
                withheld=published.counts.withheld,
            )
        unchanged = {s: p.publication for s, p in subdirs.items()} == dict(self.request.previous)
        return Published(subdirs, Counts.sum(counts), min(holds, default=0), sorted(changed), unchanged)

    def compare(
        self,
        verdicts: Mapping[str, SubdirVerdicts],
        closures: Mapping[str, Mapping[int, BucketClosure]],
        served: Mapping[str, str],
    ) -> Plan:
        """Compare the publication with the one that is served."""
        withheld: list[PlanItem] = []
        released: list[PlanItem] = []
        counts: list[Counts] = []
        for subdir, found in verdicts.items():
            rows = set(range(len(found.previous.rows)))
            after: dict[str, Decision] = {}
            by_bucket = closures.get(subdir, {})
            for at, (bucket, judged) in enumerate(zip(found.source.buckets, found.buckets, strict=True)):
                if judged is None:
                    counts.append(found.previous.rows[found.rows[at]].counts)
                    rows.remove(found.rows[at])
                    continue
                names = read_facts(self.blobs, bucket) if at in by_bucket else ()
                decided = bucket_decisions(judged.decisions, by_bucket.get(at, {}), names, judged.severities)
                counts.append(count_records(bucket.records, decided, judged.severities))
                after.update((d.fn, d) for name in decided for d in name.decisions() if d.action == Action.stop)
            if subdir in served and subdir not in self.previous:
                before = PublicationIndex.open(self.blobs, served[subdir]).stops()
            else:
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
        found.update([*dict.fromkeys(reason.rule_id for reason in item.reasons if reason.action == Action.stop)])
    return dict(found)


__all__ = ["Plan", "PlanItem", "Published", "PublishedSubdir", "plan", "publish"]
