"""What dependencies ask for, and whether the channel still has it.

A *requirement* is what one or more dependency texts ask for: a name, a version range, a build. In each subdir it
watches one record that meets it and is kept; only when that one is lost it moves on to the next. A requirement
without a build watches versions, not records.

Subdirs are bits. Bit i is architecture i, the bit above all architectures is noarch: what noarch has, every
architecture has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence

import msgspec

from antivenom.core.conda import Dependency, parse_dependency
from antivenom.core.dependents import Texts
from antivenom.core.packs import IndexBlobs
from antivenom.core.source_map import NameBuilds, SourceMap, iterate_builds

NOARCH = "noarch"
decode_texts = msgspec.msgpack.Decoder(list[str]).decode


class Subdir:
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
    """A requirement's place in one target: the candidates, and which of them is watched."""

    __slots__ = ("at", "candidates", "requirement")

    def __init__(self, requirement: int, candidates: Sequence[int]) -> None:
        self.requirement, self.candidates, self.at = requirement, candidates, 0


class Target:
    """The records of one name in one subdir, kept and lost.

    Candidates of a requirement are slots: slot c is component (version) c, which counts its kept records; the slots
    after the components are the records.
    """

    __slots__ = ("_admitted", "_builds", "_by_build", "_facts", "_fns", "kept", "position", "subdir", "watchers")

    def __init__(self, subdir: Subdir, position: int, facts: NameBuilds) -> None:
        self.subdir, self.position, self._facts = subdir, position, facts
        self.kept = [0] * len(facts.components) + [1] * len(facts.component_of)
        for component in facts.component_of:
            self.kept[component] += 1
        self.watchers: dict[int, list[_Watch]] = {}
        self._admitted: dict[str, list[int]] = {}
        self._builds: list[str] = []
        self._by_build: dict[str, list[int]] = {}
        self._fns: list[str] = []

    @property
    def fns(self) -> list[str]:
        """The file names of the records."""
        if not self._fns:
            self._fns = decode_texts(self._facts.fns)
        return self._fns

    def withhold(self, fns: Collection[str]) -> None:
        """Some records are withheld before anything watches."""
        if fns:
            for record, fn in enumerate(self.fns):
                if fn in fns:
                    self.lose(record)

    def lose(self, record: int) -> list[_Watch]:
        """A record is withheld; the watches that have to move on."""
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

    def settle(self, watch: _Watch) -> bool:
        """Let a watch settle on its next kept candidate; whether there is one."""
        kept, candidates = self.kept, watch.candidates
        for at in range(watch.at, len(candidates)):
            if kept[candidates[at]]:
                watch.at = at
                self.watchers.setdefault(candidates[at], []).append(watch)
                return True
        return False

    def candidates(self, dependency: Dependency) -> Sequence[int]:
        """The slots of what meets a dependency."""
        facts = self._facts
        admitted = self._admitted.get(dependency.version_text)
        if admitted is None:
            versions = dependency.admitted_versions([version for version, _ in facts.components])
            admitted = self._admitted[dependency.version_text] = versions
        if not dependency.asks_build:
            return admitted
        within, components = set(admitted), len(facts.components)
        return [
            components + record
            for record in self._of_builds(dependency)
            if facts.component_of[record] in within and dependency.admits_number(facts.build_numbers[record])
        ]

    def _of_builds(self, dependency: Dependency) -> Sequence[int]:
        """The records whose build text meets a dependency."""
        if not self._by_build:
            self._builds = decode_texts(self._facts.builds)
            for record, build in enumerate(self._builds):
                self._by_build.setdefault(build, []).append(record)
        if dependency.exact_build:
            return self._by_build.get(dependency.exact_build, ())
        return [r for build, records in self._by_build.items() if dependency.admits_build(build) for r in records]

    def records_of(self, candidates: Sequence[int]) -> Sequence[int]:
        """The records in some slots, in order."""
        components = len(self._facts.components)
        within = set(candidates)
        if candidates and candidates[0] < components:
            return [record for record, component in enumerate(self._facts.component_of) if component in within]
        return sorted(slot - components for slot in within)


