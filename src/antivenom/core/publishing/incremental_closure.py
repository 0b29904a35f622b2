"""The closure of a whole publication: from nothing, or from what the previous publication's closure decided.

From the previous one it works by *delete and re-derive*. A record is *touched* when it appeared, is gone, changed, or
when the policy decides otherwise about it. Decisions that a touched record caused are taken back, and their records
are touched too. The decisions that are left still hold, for no reason of theirs changed. Then the closure propagates
from the touched records. The work grows with what changed and what depends on it; other buckets are not even read.

Source: Gupta, Mumick and Subrahmanian 1993, Maintaining views incrementally.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from antivenom.core.closure.propagate import (
    BucketClosure,
    Closure,
    ClosureDecision,
    FindException,
    LostRecord,
    NameClosure,
    short_reason,
)
from antivenom.core.closure.requirements import NOARCH, decode_texts
from antivenom.core.conda.specs import Dependency, parse_dependency
from antivenom.core.publication.previous_publication import is_withheld_by_closure, policy_stop
from antivenom.core.publication.publication_map import Decision, without_filename
from antivenom.core.publishing.verdicts import SubdirVerdicts
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_map import BucketFrames, dependency_name, iterate_builds, iterate_depends

_Record = tuple[str, str, int, tuple[str, ...]]  # version, build, build number, dependencies


class _Touched(NamedTuple):
    """A touched record. `number` is None when its build number is not known: it then meets any that is asked for."""

    subdir: str
    fn: str
    name: str
    version: str
    build: str
    number: int | None

    def meets(self, dependency: Dependency) -> bool:
        """Whether it is (or was) what a dependency asks for."""
        return (
            dependency.admits_build(self.build)
            and (self.number is None or dependency.admits_number(self.number))
            and dependency.admits_version(self.version)
        )


class _SubdirState:
    """One subdir's withheld records during the propagation: the policy's now, and the closure's from before.

    `suspects`: position of a name → file names of records that may fall even if nothing that they need is lost.
    """

    def __init__(self, verdicts: SubdirVerdicts, *, keeps: bool) -> None:
        self.verdicts, self.source, self.previous = verdicts, verdicts.source, verdicts.previous
        self.suspects: dict[int, set[str]] = {}
        self.positions = {name: i for i, name in enumerate(self.source.names)}
        self._keeps = keeps
        self._taken_back: set[str] = set()
        self._by_dependency: dict[str, dict[str, list[Decision]]] = {}  # by name and text: what fell by it
        self._indexed: set[int] = set()

    def withheld(self, position: int) -> Mapping[str, Decision]:
        """The withheld records of the name at a position, by file name."""
        stops = self.verdicts.stops(position)
        earlier = self.earlier(self.source.names[position]) if self._keeps else {}
        return {**{fn: d for fn, d in earlier.items() if is_withheld_by_closure(d)}, **stops} if earlier else stops

    def earlier(self, name: str) -> dict[str, Decision]:
        """The closure's earlier decisions for a name that were not taken back."""
        if not self.previous.has_closure_of(name):
            return {}
        return {
            d.fn: d
            for d in self.previous.decisions_of_name(name)
            if d.broken_dependencies and d.fn not in self._taken_back
        }

    def suspect(self, name: str, fn: str) -> None:
        """Have a record looked at again, whatever the closure decided for it before."""
        self._taken_back.add(fn)
        position = self.positions.get(name)
        if position is not None:
            self.suspects.setdefault(position, set()).add(fn)

    def take_back(self, decisions: Iterable[Decision]) -> Iterator[_Touched]:
        """Take back the closure's earlier decisions for these records."""
        for d in decisions:
            if d.fn not in self._taken_back:
                self.suspect(d.name, d.fn)
                yield _Touched(self.source.subdir, d.fn, d.name, d.version, d.build, None)

    def fallen_by(self, name: str) -> dict[str, list[Decision]]:
        """The records that fell by a dependency on a name, by its text; complete once the name's users are indexed."""
        return self._by_dependency.get(name, {})

    def index(self, buckets: Collection[int]) -> None:
        """Index which records fell by which dependency, in some buckets and in those that are no longer listed."""
        rows = {self.verdicts.rows[at] for at in buckets} - {-1}
        if not self._indexed:
            rows |= set(range(len(self.previous.rows))).difference(self.verdicts.rows)
        rows = {row for row in rows - self._indexed if self.previous.has_closure(row)}
        self._indexed |= rows
        self.previous.read(sorted(rows))
        for row in rows:
            for of_name in self.previous.decisions_in(row).values():
                for decision in of_name:
                    for text in decision.broken_dependencies:
                        texts = self._by_dependency.setdefault(dependency_name(text), {})
                        texts.setdefault(text, []).append(decision)


