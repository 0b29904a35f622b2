"""Closure: what can no longer be installed because what it needs is withheld, is withheld too, and says why.

A dependency is *broken* in an architecture where the unfiltered channel met it and the filtered one does not. A record
of an architecture is judged in its own subdir plus noarch. A noarch record *worked* in the architectures that met all
of its dependencies that any architecture meets; it falls when it is broken in every one of these, or when something it
needs is met nowhere any more. Dependencies that were never met here (another channel's, virtual packages), conditional
ones, and `constrains` do not count.

The result is the least fixed point: it does not depend on any order. It is computed by rounds of losses: a lost record
moves the requirements that watch it; a requirement without anything left to watch breaks dependency lists; the records
of these lists are the next round's losses. The work is what is lost and what needs it, not the channel times the
rounds. What made a list fall broke in an earlier round, so no chain of reasons goes in circles.

Source: Dowling and Gallier 1984 (linear Horn satisfiability); watched witnesses as in SAT solvers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

from antivenom.core.closure.requirements import NOARCH, Requirements, Subdir, Target, decode_texts
from antivenom.core.conda.records import RecordFacts
from antivenom.core.conda.specs import Dependency
from antivenom.core.policy.compile import Action, AllowlistItem, Reason
from antivenom.core.publication.previous_publication import policy_stop
from antivenom.core.publication.publication_map import ANY_FILE, Decision
from antivenom.core.source.dependents import Dependents, Needs, Texts
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_map import SourceMap, dependency_name, iterate_builds, read_depends, read_facts

_MESSAGE_MAX = 600  # characters of a chain
_ROOT = re.compile(r"[^\s()]+ \(rule [^()]+\)")

Except = Callable[[Reason, RecordFacts], AllowlistItem | None]
Withheld = Callable[[int], Mapping[str, Decision]]  # position of a name → what of it is withheld before the closure


class ClosureDecision(NamedTuple):
    """The closure's decision for a record: it falls, or an allowlist item spares it.

    `culprits`: the dependencies that broke it. `item`: the id of the allowlist item, "" when the record falls;
    `until_ms`: when that expires (0: never).
    """

    reason: Reason
    culprits: tuple[str, ...]
    item: str = ""
    until_ms: int = 0


class Lost(Protocol):
    """A record that is lost to those who need it."""

    def meets(self, dependency: Dependency) -> bool:
        """Whether it is, or was, what a dependency asks for."""
        ...


class _Fall(NamedTuple):
    """Why a dependency list falls: requirements' texts, and the architectures in which each is broken."""

    culprits: tuple[tuple[int, int], ...]


class NameFalls(NamedTuple):
    """What the closure decides for one name: `broken` dependency lists, `spared` records; `earlier`, by file name, are
    its earlier decisions that still hold.

    `list_of` is the dependency list of each record.
    """

    list_of: Sequence[int] = ()
    broken: Mapping[int, tuple[str, tuple[str, ...]]] = {}  # message, culprits
    spared: Mapping[int, AllowlistItem] = {}
    earlier: Mapping[str, ClosureDecision] = {}

    def decisions(self, fns: Sequence[str]) -> Iterator[tuple[int, ClosureDecision]]:
        """The decision for each record that falls or is spared, by place; some of them may be withheld already.

        Records that share a dependency list share one decision.
        """
        fallen: set[int] = set()
        if self.earlier:
            for record, fn in enumerate(fns):
                held = self.earlier.get(fn)
                if held is not None and (not held.item or not self.broken or self.list_of[record] not in self.broken):
                    fallen.add(record)
                    yield record, held
        of_list = {at: ClosureDecision(_reason(message), culprits) for at, (message, culprits) in self.broken.items()}
        spared: dict[tuple[int, str], ClosureDecision] = {}
        for record, at in enumerate(self.list_of):
            if at in of_list and record not in fallen:
                item = self.spared.get(record)
                if item is None:
                    yield record, of_list[at]
                else:
                    held = of_list[at]._replace(item=item.id, until_ms=item.expires_ms)
                    yield record, spared.setdefault((at, item.id), held)


BucketFalls = dict[int, NameFalls]  # place of a name in its bucket → what falls of it
Wave = Sequence[tuple[int, int, Sequence[int]]]  # subdir, position of a name, dependency lists that fall
Waves = Sequence[Wave]


