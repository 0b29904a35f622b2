"""Closure: what can no longer be installed because what it needs is withheld, is withheld too, and says why.

A dependency is *broken* where the unfiltered channel met it and the filtered one does not. A record of an
architecture is
judged in its own subdir plus noarch; a noarch record only falls when it is broken in every architecture in which it
worked.
Dependencies that were never met here (another channel's, virtual packages), conditional ones, and `constrains` do not
count.

The result is the least fixed point: it does not depend on any order. Only names with something withheld are looked
at, and
each distinct dependency text is parsed and compared once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache

import zstandard

from antivenom.core.conda import Dependency, parse_dependency
from antivenom.core.packs import IndexBlobs, read_many
from antivenom.core.policies import Action, AllowlistItem, Reason, Verdict
from antivenom.core.records import RecordFacts
from antivenom.core.rules.base import earliest
from antivenom.core.source_map import NameDepends, NameFacts, SourceMap, iterate_depends, read_depends, read_facts

NOARCH = "noarch"
_NAMED_MAX = 3  # withheld builds named in a message
_MESSAGE_MAX = 600  # characters of a chain
_BUCKETS_CACHED = 256
_NAMES_SEARCHED = 24  # beyond it, sorting all dependencies by name is cheaper than searching (measured)


def dependency_name(text: str) -> str:
    """The package name at the head of a dependency, lower case; cheap, so that most are never parsed."""
    head = text.split(None, 1)[0] if text.strip() else ""
    for stop in "=<>!~[;":
        head = head.split(stop, 1)[0]
    return head.rsplit("::", 1)[-1].rsplit(":", 1)[-1].lower()


class _Subdir:
    """One subdir's names, read bucket by bucket."""

    def __init__(self, blobs: IndexBlobs, source: SourceMap) -> None:
        self.name = source.subdir
        self.source = source
        self.positions = {name: i for i, name in enumerate(source.names)}
        self._blobs = blobs
        self._firsts = [bucket.first for bucket in source.buckets]
        self._users: dict[str, list[int]] | None = None
        self._lowered: list[bytes] | None = None
        self._names: dict[str, str] = {}
        self._read_facts = lru_cache(maxsize=_BUCKETS_CACHED)(self._facts_of_bucket)
        self._read_depends = lru_cache(maxsize=4 * _BUCKETS_CACHED)(self._depends_of_bucket)

    def _facts_of_bucket(self, at: int) -> list[NameFacts]:
        return read_facts(self._blobs, self.source.buckets[at])

    def _depends_of_bucket(self, at: int) -> list[NameDepends]:
        return read_depends(self._blobs, self.source.buckets[at])

    def facts(self, position: int) -> NameFacts:
        """The facts of the name at `position`."""
        at = bisect_right(self._firsts, position) - 1
        return self._read_facts(at)[position - self._firsts[at]]

    def depends(self, position: int) -> NameDepends:
        """The dependencies of the name at `position`."""
        at = bisect_right(self._firsts, position) - 1
        return self._read_depends(at)[position - self._firsts[at]]

    def users(self, names: Collection[str]) -> list[int]:
        """Positions of the names that depend on any of `names`, ascending.

        Few names are looked for in the bytes of the frames; for many, all dependencies are sorted by name once.
        """
        if self._users is None and len(names) > _NAMES_SEARCHED:
            self._users = self._all_users()
        if self._users is not None:
            return sorted({position for name in names for position in self._users.get(name, ())})
        needles = [name.encode() for name in names]
        wanted = frozenset(names)
        found: list[int] = []
        for at, frame in enumerate(self._frames()):
            if not any(needle in frame for needle in needles):
                continue
            first = self._firsts[at]
            for i, depends in enumerate(self._read_depends(at)):
                if any(self._name_of(text) in wanted for text in depends.dependencies):
                    found.append(first + i)
        return found

    def _frames(self) -> list[bytes]:
        """The decompressed dependencies of every bucket in lower case, to search in; about 18 MB at 1 M records."""
        if self._lowered is None:
            frames = read_many(self._blobs, (bucket.depends for bucket in self.source.buckets))
            decompress = zstandard.ZstdDecompressor().decompress
            self._lowered = [decompress(frame).lower() for frame in frames]
        return self._lowered

    def _name_of(self, text: str) -> str:
        name = self._names.get(text)
        if name is None:
            name = self._names[text] = dependency_name(text)
        return name

    def _all_users(self) -> dict[str, list[int]]:
        users: dict[str, list[int]] = {}
        names = self._names
        position = 0
        for bucket in iterate_depends(self._blobs, self.source.buckets):
            for depends in bucket:
                for text in depends.dependencies:
                    name = names.get(text)
                    if name is None:
                        name = names[text] = dependency_name(text)
                    positions = users.setdefault(name, [])
                    if not positions or positions[-1] != position:
                        positions.append(position)
                position += 1
        return users


