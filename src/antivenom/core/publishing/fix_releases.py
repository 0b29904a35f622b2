"""The fixes that cooldowns let through, in a whole publication: with noarch beside each platform, and with the closure.

A release rests on what else is served, and so does the closure on what is released. They are settled in rounds:

1. The policy alone says which names are in need, and the oldest waiting record of each is released.
2. The closure propagates. A released record that falls is *struck*, for something else stops it, and the next oldest is
   released. One that fell because it needs another name's record that fell with it is not struck yet: that name's next
   one may serve it. Where all have only each other to blame, one is struck.
3. When nothing released falls, names of which the closure withholds all that the policy serves are in need, too: back
   to the closure with their fixes.

What is struck and what is lost only grows, so this ends; most publications need no second round. It begins with nothing
struck each time, so the result does not depend on what was published before. The names that were in need are kept in
the publication map and are judged again in the next publication, whatever changed; for all others, only a new verdict
or a new decision of the closure can put them in need.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from antivenom.core.closure.propagate import BucketClosure, NameClosure
from antivenom.core.closure.requirements import NOARCH
from antivenom.core.policy.compile import Verdict
from antivenom.core.policy.fixes import Place, Pool
from antivenom.core.publication.previous_publication import is_withheld_by_closure
from antivenom.core.publishing.verdicts import SubdirVerdicts
from antivenom.core.source.source_map import dependency_name

Closures = Mapping[str, Mapping[int, BucketClosure]]


class FixReleases:
    """Chooses the fixes to release, and has the verdicts on them replaced.

    `cooldowns`: the rules that let fixes through, by id, in ms.
    """

    def __init__(self, verdicts: Mapping[str, SubdirVerdicts], cooldowns: Mapping[str, int]) -> None:
        self._verdicts, self._cooldowns = verdicts, cooldowns
        self._architectures = [subdir for subdir in verdicts if subdir != NOARCH]
        self._struck: set[Place] = set()
        self._lost: set[Place] = set()
        self._released: dict[Place, tuple[str, Verdict]] = {}  # with the name
        self._waiting: set[str] = set()  # names of which a record waits
        # Of these the closure's decisions count, whether new or not.
        self._watched = {name for found in verdicts.values() for name in found.previous.fixes}
        self._broken: dict[Place, Mapping[str, Sequence[str]]] = {}  # by subdir and name: see _broken_of

    def release(self) -> None:
        """Release what the policy alone says."""
        for name in self._changed_names():
            self._complete(name)
            self._watched.add(name)
        self._choose()

    def settle(self, closures: Closures) -> bool:
        """Take in what the closure decided; False when it has to decide again, for something else was judged since."""
        self._broken = {}
        before = self._judgements()
        fallen = {place: name for place, (name, _) in self._released.items() if self._falls(closures, place, name)}
        if fallen:
            self._struck |= self._to_strike(closures, fallen)
        else:
            self._lost |= set(self._newly_lost(closures))
        self._choose()
        return self._judgements() == before

    def _judgements(self) -> int:
        return sum(found.judged_again for found in self._verdicts.values())

    # -- who is in need ------------------------------------------------------------------------------------------------

    def _changed_names(self) -> list[str]:
        """The names with other records or verdicts than before in one subdir, that another lists and did not judge."""
        if NOARCH not in self._verdicts or not self._architectures:
            return []
        changed = sorted({name for found in self._verdicts.values() for name in found.changed_names()})
        return [name for name in changed if any(not found.is_judged(name) for found in self._listing(name))]

    def _listing(self, name: str) -> list[SubdirVerdicts]:
        return [found for found in self._verdicts.values() if name in found.positions]

    def _complete(self, name: str) -> None:
        """Have a name judged in each subdir that lists it."""
        for found in self._listing(name):
            if name not in found.parts:
                found.judge_whole(name)

    def _pools(self, name: str) -> Iterator[Pool]:
        """What clients of each platform choose from; nothing where no record that waits can be of use."""
        parts = {found.source.subdir: found.parts[name] for found in self._listing(name) if name in found.parts}
        if all(Pool([part], self._lost).serves_what_waits() for part in parts.values()):
            return
        self._watched.add(name)
        self._complete(name)
        parts = {found.source.subdir: found.parts[name] for found in self._listing(name)}
        common = [parts[NOARCH]] if NOARCH in parts else []
        for subdir in self._architectures:
            if subdir in parts:
                yield Pool([parts[subdir], *common], self._lost)
        if common and any(subdir not in parts for subdir in self._architectures or [""]):
            yield Pool(common, self._lost)

    def _choose(self) -> None:
        """Release the oldest that is not struck of each name in need, and have the verdicts replaced."""
        for found in self._verdicts.values():
            self._waiting.update(name for name, part in found.parts.items() if part.waiting)
        released: dict[Place, tuple[str, Verdict]] = {}
        needy = []
        for name in sorted(self._waiting):
            pools = list(self._pools(name))
            if any(pool.variants_in_need() for pool in pools):
                needy.append(name)
            for pool in pools:
                for place, verdict in pool.release(self._cooldowns, self._struck):
                    released.setdefault(place, (name, verdict))
        before, self._released = self._released, released
        for subdir, found in self._verdicts.items():
            found.fixes = [name for name in needy if name in found.positions]
            mine = {fn: verdict for (of, fn), (_, verdict) in released.items() if of == subdir}
            places = (*before.items(), *released.items())
            found.release(mine, {name for (of, _), (name, _) in places if of == subdir})

    # -- what the closure says -----------------------------------------------------------------------------------------

    def _newly_lost(self, closures: Closures) -> Iterator[Place]:
        """Records that the policy serves and the closure does not, of names of which a record waits."""
        names = self._watched | set(self._newly_broken(closures))
        for name in sorted(names):
            for found in self._listing(name):
                part = found.parts.get(name)
                for fns in part.served.values() if part else ():
                    places = [(found.source.subdir, fn) for fn in fns]
                    yield from (place for place in places if self._falls(closures, place, name))

    def _newly_broken(self, closures: Closures) -> Iterator[str]:
        """The names of which a record waits and the closure withholds one, where it was asked again."""
        for subdir, buckets in closures.items():
            source = self._verdicts[subdir].source
            for at, of_bucket in buckets.items():
                for place, closure in of_bucket.items():
                    name = source.names[source.buckets[at].first + place]
                    if closure.broken and any(not found.is_judged(name) for found in self._beside(subdir, name)):
                        self._complete(name)
                        self._watched.add(name)
                    if name in self._waiting:
                        yield name

    def _beside(self, subdir: str, name: str) -> list[SubdirVerdicts]:
        """The other subdirs that list a name and share clients with one."""
        return [f for f in self._listing(name) if f.source.subdir != subdir and NOARCH in (subdir, f.source.subdir)]

    def _falls(self, closures: Closures, place: Place, name: str) -> bool:
        """Whether the closure withholds a record."""
        return place[1] in self._broken_of(closures, place[0], name)

    def _broken_of(self, closures: Closures, subdir: str, name: str) -> Mapping[str, Sequence[str]]:
        """The records of a name that the closure withholds, each with the dependencies for which it does."""
        known = self._broken.get((subdir, name))
        if known is None:
            known = self._broken[subdir, name] = dict(self._find_broken(closures, subdir, name))
        return known

    def _find_broken(self, closures: Closures, subdir: str, name: str) -> Iterator[tuple[str, Sequence[str]]]:
        found = self._verdicts[subdir]
        at, place = found.place_of(name)
        if found.buckets[at] is None:  # as in the previous publication
            decisions = found.previous.decisions_of_name(name)
            yield from ((d.fn, d.broken_dependencies) for d in decisions if is_withheld_by_closure(d))
        elif (closure := closures.get(subdir, {}).get(at, {}).get(place)) is not None:
            fns = found.parts[name].fns
            decided, number_of = closure.decisions(fns)
            for record, number in number_of.items():
                if not decided[number].item:
                    yield fns[record], decided[number].broken_dependencies

    def _to_strike(self, closures: Closures, fallen: Mapping[Place, str]) -> set[Place]:
        """Those of the released records that fell which fell for another reason than that others of them did."""
        names = set(fallen.values())
        alone = set()
        for place, name in fallen.items():
            broken = self._broken_of(closures, place[0], name)[place[1]]
            if not self._reaches(closures, broken, names - {name}):
                alone.add(place)
        return alone or {max(fallen)}

    def _reaches(self, closures: Closures, broken: Iterable[str], names: Collection[str]) -> bool:
        """Whether dependencies are broken because records of some of these names are withheld."""
        seen: set[str] = set()
        left = [dependency_name(text) for text in broken]
        while left:
            name = left.pop()
            if name in names:
                return True
            if name not in seen:
                seen.add(name)
                for closure in self._closures_of(closures, name):
                    left += [dependency_name(text) for _, texts in closure.broken.values() for text in texts]
                    left += [dependency_name(text) for d in closure.earlier.values() for text in d.broken_dependencies]
        return False

    def _closures_of(self, closures: Closures, name: str) -> Iterator[NameClosure]:
        for found in self._listing(name):
            at, place = found.place_of(name)
            if (closure := closures.get(found.source.subdir, {}).get(at, {}).get(place)) is not None:
                yield closure


__all__ = ["FixReleases"]