class IncrementalClosure:
    """The closure of one publication; see the module.

    `anew`: from nothing, since nothing of the previous closure holds (its terms differ, or there is none).
    """

    def __init__(
        self,
        blobs: IndexBlobs,
        verdicts: Mapping[str, SubdirVerdicts],
        find_exception: FindException | None,
        *,
        anew: bool,
    ) -> None:
        self._blobs = blobs
        self._states = {subdir: _SubdirState(found, keeps=not anew) for subdir, found in verdicts.items()}
        self._closure = Closure(
            blobs,
            {subdir: found.source for subdir, found in verdicts.items()},
            {subdir: state.withheld for subdir, state in self._states.items()},
            find_exception,
        )
        self._anew, self._has_exceptions = anew, find_exception is not None
        self._dependencies: dict[str, Dependency | None] = {}

    def propagate(self) -> dict[str, dict[int, BucketClosure]]:
        """The closure's decisions, by subdir and bucket. Judges every bucket that has to be written again."""
        if self._anew:
            causes = {subdir: state.verdicts.stopped_names() for subdir, state in self._states.items()}
            falls = self._closure.propagate(causes)
        else:
            falls = self._propagate_changes()
        for subdir, state in self._states.items():
            state.verdicts.settle(self._reached(state, falls[subdir]))
            if not self._anew:
                self._add_earlier(state, falls[subdir])
        return falls

    def _reached(self, state: _SubdirState, falls: Mapping[int, BucketClosure]) -> set[int]:
        reached = set(falls)
        if self._anew:
            return reached | state.verdicts.rows_with_closure()
        bucket_of = self._closure.subdir(state.source.subdir).bucket_of
        return reached | {bucket_of(position) for position in state.suspects}

    def _add_earlier(self, state: _SubdirState, falls: dict[int, BucketClosure]) -> None:
        """Add the earlier decisions that still hold, in the buckets that are written again."""
        for at, (bucket, judged) in enumerate(zip(state.source.buckets, state.verdicts.buckets, strict=True)):
            if judged is None:
                continue
            for position in range(bucket.first, bucket.end):
                earlier = state.earlier(state.source.names[position])
                if earlier:
                    names = falls.setdefault(at, {})
                    new = names.get(position - bucket.first, NameClosure())
                    names[position - bucket.first] = new._replace(
                        earlier={fn: _closure_decision(d) for fn, d in earlier.items()}
                    )

    def _propagate_changes(self) -> dict[str, dict[int, BucketClosure]]:
        touched: list[_Touched] = []
        lost: dict[str, list[LostRecord]] = {}
        born: list[tuple[_Touched, bool]] = []
        for state in self._states.values():
            for record, is_new in self._changed_upstream(state):
                touched.append(record)
                born.append((record, is_new))
                if is_new:
                    state.suspect(record.name, record.fn)
                else:
                    lost.setdefault(record.name, []).append(record)
            touched += self._changed_by_policy(state)
            self._suspect_excepted(state)
        for record in touched:
            state = self._states[record.subdir]
            position = state.positions.get(record.name)
            if position is not None and record.fn in state.verdicts.stops(position):
                lost.setdefault(record.name, []).append(record)
        touched += self._suspect_noarch(born)
        self._take_back(touched)
        return self._closure.propagate_changes(lost, {subdir: state.suspects for subdir, state in self._states.items()})

    def _changed_upstream(self, state: _SubdirState) -> Iterator[tuple[_Touched, bool]]:
        """Records that appeared (True) or are gone (False); a changed record is both."""
        source, previous = state.source, state.previous
        if previous.map is None or (previous.map.source_shards == source.shards and previous.names == source.names):
            return
        old = dict(zip(previous.names, previous.map.source_shards.to_rows(), strict=True))
        new = dict(zip(source.names, source.shards.to_rows(), strict=True))
        names = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        if self._has_exceptions:  # an item may look at any fact of a record
            for name in sorted(names):
                for taken_back in state.take_back(list(state.earlier(name).values())):
                    yield taken_back, False
        bucket_of = self._closure.subdir(source.subdir).bucket_of
        buckets = sorted({bucket_of(state.positions[name]) for name in names if name in new})
        rows = sorted({previous.row_of(name) for name in names if name in old})
        now = self._records([source.buckets[at] for at in buckets], names)
        before = self._records([previous.rows[row] for row in rows], names)
        for name in sorted(names):
            was, is_ = before.get(name, {}), now.get(name, {})
            for fn in {**was, **is_}:
                if was.get(fn) != is_.get(fn):
                    for record, is_new in ((was.get(fn), False), (is_.get(fn), True)):
                        if record is not None:
                            yield _Touched(source.subdir, fn, name, *record[:3]), is_new

    def _records(self, frames: Collection[BucketFrames], names: Collection[str]) -> dict[str, dict[str, _Record]]:
        """The records of some names as the closure reads them, by name and file name."""
        found: dict[str, dict[str, _Record]] = {}
        builds, depends = iterate_builds(self._blobs, frames), iterate_depends(self._blobs, frames)
        for facts_of_bucket, depends_of_bucket in zip(builds, depends, strict=True):
            for facts, dependencies in zip(facts_of_bucket, depends_of_bucket, strict=True):
                if facts.name in names:
                    lists = dependencies.lists()
                    versions = [facts.components[component][0] for component in facts.component_of]
                    found[facts.name] = {
                        fn: (version, build, number, lists[at])
                        for fn, version, build, number, at in zip(
                            decode_texts(facts.fns), versions, decode_texts(facts.builds), facts.build_numbers,
                            dependencies.depends_of, strict=True,
                        )
                    }  # fmt: skip
        return found

    def _changed_by_policy(self, state: _SubdirState) -> Iterator[_Touched]:
        """Records that the policy withholds only now, no longer, or for another reason than before."""
        verdicts = state.verdicts
        for at, judged in enumerate(verdicts.buckets):
            if judged is None or verdicts.is_same(at):
                continue
            bucket = state.source.buckets[at]
            for position in range(bucket.first, bucket.end):
                name = state.source.names[position]
                before = {d.fn: d for d in state.previous.decisions_of_name(name) if policy_stop(d) is not None}
                now = verdicts.stops(position)
                for fn, decision in sorted({**before, **now}.items()):
                    if fn not in now:
                        state.suspect(name, fn)
                    elif fn in before and short_reason(before[fn]) == short_reason(decision):
                        continue
                    yield _Touched(state.source.subdir, fn, name, decision.version, decision.build, None)

    def _suspect_excepted(self, state: _SubdirState) -> None:
        """Suspect records that an allowlist item spared, where the item may have expired."""
        for at, judged in enumerate(state.verdicts.buckets):
            row = state.verdicts.row(at)
            if judged is not None and row is not None and row.counts.excepted:
                for of_name in state.previous.decisions_in(state.verdicts.rows[at]).values():
                    for decision in of_name:
                        if decision.broken_dependencies and not is_withheld_by_closure(decision):
                            state.suspect(decision.name, decision.fn)

    def _suspect_noarch(self, born: Collection[tuple[_Touched, bool]]) -> Iterator[_Touched]:
        """Suspect noarch records that need something which an architecture begins or ceases to have."""
        state = self._states.get(NOARCH)
        if state is None or not born or len(self._states) <= 2:  # with one architecture, noarch works there or nowhere
            return
        unfiltered = self._closure.unfiltered()
        dependents, texts = self._closure.dependents(NOARCH), self._closure.texts
        by_name: dict[str, list[tuple[_Touched, bool]]] = {}
        for record, is_new in born:
            by_name.setdefault(record.name, []).append((record, is_new))
        dependents.load(by_name.keys())
        for name, records in by_name.items():
            for text in texts.by_name.get(name, ()):
                dependency = self._dependency(texts.texts[text])
                if dependency is None or not any(record.meets(dependency) for record, _ in records):
                    continue
                new = {(record.subdir, record.fn) for record, is_new in records if is_new}
                now = unfiltered.filenames_meeting(dependency)
                before = {subdir for subdir, fns in now.items() if any((subdir, fn) not in new for fn in fns)}
                before |= {record.subdir for record, is_new in records if not is_new and record.meets(dependency)}
                if before != now.keys():
                    yield from self._suspect_users(state, text)

    def _suspect_users(self, state: _SubdirState, text: int) -> Iterator[_Touched]:
        dependents = self._closure.dependents(NOARCH)
        positions = [position for position, _ in dependents.users(text)]
        bucket_of = self._closure.subdir(NOARCH).bucket_of
        rows = [state.source.buckets[at] for at in sorted({bucket_of(position) for position in positions})]
        names = {state.source.names[position] for position in positions}
        for name, records in self._records(rows, names).items():
            for fn, (version, build, number, dependencies) in records.items():
                if self._closure.texts.texts[text] in dependencies:
                    state.suspect(name, fn)
                    yield _Touched(NOARCH, fn, name, version, build, number)

    def _take_back(self, touched: Collection[_Touched]) -> None:
        """Take back the decisions that touched records caused, and those that these caused in turn."""
        while touched:
            by_name: dict[str, list[_Touched]] = {}
            for record in touched:
                by_name.setdefault(record.name, []).append(record)
            found: list[_Touched] = []
            for subdir, state in self._states.items():
                state.index(self._closure.dependents(subdir).buckets_using(by_name.keys()))
                for name, records in by_name.items():
                    near = [r for r in records if NOARCH in (subdir, r.subdir) or r.subdir == subdir]
                    fallen = state.fallen_by(name)
                    for text in [text for text in fallen if self._meets_any(near, text)]:
                        found += state.take_back(fallen.pop(text))
            touched = found

    def _meets_any(self, records: Iterable[_Touched], text: str) -> bool:
        dependency = self._dependency(text)
        return dependency is not None and any(record.meets(dependency) for record in records)

    def _dependency(self, text: str) -> Dependency | None:
        if text not in self._dependencies:
            self._dependencies[text] = parse_dependency(text)
        return self._dependencies[text]


def _closure_decision(decision: Decision) -> ClosureDecision:
    """The closure's part of a decision of the previous publication."""
    reasons, excepted = without_filename(decision.fn, decision.reasons, decision.excepted)
    for reason in reasons:
        if reason.gate == "closure":
            return ClosureDecision(reason, decision.broken_dependencies)
    item, reason = next(pair for pair in excepted if pair[1].gate == "closure")
    return ClosureDecision(reason, decision.broken_dependencies, item, decision.holds_until_ms)


__all__ = ["IncrementalClosure"]