class Closure:
    """Works out what else falls when records are withheld.

    `withheld`: by subdir, what is withheld before. `excepts`: the allowlist item that puts a reason of the closure
    aside; the record stays then, and so does what needs it (unless something else breaks that).
    """

    def __init__(
        self,
        blobs: IndexBlobs,
        sources: Mapping[str, SourceMap],
        withheld: Mapping[str, Withheld],
        excepts: Except | None = None,
    ) -> None:
        self._blobs, self._excepts = blobs, excepts
        architectures = sorted(subdir for subdir in sources if subdir != NOARCH)
        bits = {subdir: 1 << i for i, subdir in enumerate(architectures)} | {NOARCH: 1 << max(1, len(architectures))}
        present = [subdir for subdir in bits if subdir in sources]
        self._subdirs = [Subdir(i, bits[subdir], sources[subdir]) for i, subdir in enumerate(present)]
        self._withheld = [withheld[subdir] for subdir in present]
        self.texts = Texts()
        self._dependents = [Dependents(blobs, sources[subdir], self.texts) for subdir in present]
        self._requirements = Requirements(blobs, self._subdirs, self.texts, self._withheld)
        self._falls: list[dict[int, dict[int, _Fall]]] = [{} for _ in self._subdirs]  # by subdir, position, list
        self._spared: list[dict[int, dict[int, AllowlistItem]]] = [{} for _ in self._subdirs]  # …, record
        self._opened: set[str] = set()
        self._messages: dict[tuple[bool, tuple[tuple[int, int], ...]], str] = {}

    def withheld(self, causes: Mapping[str, Iterable[str]]) -> dict[str, dict[int, BucketFalls]]:
        """Subdir → bucket → what falls, given the names of what is withheld (`causes`, by subdir)."""
        self._open({name for names in causes.values() for name in names})
        return self._by_bucket(self._waves({}))

    def rederive(
        self, lost: Mapping[str, Sequence[Lost]], suspects: Mapping[str, Mapping[int, Collection[str]]]
    ) -> dict[str, dict[int, BucketFalls]]:
        """Subdir → bucket → what falls besides what is withheld, when little changed since that was worked out.

        Args:
            lost: By name, the records that are withheld only now, for another reason, or gone.
            suspects: Subdir → position of a name → file names of records that are not withheld and may have to be,
                whatever became of what they need.
        """
        requirements = self._requirements
        self._open(lost.keys())
        dependencies = requirements.dependencies
        news = [
            r
            for r in requirements.events
            if any(record.meets(dependencies[r]) for record in lost.get(dependencies[r].name, ()))
        ]
        doubtful = self._lists_of(suspects)
        texts = {
            text
            for (index, position), lists in doubtful.items()
            for at in lists
            for text in self._dependents[index].needs(position).texts_of(at)
        }
        requirements.load({dependency_name(self.texts.texts[text]) for text in texts})
        for text in sorted(texts):
            requirements.of_text(text)
        requirements.events.clear()  # what was broken before breaks nothing anew
        requirements.events.update(news)
        return self._by_bucket(self._waves(doubtful))

    def unfiltered(self) -> Requirements:
        """What the channel has when nothing is withheld."""
        return Requirements(self._blobs, self._subdirs, self.texts, [lambda _position: ()] * len(self._subdirs))

    def subdir(self, name: str) -> Subdir:
        """A subdir as the closure sees it."""
        return next(subdir for subdir in self._subdirs if subdir.source.subdir == name)

    def dependents(self, name: str) -> Dependents:
        """Who depends on what in a subdir."""
        return self._dependents[self.subdir(name).index]

    def _waves(self, doubtful: Mapping[tuple[int, int], Collection[int]]) -> Waves:
        waves = []
        while self._requirements.events or doubtful:
            wave = self._break_lists(doubtful)
            doubtful = {}
            waves.append(wave)
            self._lose(wave)
        return waves

    def _lists_of(self, suspects: Mapping[str, Mapping[int, Collection[str]]]) -> dict[tuple[int, int], set[int]]:
        """The dependency lists of some records, by subdir and position of the name."""
        found: dict[tuple[int, int], set[int]] = {}
        for subdir in self._subdirs:
            mine = suspects.get(subdir.source.subdir, {})
            buckets: dict[int, list[int]] = {}
            for position in sorted(mine):
                buckets.setdefault(subdir.bucket_of(position), []).append(position)
            rows = [subdir.source.buckets[at] for at in buckets]
            for row, positions, names in zip(rows, buckets.values(), iterate_builds(self._blobs, rows), strict=True):
                for position in positions:
                    list_of = self._dependents[subdir.index].needs(position).list_of
                    fns = decode_texts(names[position - row.first].fns)
                    lists = {at for fn, at in zip(fns, list_of, strict=True) if fn in mine[position]}
                    found[subdir.index, position] = lists
        return found

    def _open(self, names: Set[str]) -> set[str]:
        """Look at names of which something is lost: everything that asks for them, and whether that is still met.

        Answers the names that anybody asks for.
        """
        new = set(names) - self._opened
        self._opened |= new
        for dependents in self._dependents:
            dependents.load(new)
        used = new & self.texts.by_name.keys()
        self._requirements.load(sorted(used))
        for name in sorted(used):
            for text in self.texts.by_name[name]:
                self._requirements.of_text(text)
        return set(names & self.texts.by_name.keys())

    def _break_lists(self, doubtful: Mapping[tuple[int, int], Collection[int]]) -> Wave:
        """The dependency lists that fall because of what broke, and those of the doubtful ones that fall."""
        requirements = self._requirements
        hit: dict[tuple[int, int], list[int]] = {}
        for requirement in sorted(requirements.events):
            for subdir, dependents in zip(self._subdirs, self._dependents, strict=True):
                if subdir.source.subdir == NOARCH or requirements.broken[requirement] & subdir.bit:
                    for text in requirements.texts[requirement]:
                        for position, place in dependents.users(text):
                            hit.setdefault((subdir.index, position), []).append(place)
        requirements.events.clear()
        wave = []
        for index, position in dict.fromkeys([*hit, *doubtful]):
            needs = self._dependents[index].needs(position)
            known = self._falls[index].get(position, {})
            falls = {}
            for at in {*needs.lists_with(hit.get((index, position), ())), *doubtful.get((index, position), ())}:
                if at not in known and (fall := self._judge(index, needs, at)):
                    falls[at] = fall
            if falls:
                self._falls[index].setdefault(position, {}).update(falls)
                wave.append((index, position, list(falls)))
        return wave

    def _judge(self, index: int, needs: Needs, at: int) -> _Fall | None:
        """Whether a dependency list falls, and by what."""
        subdir, requirements = self._subdirs[index], self._requirements
        if subdir.source.subdir == NOARCH and requirements.architectures > 1:
            return self._judge_noarch(needs.texts_of(at))
        here = 1 if subdir.source.subdir == NOARCH else subdir.bit
        for place in needs.lists[at]:
            text = needs.texts[place]
            requirement = requirements.known(text)
            if requirement >= 0 and requirements.broken[requirement] & here:
                return _Fall(((text, here),))
        return None

    def _judge_noarch(self, texts: Sequence[int]) -> _Fall | None:
        requirements = self._requirements
        worked = requirements.everywhere
        broken: dict[int, int] = {}
        for text in texts:
            requirement = requirements.of_text(text)
            if requirement < 0:
                continue
            before = requirements.places(requirements.exists[requirement])
            lost = requirements.broken[requirement]
            if before and lost == before:
                return _Fall(((text, lost),))
            worked &= before or worked
            broken[text] = lost
        culprits = []
        left = worked
        for text, lost in broken.items():
            if lost & left:
                culprits.append((text, lost & left))
                left &= ~lost
        return _Fall(tuple(culprits)) if worked and not left else None

    def _lose(self, wave: Wave) -> None:
        """The records of the lists that fell are lost to those who need them."""
        if self._excepts:
            self._spare(wave, self._excepts)
        names = {self._subdirs[index].source.names[position] for index, position, _ in wave}
        used = self._open(names)
        self._requirements.events.clear()  # broken before: whoever needs it was looked at then
        for index, position, lists in wave:
            name = self._subdirs[index].source.names[position]
            if name not in used:
                continue
            target = next(t for t in self._requirements.targets(name) if t.subdir.index == index)
            spared = self._spared[index].get(position, {})
            fallen = set(lists)
            for record, at in enumerate(self._dependents[index].needs(position).list_of):
                if at in fallen and record not in spared:
                    self._requirements.lose(target, record)

    def _spare(self, wave: Wave, excepts: Except) -> None:
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
                        item = excepts(_reason("", fn), name.record_at(record, subdir.subdir, needs))
                        if item is not None:
                            self._spared[index].setdefault(position, {})[record] = item

    def _by_bucket(self, waves: Iterable[Wave]) -> dict[str, dict[int, BucketFalls]]:
        """The falls by bucket, with their messages: wave by wave, so that a cited message is made before the one that
        cites it."""
        broken: list[dict[int, dict[int, tuple[str, tuple[str, ...]]]]] = [{} for _ in self._subdirs]
        texts = self.texts.texts
        for wave in waves:
            for index, position, lists in wave:
                falls = self._falls[index][position]
                mine = broken[index].setdefault(position, {})
                for at in lists:
                    culprits = falls[at].culprits
                    mine[at] = self._message(index, culprits), tuple([texts[text] for text, _ in culprits])
        found: dict[str, dict[int, BucketFalls]] = {}
        for subdir, names in zip(self._subdirs, broken, strict=True):
            buckets = found[subdir.source.subdir] = {}
            for position, mine in names.items():
                at = subdir.bucket_of(position)
                list_of = self._dependents[subdir.index].needs(position).list_of
                spared = self._spared[subdir.index].get(position, {})
                place = position - subdir.firsts[at]
                buckets.setdefault(at, {})[place] = NameFalls(list_of, mine, spared)
        return found

    def _message(self, index: int, culprits: tuple[tuple[int, int], ...]) -> str:
        is_noarch = self._subdirs[index].source.subdir == NOARCH
        key = is_noarch, culprits
        message = self._messages.get(key)
        if message is None:
            parts = []
            for text, places in culprits:
                where = f" on {self._names_of(places)}" if is_noarch and self._is_elsewhere(text, places) else ""
                named = self._named(text, places)
                parts.append(f"{self.texts.texts[text]}{where}, and every build of it is withheld: {named}")
            message = self._messages[key] = _shorten("needs " + "; and ".join(parts))
        return message

    def _is_elsewhere(self, text: int, places: int) -> bool:
        """Whether a dependency is met, or was, in other architectures too."""
        requirements = self._requirements
        return requirements.places(requirements.exists[requirements.of_text(text)]) != places

    def _names_of(self, places: int) -> str:
        return ", ".join(s.source.subdir for s in self._subdirs if s.bit & places)

    def _named(self, text: int, places: int) -> str:
        """One of the withheld builds that a dependency asks for, and why; the policy's own rather than a chain's."""
        requirements = self._requirements
        dependency = requirements.dependencies[requirements.of_text(text)]
        first: tuple[Target, int] | None = None
        stopped: tuple[Target, int] | None = None
        total = 0
        for target in requirements.targets(dependency.name):
            if requirements.places(target.subdir.bit) & places:
                records = target.records_of(target.candidates(dependency))
                total += len(records)
                first = first or next(((target, record) for record in records), None)
                stopped = stopped or self._first_stopped(target, records)
        named = stopped or first
        assert named is not None  # noqa: S101 - a broken dependency was met before
        target, record = named
        more = f" and {total - 1} more" if total > 1 else ""
        return f"{target.fns[record]} ({self._because(target, record)}){more}"

    def _first_stopped(self, target: Target, records: Sequence[int]) -> tuple[Target, int] | None:
        """The first of some records that the policy itself withholds."""
        withheld, fns = self._withheld[target.subdir.index](target.position), target.fns
        for record in records if withheld else ():
            decision = withheld.get(fns[record])
            if decision is not None and policy_stop(decision) is not None:
                return target, record
        return None

    def _because(self, target: Target, record: int) -> str:
        index, position = target.subdir.index, target.position
        decision = self._withheld[index](position).get(target.fns[record])
        if decision is not None:
            return because(decision)
        at = self._dependents[index].needs(position).list_of[record]
        return self._message(index, self._falls[index][position][at].culprits)


def _reason(message: str, fn: str = ANY_FILE) -> Reason:
    return Reason("closure", "closure", "dependency", f"closure+{fn}", Action.stop, message)


def _shorten(message: str) -> str:
    """A long chain without its middle: what is needed, and what it comes to in the end."""
    if len(message) <= _MESSAGE_MAX:
        return message
    roots = _ROOT.findall(message)
    tail = f"… and in the end {roots[-1]}" if roots and len(roots[-1]) < _MESSAGE_MAX // 2 else "…"
    return message[: _MESSAGE_MAX - len(tail)] + tail


def because(decision: Decision) -> str:
    """Why a record is withheld, in a few words."""
    stop = policy_stop(decision)
    if stop is not None:
        return f"rule {stop.rule_id}: {stop.trigger_id.rsplit('+', 1)[0]}"
    return next((reason.message for reason in decision.reasons if reason.gate == "closure"), "withheld")


__all__ = ["BucketFalls", "Closure", "ClosureDecision", "Except", "Lost", "NameFalls", "because"]
