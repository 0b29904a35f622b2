"""What dependencies ask for, and whether the channel still has it.

A *requirement* is what one or more dependency texts ask for: a name, a version range, a build. In each subdir it
watches one kept record that meets it, and moves on to the next only when that record is withheld. A requirement
without a build watches versions, not records.

Subdirs are bits. Bit i is architecture i, the bit above all architectures is noarch: what noarch has, every
architecture has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence

import msgspec

from antivenom.core.conda.specs import Dependency, parse_dependency
from antivenom.core.source.dependents import DependencyTexts
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_map import NameBuilds, SourceMap, iterate_builds

NOARCH = "noarch"
decode_texts = msgspec.msgpack.Decoder(list[str]).decode


class ClosureSubdir:
    """One subdir as the closure sees it. `index` is its place among the subdirs, `bit` its bit."""

    __slots__ = ("bit", "firsts", "index", "positions", "source")

    def __init__(self, index: int, bit: int, source: SourceMap) -> None:
        self.index, self.bit, self.source = index, bit, source
        self.positions = {name: i for i, name in enumerate(source.names)}
        self.firsts = [bucket.first for bucket in source.buckets]

    def bucket_of(self, position: int) -> int:
        """The bucket that holds the name at `position`."""
        return bisect_right(self.firsts, position) - 1


class _Watch:
    """What one requirement watches of one name: the candidates, and which of them.

    `asks`: the dependency that a candidate must still be compared with; None: all candidates meet it.
    """

    __slots__ = ("asks", "at", "candidates", "requirement")

    def __init__(self, requirement: int, candidates: Sequence[int], asks: Dependency | None) -> None:
        self.requirement, self.candidates, self.asks, self.at = requirement, candidates, asks, 0


class WatchedName:
    """The records of one name in one subdir: which are kept, and which requirements watch them.

    Candidates of a requirement are slots: slot c is component (version) c, which counts its kept records; the slots
    after the components are the records.
    """

    __slots__ = ("_admitted", "_by_build", "_by_pattern", "_facts", "_fns", "kept", "position", "subdir", "watchers")

    def __init__(self, subdir: ClosureSubdir, position: int, facts: NameBuilds) -> None:
        self.subdir, self.position, self._facts = subdir, position, facts
        self.kept = [0] * len(facts.components) + [1] * len(facts.component_of)
        for component in facts.component_of:
            self.kept[component] += 1
        self.watchers: dict[int, list[_Watch]] = {}
        self._admitted: dict[str, list[bool | None]] = {}  # by text of versions and component
        self._by_build: dict[str, list[int]] = {}
        self._by_pattern: dict[str, list[int]] = {}
        self._fns: list[str] = []

    @property
    def fns(self) -> list[str]:
        """The file names of the records."""
        if not self._fns:
            self._fns = decode_texts(self._facts.fns)
        return self._fns

    def withhold_unwatched(self, fns: Collection[str]) -> None:
        """Withhold records before anything watches them."""
        if fns:
            for record, fn in enumerate(self.fns):
                if fn in fns:
                    self.withhold(record)

    def withhold(self, record: int) -> list[_Watch]:
        """Withhold a record; the watches that have to move on."""
        kept, components = self.kept, len(self._facts.components)
        slot = components + record
        if not kept[slot]:
            return []
        kept[slot] = 0
        component = self._facts.component_of[record]
        kept[component] -= 1
        moving = self.watchers.pop(slot, [])
        if not kept[component]:
            moving = moving + self.watchers.pop(component, [])
        return moving

    def watch(self, requirement: int, dependency: Dependency) -> _Watch:
        """A watch for a requirement, not settled yet.

        Versions are compared only when the watch comes to them, the last first: the newest meets most requirements.
        """
        if dependency.asks_build:
            return _Watch(requirement, self.candidates(dependency), None)
        return _Watch(requirement, range(len(self._facts.components) - 1, -1, -1), dependency)

    def settle(self, watch: _Watch) -> bool:
        """Move a watch to its next kept candidate; False when there is none."""
        kept, candidates, asks = self.kept, watch.candidates, watch.asks
        for at in range(watch.at, len(candidates)):
            slot = candidates[at]
            if kept[slot] and (asks is None or self._admits(asks, slot)):
                watch.at = at
                self.watchers.setdefault(slot, []).append(watch)
                return True
        return False

    def has(self, dependency: Dependency) -> bool:
        """Whether any record meets a dependency, withheld or not."""
        if dependency.asks_build:
            return bool(self.candidates(dependency))
        return any(self._admits(dependency, component) for component in range(len(self._facts.components)))

    def candidates(self, dependency: Dependency) -> Sequence[int]:
        """The slots of the records or versions that meet a dependency."""
        facts, components = self._facts, len(self._facts.components)
        if not dependency.asks_build:
            return [component for component in range(components) if self._admits(dependency, component)]
        return [
            components + record
            for record in self._of_builds(dependency)
            if dependency.admits_number(facts.build_numbers[record])
            and self._admits(dependency, facts.component_of[record])
        ]

    def _admits(self, dependency: Dependency, component: int) -> bool:
        """Whether a component's version meets a dependency. Remembered by the version text, which many share."""
        known = self._admitted.get(dependency.version_text)
        if known is None:
            known = self._admitted[dependency.version_text] = [None] * len(self._facts.components)
        admits = known[component]
        if admits is None:
            admits = known[component] = dependency.admits_version(self._facts.components[component][0])
        return admits

    def _of_builds(self, dependency: Dependency) -> Sequence[int]:
        """The records whose build text meets a dependency."""
        if not self._by_build:
            for record, build in enumerate(decode_texts(self._facts.builds)):
                self._by_build.setdefault(build, []).append(record)
        if dependency.exact_build:
            return self._by_build.get(dependency.exact_build, ())
        pattern = dependency.key[2]
        if pattern not in self._by_pattern:
            fitting = [records for build, records in self._by_build.items() if dependency.admits_build(build)]
            self._by_pattern[pattern] = [record for records in fitting for record in records]
        return self._by_pattern[pattern]

    def records_of(self, candidates: Sequence[int]) -> Sequence[int]:
        """The records in some slots, in order."""
        components = len(self._facts.components)
        within = set(candidates)
        if candidates and candidates[0] < components:
            return [record for record, component in enumerate(self._facts.component_of) if component in within]
        return sorted(slot - components for slot in within)