Except = Callable[[Reason, RecordFacts], AllowlistItem | None]
Closed = Reason | tuple[str, Reason]  # why a record falls, or which allowlist item spares it from that


class Closure:
    """Works out what else falls when records are withheld.

    `stops`: subdir → file name → the verdict that withholds it. `excepts`: the allowlist item that puts a reason of the
    closure aside; the record stays then, and so does what needs it (unless something else breaks that).
    `holds_until_ms`: when the first item that spared a record ends (0: never).
    """

    def __init__(
        self,
        blobs: IndexBlobs,
        sources: Mapping[str, SourceMap],
        stops: Mapping[str, Mapping[str, Verdict]],
        excepts: Except | None = None,
    ) -> None:
        self._excepts = excepts
        self.holds_until_ms = 0
        self._subdirs = {subdir: _Subdir(blobs, source) for subdir, source in sources.items()}
        self._architectures = [subdir for subdir in sources if subdir != NOARCH]
        self._stops: dict[str, dict[str, Verdict | Reason]] = {subdir: dict(found) for subdir, found in stops.items()}
        self._parsed: dict[str, Dependency | None] = {}
        self._names: dict[str, str] = {}
        self._matching: dict[tuple[str, str], list[str]] = {}
        self._witness: dict[tuple[str, str], int] = {}  # position of the first match that may still be kept
        self._by_versions: dict[tuple[str, str, str], list[tuple[str, str, int]]] = {}
        self._messages: dict[tuple[str, str], str] = {}

    def withheld(self) -> dict[str, dict[str, Closed]]:
        """subdir → file name → the reason (with an allowlist item: spared); only records that no verdict withholds
        already."""
        found: dict[str, dict[str, Closed]] = {subdir: {} for subdir in self._subdirs}
        affected = {fn.rsplit("-", 2)[0].lower() for stops in self._stops.values() for fn in stops}
        if not affected:
            return found
        everywhere = set(affected)
        while affected:
            fallen: set[str] = set()
            for subdir, reader in self._subdirs.items():
                # With one place, a dependency on a name that did not change this round is as it was when looked at.
                suspicious = affected if len(self._places(subdir)) == 1 else everywhere
                for position in reader.users(affected):
                    for fn, reason in self._broken(reader, position, suspicious):
                        if fn in found[subdir]:  # spared before
                            continue
                        item = self._exception(reader, position, fn, reason)
                        if item is not None:
                            found[subdir][fn] = item.id, reason
                            continue
                        found[subdir][fn] = self._stops[subdir][fn] = reason
                        fallen.add(reader.source.names[position])
            affected = fallen
            everywhere |= fallen
        return found

    def _exception(self, reader: _Subdir, position: int, fn: str, reason: Reason) -> AllowlistItem | None:
        if self._excepts is None:
            return None
        facts, depends = reader.facts(position), reader.depends(position)
        item = self._excepts(reason, facts.record_at(facts.fns.index(fn), reader.name, depends))
        if item is not None:
            self.holds_until_ms = earliest(self.holds_until_ms, item.expires_ms)
        return item

    def _broken(self, reader: _Subdir, position: int, affected: set[str]) -> list[tuple[str, Reason]]:
        depends = reader.depends(position)
        suspects: dict[int, str] = {}
        names = self._names
        for i, text in enumerate(depends.dependencies):
            name = names.get(text)
            if name is None:
                name = names[text] = dependency_name(text)
            if name in affected:
                suspects[i] = text
        if not suspects:
            return []
        stops = self._stops[reader.name]
        lists: dict[int, str] = {}
        for at, positions in enumerate(depends.depends):
            mine = [suspects[i] for i in positions if i in suspects]
            text = self._broken_dependency(mine, reader.name) if mine else ""
            if text:
                lists[at] = text
        if not lists:
            return []
        return [
            (fn, self._reason(fn, lists[at], reader.name))
            for fn, at in zip(reader.facts(position).fns, depends.depends_of, strict=True)
            if at in lists and fn not in stops
        ]

    def _broken_dependency(self, texts: Iterable[str], subdir: str) -> str:
        """The first dependency that breaks a record with these; "" when it still works somewhere that it worked."""
        relevant = False
        culprit = ""
        for place in self._places(subdir):
            worked = broken = False
            for text in texts:
                before, now = self._is_met(text, place)
                worked |= before
                if before and not now:
                    broken = True
                    culprit = culprit or text
            if worked:
                relevant = True
                if not broken:
                    return ""
        return culprit if relevant else ""

    def _places(self, subdir: str) -> list[str]:
        """The architectures in which a record of `subdir` may be installed."""
        if subdir != NOARCH:
            return [subdir]
        return self._architectures or [NOARCH]

    def _is_met(self, text: str, place: str) -> tuple[bool, bool]:
        """Whether `text` was met in architecture `place` before filtering, and whether it is now."""
        before = False
        for subdir in (place,) if place == NOARCH else (place, NOARCH):
            matching = self._matches(text, subdir)
            if matching:
                before = True
                if self._is_kept(text, subdir, matching):
                    return True, True
        return before, False

    def _is_kept(self, text: str, subdir: str, matching: list[str]) -> bool:
        """Whether any match is kept. Withheld records stay withheld, so the search goes on where it stopped."""
        stops = self._stops[subdir]
        at = self._witness.get((text, subdir), 0)
        end = len(matching)
        while at < end and matching[at] in stops:
            at += 1
        self._witness[text, subdir] = at
        return at < end

    def _matches(self, text: str, subdir: str) -> list[str]:
        """File names of the unfiltered records in `subdir` that meet the dependency."""
        key = (text, subdir)
        found = self._matching.get(key)
        if found is None:
            found = self._matching[key] = self._find(text, subdir)
        return found

    def _find(self, text: str, subdir: str) -> list[str]:
        if text not in self._parsed:
            self._parsed[text] = parse_dependency(text)
        dependency = self._parsed[text]
        if dependency is None or subdir not in self._subdirs:
            return []
        key = (subdir, dependency.name, dependency.version_text)
        rows = self._by_versions.get(key)
        if rows is None:
            rows = self._by_versions[key] = self._admitted(subdir, dependency)
        return [fn for fn, build, number in rows if dependency.admits_build(build, number)]

    def _admitted(self, subdir: str, dependency: Dependency) -> list[tuple[str, str, int]]:
        """The records of a name whose version a dependency admits; many dependencies share the version part."""
        reader = self._subdirs[subdir]
        position = reader.positions.get(dependency.name)
        if position is None:
            return []
        facts = reader.facts(position)
        admitted = [dependency.admits_version(version) for version, _ in facts.components]
        rows = zip(facts.fns, facts.builds, facts.build_numbers, facts.component_of, strict=True)
        return [(fn, build, number) for fn, build, number, component in rows if admitted[component]]

    def _reason(self, fn: str, text: str, subdir: str) -> Reason:
        message = self._messages.get((text, subdir))
        if message is None:
            message = self._messages[text, subdir] = self._message(text, subdir)
        return Reason("closure", "closure", "dependency", f"closure+{fn}", Action.stop, message)

    def _message(self, text: str, subdir: str) -> str:
        culprits: dict[str, str] = {}
        for place in dict.fromkeys((*self._places(subdir), NOARCH)):
            for fn in self._matches(text, place) if place in self._subdirs else ():
                why = self._stops[place].get(fn)
                if why is not None and len(culprits) < _NAMED_MAX:
                    culprits.setdefault(fn, f"{fn} ({_because(why)})")
        message = f"needs {text}, and every build of it is withheld: {', '.join(culprits.values())}"
        return message if len(message) <= _MESSAGE_MAX else message[: _MESSAGE_MAX - 1] + "…"


def _because(why: Verdict | Reason) -> str:
    if isinstance(why, Reason):
        return why.message
    reason = next((r for r in why.reasons if r.action == Action.stop), None)
    if reason is None:
        return "withheld"
    return f"rule {reason.rule_id}: {reason.trigger_id.rsplit('+', 1)[0]}"