class Requirements:
    """All requirements of a channel's dependencies, opened when they are first asked for.

    Columns by requirement: `exists` and `alive` (subdirs that have, and still have, what it asks for; bits), `broken`
    (architectures in which it was met and is not any more). `events`: those whose `broken` grew since it was cleared.
    """

    def __init__(
        self,
        blobs: IndexBlobs,
        subdirs: Sequence[Subdir],
        texts: Texts,
        withheld: Callable[[Subdir, int], Collection[str]],
    ) -> None:
        self._blobs, self._subdirs, self._texts, self._withheld = blobs, subdirs, texts, withheld
        self.architectures = max(1, sum(subdir.source.subdir != NOARCH for subdir in subdirs))
        self.everywhere = (1 << self.architectures) - 1
        self.dependencies: list[Dependency] = []
        self.exists: list[int] = []
        self.alive: list[int] = []
        self.broken: list[int] = []
        self.texts: list[list[int]] = []
        self.events: set[int] = set()
        self._of_text: dict[int, int] = {}
        self._of_key: dict[tuple[str, str, str, str], int] = {}
        self._targets: dict[str, list[Target]] = {}

    def places(self, bits: int) -> int:
        """The architectures in which records of these subdirs can be used."""
        return self.everywhere if bits >> self.architectures else bits

    def of_text(self, text: int) -> int:
        """The requirement that a text writes, opened; -1 for what no package of a channel can break."""
        known = self._of_text.get(text)
        if known is None:
            known = self._of_text[text] = self._open(text)
        return known

    def known(self, text: int) -> int:
        """The requirement of a text if it was opened; else -1."""
        return self._of_text.get(text, -1)

    def load(self, names: Collection[str]) -> None:
        """Read what the subdirs have of some names, all at once, and what of it is withheld."""
        new = [name for name in names if name not in self._targets]
        for name in new:
            self._targets[name] = []
        for subdir in self._subdirs:
            positions = sorted(subdir.positions[name] for name in new if name in subdir.positions)
            wanted: dict[int, list[int]] = {}
            for position in positions:
                wanted.setdefault(subdir.bucket_of(position), []).append(position)
            rows = [subdir.source.buckets[at] for at in wanted]
            for row, mine, names_of in zip(rows, wanted.values(), iterate_builds(self._blobs, rows), strict=True):
                for position in mine:
                    target = Target(subdir, position, names_of[position - row.first])
                    target.withhold(self._withheld(subdir, position))
                    self._targets[subdir.source.names[position]].append(target)

    def targets(self, name: str) -> list[Target]:
        """What each subdir has of a name; of loaded names only."""
        return self._targets[name]

    def found(self, dependency: Dependency) -> dict[str, list[str]]:
        """The file names of what a dependency asks for, by the subdirs that have it; lost or not."""
        self.load([dependency.name])
        found = {}
        for target in self._targets[dependency.name]:
            fns = [target.fns[record] for record in target.records_of(target.candidates(dependency))]
            if fns:
                found[target.subdir.source.subdir] = fns
        return found

    def lose(self, target: Target, record: int) -> None:
        """A record is withheld."""
        for watch in target.lose(record):
            if not target.settle(watch):
                self.alive[watch.requirement] &= ~target.subdir.bit
                self._note(watch.requirement)

    def _open(self, text: int) -> int:
        dependency = parse_dependency(self._texts.texts[text])
        if dependency is None:
            return -1
        found = self._of_key.get(dependency.key)
        if found is not None:
            self.texts[found].append(text)
            return found
        requirement = self._of_key[dependency.key] = len(self.dependencies)
        exists = alive = 0
        if dependency.name not in self._targets:
            self.load([dependency.name])
        for target in self._targets[dependency.name]:
            watch = _Watch(requirement, target.candidates(dependency))
            if watch.candidates:
                exists |= target.subdir.bit
                if target.settle(watch):
                    alive |= target.subdir.bit
        self.dependencies.append(dependency)
        self.exists.append(exists)
        self.alive.append(alive)
        self.broken.append(0)
        self.texts.append([text])
        self._note(requirement)
        return requirement

    def _note(self, requirement: int) -> None:
        broken = self.places(self.exists[requirement]) & ~self.places(self.alive[requirement])
        if broken != self.broken[requirement]:
            self.broken[requirement] = broken
            self.events.add(requirement)


__all__ = ["NOARCH", "Requirements", "Subdir", "Target", "decode_texts"]