class Requirements:
    """The requirements of a channel's dependencies, each opened when it is first asked for.

    `withheld`: by subdir, the file names that are withheld at the start, by position of their name. Columns by
    requirement, in bits: `listed_in` and `kept_in` (the subdirs that list, and still keep, a record that meets it),
    `broken_in` (the architectures that list one and keep none). `newly_broken`: the requirements whose `broken_in`
    grew since it was cleared.
    """

    def __init__(
        self,
        blobs: IndexBlobs,
        subdirs: Sequence[ClosureSubdir],
        texts: DependencyTexts,
        withheld: Sequence[Callable[[int], Collection[str]]],
    ) -> None:
        self._blobs, self._subdirs, self._texts, self._withheld = blobs, subdirs, texts, withheld
        self.architecture_count = max(1, sum(subdir.source.subdir != NOARCH for subdir in subdirs))
        self.all_architectures = (1 << self.architecture_count) - 1
        self.dependencies: list[Dependency] = []
        self.listed_in: list[int] = []
        self.kept_in: list[int] = []
        self.broken_in: list[int] = []
        self.texts: list[list[int]] = []
        self.newly_broken: set[int] = set()
        self._of_text: dict[int, int] = {}
        self._of_key: dict[tuple[str, str, str, str], int] = {}
        self._watched: dict[str, list[WatchedName]] = {}

    def architectures_of(self, bits: int) -> int:
        """The architectures in which records of these subdirs can be used."""
        return self.all_architectures if bits >> self.architecture_count else bits

    def requirement_of(self, text: int) -> int:
        """The requirement of a dependency text, opened if need be; -1 for what no package of a channel can break."""
        known = self._of_text.get(text)
        if known is None:
            known = self._of_text[text] = self._open(text)
        return known

    def opened(self, text: int) -> int:
        """The requirement of a text; -1 when it is not opened."""
        return self._of_text.get(text, -1)

    def load(self, names: Collection[str]) -> None:
        """Read the records of some names in all subdirs, and withhold what is withheld at the start."""
        new = [name for name in names if name not in self._watched]
        for name in new:
            self._watched[name] = []
        for subdir in self._subdirs:
            positions = sorted(subdir.positions[name] for name in new if name in subdir.positions)
            wanted: dict[int, list[int]] = {}
            for position in positions:
                wanted.setdefault(subdir.bucket_of(position), []).append(position)
            rows = [subdir.source.buckets[at] for at in wanted]
            for row, mine, names_of in zip(rows, wanted.values(), iterate_builds(self._blobs, rows), strict=True):
                for position in mine:
                    watched = WatchedName(subdir, position, names_of[position - row.first])
                    watched.withhold_unwatched(self._withheld[subdir.index](position))
                    self._watched[subdir.source.names[position]].append(watched)

    def watched_names(self, name: str) -> list[WatchedName]:
        """The records of a loaded name, one item for each subdir that lists any."""
        return self._watched[name]

    def filenames_meeting(self, dependency: Dependency) -> dict[str, list[str]]:
        """The file names of the records that meet a dependency, withheld or not, by subdir."""
        self.load([dependency.name])
        found = {}
        for watched in self._watched[dependency.name]:
            fns = [watched.fns[record] for record in watched.records_of(watched.candidates(dependency))]
            if fns:
                found[watched.subdir.source.subdir] = fns
        return found

    def withhold(self, watched: WatchedName, record: int) -> None:
        """Withhold a record."""
        for watch in watched.withhold(record):
            if not watched.settle(watch):
                self.kept_in[watch.requirement] &= ~watched.subdir.bit
                self._update_broken(watch.requirement)

    def _open(self, text: int) -> int:
        dependency = parse_dependency(self._texts.texts[text])
        if dependency is None:
            return -1
        found = self._of_key.get(dependency.key)
        if found is not None:
            self.texts[found].append(text)
            return found
        requirement = self._of_key[dependency.key] = len(self.dependencies)
        listed_in = kept_in = 0
        if dependency.name not in self._watched:
            self.load([dependency.name])
        for watched in self._watched[dependency.name]:
            if watched.settle(watched.watch(requirement, dependency)):
                listed_in |= watched.subdir.bit
                kept_in |= watched.subdir.bit
            elif watched.has(dependency):
                listed_in |= watched.subdir.bit
        self.dependencies.append(dependency)
        self.listed_in.append(listed_in)
        self.kept_in.append(kept_in)
        self.broken_in.append(0)
        self.texts.append([text])
        self._update_broken(requirement)
        return requirement

    def _update_broken(self, requirement: int) -> None:
        listed_in = self.architectures_of(self.listed_in[requirement])
        broken_in = listed_in & ~self.architectures_of(self.kept_in[requirement])
        if broken_in != self.broken_in[requirement]:
            self.broken_in[requirement] = broken_in
            self.newly_broken.add(requirement)


__all__ = ["NOARCH", "ClosureSubdir", "Requirements", "WatchedName", "decode_texts"]
