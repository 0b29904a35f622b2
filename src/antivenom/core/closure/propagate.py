"""The closure: withholds what can no longer be installed because something it needs is withheld, and says why.

A dependency is *broken* in an architecture where the unfiltered channel met it and the filtered one does not. A record
of an architecture sees its own subdir plus noarch, and falls when a dependency of it is broken there. A noarch record
*worked* in the architectures that met all of its dependencies that any architecture meets; it falls when it is broken
in every one of these, or when something it needs is met nowhere any more. Dependencies that were never met here
(another channel's, virtual packages), conditional ones, and `constrains` do not count.

The result is the least fixed point, so it does not depend on any order. It is computed in waves: a withheld record
moves the requirements that watch it; a requirement with nothing left to watch breaks dependency lists; the records of
these lists are the next wave. The work grows with what is withheld and what needs it, not with the channel times the
waves. What breaks a list broke in an earlier wave, so no chain of reasons goes in circles.

Source: Dowling and Gallier 1984 (linear Horn satisfiability); watched witnesses as in SAT solvers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

from antivenom.core.closure.requirements import NOARCH, ClosureSubdir, Requirements, WatchedName, decode_texts
from antivenom.core.conda.records import RecordFacts
from antivenom.core.conda.specs import Dependency
from antivenom.core.policy.compile import Action, AllowlistItem, Reason
from antivenom.core.publication.previous_publication import policy_stop
from antivenom.core.publication.publication_map import ANY_FILE, Decision
from antivenom.core.source.dependents import DependencyTexts, Dependents, NameDependencies
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_map import SourceMap, dependency_name, iterate_builds, read_depends, read_facts

_MESSAGE_MAX = 600  # characters of a chain
_ROOT = re.compile(r"[^\s()]+ \(rule [^()]+\)")

FindException = Callable[[Reason, RecordFacts], AllowlistItem | None]
_BrokenTexts = tuple[tuple[int, int], ...]  # numbers of dependency texts, and the architectures in which each is broken
Withheld = Callable[[int], Mapping[str, Decision]]  # position of a name → what of it is withheld before the closure


class ClosureDecision(NamedTuple):
    """The closure's decision for a record: it falls, or an allowlist item spares it.

    `broken_dependencies`: why. `item`: the id of the allowlist item, "" when the record falls;
    `until_ms`: when that expires (0: never).
    """

    reason: Reason
    broken_dependencies: tuple[str, ...]
    item: str = ""
    until_ms: int = 0


class LostRecord(Protocol):
    """A record that is gone, withheld, or withheld for another reason than before."""

    def meets(self, dependency: Dependency) -> bool:
        """Whether it meets a dependency, or did."""
        ...


class NameClosure(NamedTuple):
    """What the closure decides for one name.

    `list_of`: the dependency list of each record. `broken`: the lists that fall, with the message and the broken
    dependencies. `spared`: records that an allowlist item keeps. `earlier`: by file name, decisions of the previous
    publication that still hold.
    """

    list_of: Sequence[int] = ()
    broken: Mapping[int, tuple[str, tuple[str, ...]]] = {}
    spared: Mapping[int, AllowlistItem] = {}
    earlier: Mapping[str, ClosureDecision] = {}

    def decisions(self, fns: Sequence[str]) -> tuple[list[ClosureDecision], dict[int, int]]:
        """The decisions, and the number of its decision for each record that falls or is spared.

        Some of these records may be withheld already. Records that share a dependency list share one decision.
        """
        found: list[ClosureDecision] = []
        number_of: dict[int, int] = {}
        if self.earlier:
            for record, fn in enumerate(fns):
                held = self.earlier.get(fn)
                if held is not None and (not held.item or not self.broken or self.list_of[record] not in self.broken):
                    number_of[record] = len(found)
                    found.append(held)
        numbers: dict[tuple[int, str], int] = {}  # by list, and the id of the allowlist item that spares the record
        for record, at in enumerate(self.list_of):
            if at in self.broken and record not in number_of:
                item = self.spared.get(record)
                key = at, item.id if item else ""
                if key not in numbers:
                    numbers[key] = len(found)
                    message, texts = self.broken[at]
                    until_ms = item.expires_ms if item else 0
                    found.append(ClosureDecision(_reason(message), texts, key[1], until_ms))
                number_of[record] = numbers[key]
        return found, number_of


BucketClosure = dict[int, NameClosure]  # by place of a name in its bucket
Wave = Sequence[tuple[int, int, Sequence[int]]]  # subdir, position of a name, its dependency lists that fall
Waves = Sequence[Wave]


class Closure:
    """Works out which records fall when others are withheld.

    `withheld`: by subdir, what is withheld before. `find_exception`: the allowlist item that puts a reason of the
    closure aside; the record stays then, and so does what needs it (unless something else breaks that).
    """

    def __init__(
        self,
        blobs: IndexBlobs,
        sources: Mapping[str, SourceMap],
        withheld: Mapping[str, Withheld],
        find_exception: FindException | None = None,
    ) -> None:
        self._blobs, self._find_exception = blobs, find_exception
        architectures = sorted(subdir for subdir in sources if subdir != NOARCH)
        bits = {subdir: 1 << i for i, subdir in enumerate(architectures)} | {NOARCH: 1 << max(1, len(architectures))}
        present = [subdir for subdir in bits if subdir in sources]
        self._subdirs = [ClosureSubdir(i, bits[subdir], sources[subdir]) for i, subdir in enumerate(present)]
        self._withheld = [withheld[subdir] for subdir in present]
        self.texts = DependencyTexts()
        self._dependents = [Dependents(blobs, sources[subdir], self.texts) for subdir in present]
        self._requirements = Requirements(blobs, self._subdirs, self.texts, self._withheld)
        self._falls: list[dict[int, dict[int, _BrokenTexts]]] = [
            {} for _ in self._subdirs
        ]  # by subdir, position and list
        self._spared: list[dict[int, dict[int, AllowlistItem]]] = [
            {} for _ in self._subdirs
        ]  # by subdir, position and record
        self._opened: set[str] = set()
        self._messages: dict[tuple[bool, tuple[tuple[int, int], ...]], str] = {}

    def propagate(self, causes: Mapping[str, Iterable[str]]) -> dict[str, dict[int, BucketClosure]]:
        """What falls, by subdir and bucket.

        Args:
            causes: By subdir, the names of which something is withheld.
        """
        self._open({name for names in causes.values() for name in names})
        return self._by_bucket(self._waves({}))

    def propagate_changes(
        self, lost: Mapping[str, Sequence[LostRecord]], suspects: Mapping[str, Mapping[int, Collection[str]]]
    ) -> dict[str, dict[int, BucketClosure]]:
        """What falls besides what is withheld, by subdir and bucket, when little changed since that was worked out.

        Args:
            lost: By name, records that are gone, newly withheld, or withheld for another reason.
            suspects: Subdir → position of a name → file names of records that are not withheld and may have to be,
                even if nothing that they need is lost.
        """
        requirements = self._requirements
        self._open(lost.keys())
        dependencies = requirements.dependencies
        newly_broken = [
            r
            for r in requirements.newly_broken
            if any(record.meets(dependencies[r]) for record in lost.get(dependencies[r].name, ()))
        ]
        doubtful = self._lists_of(suspects)
        texts = {
            text
            for (index, position), lists in doubtful.items()
            for at in lists
            for text in self._dependents[index].of_name(position).texts_of(at)
        }
        requirements.load({dependency_name(self.texts.texts[text]) for text in texts})
        for text in sorted(texts):
            requirements.requirement_of(text)
        requirements.newly_broken.clear()  # what was broken before breaks nothing anew
        requirements.newly_broken.update(newly_broken)
        return self._by_bucket(self._waves(doubtful))

    def unfiltered(self) -> Requirements:
        """The requirements as they are when nothing is withheld."""
        return Requirements(self._blobs, self._subdirs, self.texts, [lambda _position: ()] * len(self._subdirs))

    def subdir(self, name: str) -> ClosureSubdir:
        """The subdir with a name."""
        return next(subdir for subdir in self._subdirs if subdir.source.subdir == name)

    def dependents(self, name: str) -> Dependents:
        """The dependents of a subdir."""
        return self._dependents[self.subdir(name).index]

    def _waves(self, doubtful: Mapping[tuple[int, int], Collection[int]]) -> Waves:
        waves = []
        while self._requirements.newly_broken or doubtful:
            wave = self._break_lists(doubtful)
            doubtful = {}
            waves.append(wave)
            self._withhold(wave)
        return waves

    def _lists_of(self, suspects: Mapping[str, Mapping[int, Collection[str]]]) -> dict[tuple[int, int], set[int]]:
        """The dependency lists of the suspects, by subdir and position of the name."""
        found: dict[tuple[int, int], set[int]] = {}
        for subdir in self._subdirs:
            mine = suspects.get(subdir.source.subdir, {})
            buckets: dict[int, list[int]] = {}
            for position in sorted(mine):
                buckets.setdefault(subdir.bucket_of(position), []).append(position)
            rows = [subdir.source.buckets[at] for at in buckets]
            for row, positions, names in zip(rows, buckets.values(), iterate_builds(self._blobs, rows), strict=True):
                for position in positions:
                    list_of = self._dependents[subdir.index].of_name(position).list_of
                    fns = decode_texts(names[position - row.first].fns)
                    lists = {at for fn, at in zip(fns, list_of, strict=True) if fn in mine[position]}
                    found[subdir.index, position] = lists
        return found

    def _open(self, names: Set[str]) -> set[str]:
        """Read everything that asks for names of which something is lost, and whether that is still met.

        Returns:
            Those of the names that anything asks for.
        """
        new = set(names) - self._opened
        self._opened |= new
        for dependents in self._dependents:
            dependents.load(new)
        used = new & self.texts.by_name.keys()
        self._requirements.load(sorted(used))
        for name in sorted(used):
            for text in self.texts.by_name[name]:
                self._requirements.requirement_of(text)
        return set(names & self.texts.by_name.keys())

    def _break_lists(self, doubtful: Mapping[tuple[int, int], Collection[int]]) -> Wave:
        """The dependency lists that fall: because of what broke, or because they are doubtful and broken."""
        requirements = self._requirements
        hit: dict[tuple[int, int], list[int]] = {}
        for requirement in sorted(requirements.newly_broken):
            for subdir, dependents in zip(self._subdirs, self._dependents, strict=True):
                if subdir.source.subdir == NOARCH or requirements.broken_in[requirement] & subdir.bit:
                    for text in requirements.texts[requirement]:
                        for position, place in dependents.users(text):
                            hit.setdefault((subdir.index, position), []).append(place)
        requirements.newly_broken.clear()
        wave = []
        for index, position in dict.fromkeys([*hit, *doubtful]):
            dependencies = self._dependents[index].of_name(position)
            known = self._falls[index].get(position, {})
            fallen = {}
            for at in {*dependencies.lists_with(hit.get((index, position), ())), *doubtful.get((index, position), ())}:
                if at not in known and (broken := self._judge(index, dependencies, at)):
                    fallen[at] = broken
            if fallen:
                self._falls[index].setdefault(position, {}).update(fallen)
                wave.append((index, position, list(fallen)))
        return wave

    def _judge(self, index: int, dependencies: NameDependencies, at: int) -> _BrokenTexts:
        """What breaks a dependency list; empty when it stays."""
        subdir, requirements = self._subdirs[index], self._requirements
        if subdir.source.subdir == NOARCH and requirements.architecture_count > 1:
            return self._judge_noarch(dependencies.texts_of(at))
        here = 1 if subdir.source.subdir == NOARCH else subdir.bit
        for place in dependencies.lists[at]:
            text = dependencies.texts[place]
            requirement = requirements.opened(text)
            if requirement >= 0 and requirements.broken_in[requirement] & here:
                return ((text, here),)
        return ()

    def _judge_noarch(self, texts: Sequence[int]) -> _BrokenTexts:
        requirements = self._requirements
        worked = requirements.all_architectures
        broken: dict[int, int] = {}
        for text in texts:
            requirement = requirements.requirement_of(text)
            if requirement < 0:
                continue
            before = requirements.architectures_of(requirements.listed_in[requirement])
            lost = requirements.broken_in[requirement]
            if before and lost == before:
                return ((text, lost),)
            worked &= before or worked
            broken[text] = lost
        covering = []
        left = worked
        for text, lost in broken.items():
            if lost & left:
                covering.append((text, lost & left))
                left &= ~lost
        return tuple(covering) if worked and not left else ()

    def _withhold(self, wave: Wave) -> None:
        """Withhold the records of the lists that fell."""
        if self._find_exception:
            self._spare(wave, self._find_exception)
        names = {self._subdirs[index].source.names[position] for index, position, _ in wave}
        used = self._open(names)
        self._requirements.newly_broken.clear()  # broken before: what needs it was looked at then
        for index, position, lists in wave:
            name = self._subdirs[index].source.names[position]
            if name not in used:
                continue
            watched = next(w for w in self._requirements.watched_names(name) if w.subdir.index == index)
            spared = self._spared[index].get(position, {})
            fallen = set(lists)
            for record, at in enumerate(self._dependents[index].of_name(position).list_of):
                if at in fallen and record not in spared:
                    self._requirements.withhold(watched, record)

    def _spare(self, wave: Wave, find_exception: FindException) -> None:
        """Ask the allowlist for each record of the lists that fell."""
        buckets: dict[tuple[int, int], list[tuple[int, Sequence[int]]]] = {}
        for index, position, lists in wave:
            buckets.setdefault((index, self._subdirs[index].bucket_of(position)), []).append((position, lists))
        for (index, at), fallen in buckets.items():
            subdir = self._subdirs[index].source
            bucket = subdir.buckets[at]
            facts, depends = read_facts(self._blobs, bucket), read_depends(self._blobs, bucket)
            for position, lists in fallen:
                name, needs = facts[position - bucket.first], depends[position - bucket.first]
                withheld = self._withheld[index](position)
                for record, fn in enumerate(name.fns):
                    if needs.depends_of[record] in lists and fn not in withheld:
                        item = find_exception(_reason("", fn), name.record_at(record, subdir.subdir, needs))
                        if item is not None:
                            self._spared[index].setdefault(position, {})[record] = item

    def _by_bucket(self, waves: Iterable[Wave]) -> dict[str, dict[int, BucketClosure]]:
        """The falls by bucket, with their messages: wave by wave, so that a cited message is made before the one that
        cites it."""
        broken: list[dict[int, dict[int, tuple[str, tuple[str, ...]]]]] = [{} for _ in self._subdirs]
        texts = self.texts.texts
        for wave in waves:
            for index, position, lists in wave:
                falls = self._falls[index][position]
                mine = broken[index].setdefault(position, {})
                for at in lists:
                    mine[at] = self._message(index, falls[at]), tuple([texts[text] for text, _ in falls[at]])
        found: dict[str, dict[int, BucketClosure]] = {}
        for subdir, names in zip(self._subdirs, broken, strict=True):
            buckets = found[subdir.source.subdir] = {}
            for position, mine in names.items():
                at = subdir.bucket_of(position)
                list_of = self._dependents[subdir.index].of_name(position).list_of
                spared = self._spared[subdir.index].get(position, {})
                place = position - subdir.firsts[at]
                buckets.setdefault(at, {})[place] = NameClosure(list_of, mine, spared)
        return found

    def _message(self, index: int, broken: _BrokenTexts) -> str:
        is_noarch = self._subdirs[index].source.subdir == NOARCH
        key = is_noarch, broken
        message = self._messages.get(key)
        if message is None:
            parts = []
            for text, architectures in broken:
                where = ""
                if is_noarch and self._is_elsewhere(text, architectures):
                    where = f" on {self._names_of(architectures)}"
                named = self._named(text, architectures)
                parts.append(f"{self.texts.texts[text]}{where}, and every build of it is withheld: {named}")
            message = self._messages[key] = _shorten("needs " + "; and ".join(parts))
        return message

    def _is_elsewhere(self, text: int, architectures: int) -> bool:
        """Whether other architectures have, or had, what a dependency asks for."""
        requirements = self._requirements
        return requirements.architectures_of(requirements.listed_in[requirements.requirement_of(text)]) != architectures

    def _names_of(self, architectures: int) -> str:
        return ", ".join(s.source.subdir for s in self._subdirs if s.bit & architectures)

    def _named(self, text: int, architectures: int) -> str:
        """One of the withheld builds that a dependency asks for, and why; if possible one that the policy withholds."""
        requirements = self._requirements
        dependency = requirements.dependencies[requirements.requirement_of(text)]
        first: tuple[WatchedName, int] | None = None
        stopped: tuple[WatchedName, int] | None = None
        total = 0
        for watched in requirements.watched_names(dependency.name):
            if requirements.architectures_of(watched.subdir.bit) & architectures:
                records = watched.records_of(watched.candidates(dependency))
                total += len(records)
                first = first or next(((watched, record) for record in records), None)
                stopped = stopped or self._first_stopped(watched, records)
        named = stopped or first
        assert named is not None  # noqa: S101 - a broken dependency was met before
        watched, record = named
        more = f" and {total - 1} more" if total > 1 else ""
        return f"{watched.fns[record]} ({self._short_reason(watched, record)}){more}"

    def _first_stopped(self, watched: WatchedName, records: Sequence[int]) -> tuple[WatchedName, int] | None:
        """The first of some records that the policy itself withholds."""
        withheld, fns = self._withheld[watched.subdir.index](watched.position), watched.fns
        for record in records if withheld else ():
            decision = withheld.get(fns[record])
            if decision is not None and policy_stop(decision) is not None:
                return watched, record
        return None

    def _short_reason(self, watched: WatchedName, record: int) -> str:
        index, position = watched.subdir.index, watched.position
        decision = self._withheld[index](position).get(watched.fns[record])
        if decision is not None:
            return short_reason(decision)
        at = self._dependents[index].of_name(position).list_of[record]
        return self._message(index, self._falls[index][position][at])


def _reason(message: str, fn: str = ANY_FILE) -> Reason:
    return Reason("closure", "closure", "dependency", f"closure+{fn}", Action.stop, message)


def _shorten(message: str) -> str:
    """A long chain without its middle: what is needed, and what withholds it in the end."""
    if len(message) <= _MESSAGE_MAX:
        return message
    roots = _ROOT.findall(message)
    tail = f"… and in the end {roots[-1]}" if roots and len(roots[-1]) < _MESSAGE_MAX // 2 else "…"
    return message[: _MESSAGE_MAX - len(tail)] + tail


def short_reason(decision: Decision) -> str:
    """Why a record is withheld, in a few words."""
    stop = policy_stop(decision)
    if stop is not None:
        return f"rule {stop.rule_id}: {stop.trigger_id.rsplit('+', 1)[0]}"
    return next((reason.message for reason in decision.reasons if reason.gate == "closure"), "withheld")


__all__ = ["BucketClosure", "Closure", "ClosureDecision", "FindException", "LostRecord", "NameClosure", "short_reason"]
