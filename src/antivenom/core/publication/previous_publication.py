"""The previous publication's decisions in one subdir, read bucket by bucket when asked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence

from antivenom.core.policy.compile import Action, Reason
from antivenom.core.publication.publication_map import Decision, PublicationMap, PublishedBucket, decode_decisions
from antivenom.core.source.packs import IndexBlobs, read_many
from antivenom.core.source.source_map import SourceMap

_NOTHING: Mapping[str, Sequence[Decision]] = {}


def policy_stop(decision: Decision) -> Reason | None:
    """The reason for which the policy itself withholds a record; None when it does not."""
    return next((r for r in decision.reasons if r.action == Action.stop and r.gate != "closure"), None)


def is_withheld_by_closure(decision: Decision) -> bool:
    """Whether the closure withholds a record, and no allowlist item spares it."""
    return bool(decision.broken_dependencies) and any(reason.gate == "closure" for reason in decision.reasons)


class PreviousSubdir:
    """The decisions of a published subdir. Rows are the buckets of the publication by number."""

    def __init__(self, blobs: IndexBlobs, published: PublicationMap | None) -> None:
        self.map = published
        self.rows: Sequence[PublishedBucket] = published.buckets if published else []
        self.names: Sequence[str] = published.names if published else []
        self.fixes: Sequence[str] = published.fixes if published else []
        self.positions = {name: i for i, name in enumerate(self.names)}
        self._blobs = blobs
        self._numbers = {row.facts: i for i, row in enumerate(self.rows)}
        self._firsts = [row.first for row in self.rows]
        self._decisions: dict[int, Mapping[str, Sequence[Decision]]] = {}

    def rows_of(self, source: SourceMap) -> list[int]:
        """For each bucket of a source map, the row with the same records; -1 where there is none.

        Equal facts are not enough: what facts leave out (dependencies, unknown fields) may differ.
        """
        if self.map is None:
            return [-1] * len(source.buckets)
        old, new = self.map.source_shards.to_rows(), source.shards.to_rows()
        found = []
        for bucket in source.buckets:
            number = self._numbers.get(bucket.facts, -1)
            row = self.rows[number] if number >= 0 else None
            same = row is not None and old[row.first : row.end] == new[bucket.first : bucket.end]
            found.append(number if same else -1)
        return found

    def row_of(self, name: str) -> int:
        """The row that holds a name; -1 when the name is not listed."""
        position = self.positions.get(name)
        return -1 if position is None else bisect_right(self._firsts, position) - 1

    def has_closure(self, number: int) -> bool:
        """Whether a row may hold decisions of the closure."""
        counts = self.rows[number].counts
        return "closure" in counts.by_gate or counts.excepted > 0

    def has_closure_of(self, name: str) -> bool:
        """Whether the closure may have decided something for a name."""
        number = self.row_of(name)
        return number >= 0 and self.has_closure(number)

    def read(self, numbers: Iterable[int]) -> None:
        """Read the decisions of some rows, neighbours together."""
        wanted = [n for n in numbers if n >= 0 and n not in self._decisions and self.rows[n].decisions_digest]
        frames = read_many(self._blobs, [self.rows[number].decisions for number in wanted])
        for number, frame in zip(wanted, frames, strict=True):
            by_name: dict[str, list[Decision]] = {}
            for decision in decode_decisions(frame):
                by_name.setdefault(decision.name, []).append(decision)
            self._decisions[number] = by_name

    def decisions_in(self, number: int) -> Mapping[str, Sequence[Decision]]:
        """The decisions of a row by name."""
        if number < 0 or not self.rows[number].decisions_digest:
            return _NOTHING
        if number not in self._decisions:
            self.read([number])
        return self._decisions[number]

    def decisions_of(self, row: PublishedBucket) -> Mapping[str, Sequence[Decision]]:
        """The decisions of a row by name."""
        return self.decisions_in(self._numbers[row.facts])

    def decisions_of_name(self, name: str) -> Sequence[Decision]:
        """The decisions of a name."""
        return self.decisions_in(self.row_of(name)).get(name, ())

    def stops(self, numbers: Collection[int]) -> dict[str, Decision]:
        """The withheld records of some rows, by file name."""
        self.read(numbers)
        decisions = (d for number in numbers for of_name in self.decisions_in(number).values() for d in of_name)
        return {d.fn: d for d in decisions if d.action == Action.stop}
