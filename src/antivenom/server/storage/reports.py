"""What a collection or a verification found; stored with its run."""

from __future__ import annotations

from collections.abc import Iterable

from antivenom.server.web.rows import Row

LOST_SHOWN = 1000


class Totals(Row, frozen=True):
    """How many blobs or files, of how many bytes."""

    count: int = 0
    size_bytes: int = 0

    def plus(self, size_bytes: int, count: int = 1) -> Totals:
        """With more of them."""
        return Totals(self.count + count, self.size_bytes + size_bytes)


ByKind = dict[str, Totals]
"""By the kind of blob (the first word of its key); "scratch" are files of dead processes."""


def total_of(kinds: ByKind) -> Totals:
    """All kinds together."""
    return Totals(sum(t.count for t in kinds.values()), sum(t.size_bytes for t in kinds.values()))


def count_by_kind(sizes: Iterable[tuple[str, int]]) -> ByKind:
    """Totals of (key, size in bytes), by kind."""
    totals: ByKind = {}
    for key, size_bytes in sizes:
        kind = key.partition("/")[0]
        totals[kind] = totals.get(kind, Totals()).plus(size_bytes)
    return dict(sorted(totals.items()))


class RunOptions(Row, frozen=True):
    """What somebody asked for."""

    dry_run: bool = False
    repair: bool = False
    min_age_s: float = 60.0
    """Younger blobs are not deleted."""


class LostRow(Row, frozen=True):
    """A named blob that is missing or damaged. `plan` says what mends it; "" when nothing does."""

    key: str
    problem: str
    needed_by: str
    plan: str = ""


class StorageReport(Row, frozen=True):
    """See the module. A dry run has in `freed` what a real one would free."""

    stored: ByKind = {}
    """All blobs, before anything was freed."""
    unnamed: ByKind = {}
    """Those of them that nothing names."""
    freed: ByKind = {}
    checked: Totals = Totals()
    lost: tuple[LostRow, ...] = ()
    """The first of those found."""
    lost_count: int = 0
    notes: tuple[str, ...] = ()
    """What people should know besides, such as why something was not deleted."""
