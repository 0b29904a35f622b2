"""The dependents of names in one subdir, read bucket by bucket, each bucket at most once.

Dependency texts are numbered once for the whole channel: 300k records write 19k distinct ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence

from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_map import CHECKSUM_BYTES, SourceMap, dependency_name, iterate_depends, name_checksum

_SEARCHED_MAX = 32  # for more checksums, sorting all once is cheaper than searching for each (measured)
_SHIFT = 20  # a user is a name's position and, below it, the place of a text among the name's texts
_PLACE = (1 << _SHIFT) - 1


class DependencyTexts:
    """The distinct dependency texts of a channel by number, and by the name that they ask for."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.by_name: dict[str, list[int]] = {}
        self._numbers: dict[str, int] = {}

    def numbers(self, texts: Sequence[str]) -> list[int]:
        """The numbers of some texts."""
        known = self._numbers
        try:
            return [known[text] for text in texts]
        except KeyError:
            for text in texts:
                if text not in known:
                    self.by_name.setdefault(dependency_name(text), []).append(len(self.texts))
                    known[text] = len(self.texts)
                    self.texts.append(text)
            return [known[text] for text in texts]


class NameDependencies:
    """The dependencies of one name's records: `texts` (numbers), `lists` of places in `texts`, each record's list."""

    __slots__ = ("_lists_with", "list_of", "lists", "texts")

    def __init__(self, texts: list[int], lists: list[tuple[int, ...]], list_of: list[int]) -> None:
        self.texts, self.lists, self.list_of = texts, lists, list_of
        self._lists_with: list[list[int]] | None = None

    def lists_with(self, places: Collection[int]) -> Sequence[int]:
        """The lists that hold any of these places, ascending."""
        if self._lists_with is None:
            self._lists_with = [[] for _ in self.texts]
            for at, members in enumerate(self.lists):
                for place in members:
                    self._lists_with[place].append(at)
        if not places:
            return ()
        if len(places) == 1:
            return self._lists_with[next(iter(places))]
        return sorted({at for place in places for at in self._lists_with[place]})

    def texts_of(self, at: int) -> list[int]:
        """The text numbers of one list, in order."""
        return [self.texts[place] for place in self.lists[at]]


class Dependents:
    """The dependencies of one subdir's records, and the names that use each text."""

    def __init__(self, blobs: IndexBlobs, source: SourceMap, texts: DependencyTexts) -> None:
        self._blobs, self._source, self._texts = blobs, source, texts
        self._firsts = [bucket.first for bucket in source.buckets]
        self._by_position: dict[int, NameDependencies] = {}  # by position of the name
        self._unread = set(range(len(source.buckets)))
        self._users: list[list[int]] = []  # by text
        self._buckets_of: dict[bytes, list[int]] | None = None
        self._without_checksums = {at for at, bucket in enumerate(source.buckets) if not bucket.dependency_checksums}

    def load(self, names: Collection[str]) -> None:
        """Read the users of all texts that ask for `names`."""
        if names and self._unread:
            self._read(sorted(self._unread.intersection(self.buckets_using(names))))

    def buckets_using(self, names: Collection[str]) -> set[int]:
        """The buckets that may hold users of any of these names."""
        checksums = {name_checksum(name) for name in names}
        if self._buckets_of is None and len(checksums) > _SEARCHED_MAX:
            self._buckets_of = {}
            for at, bucket in enumerate(self._source.buckets):
                listed = bucket.dependency_checksums
                for start in range(0, len(listed), CHECKSUM_BYTES):
                    self._buckets_of.setdefault(listed[start : start + CHECKSUM_BYTES], []).append(at)
        if self._buckets_of is not None:
            return self._without_checksums.union(
                at for checksum in checksums for at in self._buckets_of.get(checksum, ())
            )
        rows = enumerate(self._source.buckets)
        return self._without_checksums.union(
            at for at, bucket in rows if any(checksum in bucket.dependency_checksums for checksum in checksums)
        )

    def of_name(self, position: int) -> NameDependencies:
        """The dependencies of the records of the name at `position`."""
        if position not in self._by_position:
            self._read([bisect_right(self._firsts, position) - 1])
        return self._by_position[position]

    def users(self, text: int) -> list[tuple[int, int]]:
        """Positions of the names that use a text, and its place among their texts.

        Complete once the name that the text asks for is loaded.
        """
        if text >= len(self._users):
            return []
        return [(user >> _SHIFT, user & _PLACE) for user in self._users[text]]

    def _read(self, buckets: Sequence[int]) -> None:
        self._unread.difference_update(buckets)
        rows = [self._source.buckets[at] for at in buckets]
        users, numbers = self._users, self._texts.numbers
        for bucket, names in zip(rows, iterate_depends(self._blobs, rows), strict=True):
            for position, depends in enumerate(names, bucket.first):
                texts = numbers(depends.dependencies)
                self._by_position[position] = NameDependencies(texts, depends.depends, depends.depends_of)
                while len(users) < len(self._texts.texts):
                    users.append([])
                for user, text in enumerate(texts, position << _SHIFT):
                    users[text].append(user)
