"""Reads the served records of one publication map in order: their facts, and their JSON texts where somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

from msgspec import Raw

from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import PublishedBucket, read_withheld_filenames
from antivenom.core.source.packs import IndexBlobs, read_many
from antivenom.core.source.source_builder import piece_records
from antivenom.core.source.source_map import NameDepends, NameFacts, iterate_depends, iterate_facts

SECTIONS = ("packages", "packages.conda")
_BUCKETS_AT_ONCE = 64  # read together; texts of so many are some MB


class ServedName(NamedTuple):
    """One name: the facts of all its records, and the positions of those that are served.

    `depends` is None unless it was asked for. `texts` has the JSON of served records by file name, where it was asked
    for.
    """

    facts: NameFacts
    depends: NameDepends | None
    positions: list[int]
    texts: dict[str, Raw]

    def version_at(self, position: int) -> str:
        """The version of one record."""
        return self.facts.components[self.facts.component_of[position]][0]


def all_texts(facts: NameFacts) -> bool:
    """Ask `iterate_served` for every text."""
    return bool(facts)


def no_texts(facts: NameFacts) -> bool:
    """Ask `iterate_served` for no text."""
    return not facts


def _any_name(name: str) -> bool:
    return bool(name)


def iterate_served(
    blobs: IndexBlobs,
    published: PublicationIndex,
    *,
    wants: Callable[[str], object] = _any_name,
    with_depends: bool = False,
    texts_of: Callable[[NameFacts], object] = no_texts,
) -> Iterator[ServedName]:
    """The names that `wants` holds for and of which something is served, in order.

    Texts are read only of buckets with a name that `texts_of` holds for.
    """
    names = published.map.names
    buckets = [
        bucket
        for bucket in published.map.buckets
        if bucket.counts.kept and (wants is _any_name or any(map(wants, names[bucket.first : bucket.end])))
    ]
    for start in range(0, len(buckets), _BUCKETS_AT_ONCE):
        run = buckets[start : start + _BUCKETS_AT_ONCE]
        facts = list(iterate_facts(blobs, run))
        depends: Iterable[Sequence[NameDepends | None]] = iterate_depends(blobs, run) if with_depends else repeat(())
        texts = _read_texts(blobs, run, [any(map(texts_of, of_bucket)) for of_bucket in facts])
        withheld = read_many(blobs, [bucket.decisions for bucket in run])
        for of_bucket, depends_of, texts_by_fn, frame in zip(facts, depends, texts, withheld):  # noqa: B905 - endless
            stopped = read_withheld_filenames(frame, published.map.format)
            for place, of_name in enumerate(of_bucket):
                positions = [p for p, fn in enumerate(of_name.fns) if fn not in stopped]
                if positions and wants(of_name.name):
                    found = {fn: texts_by_fn[fn] for p in positions if (fn := of_name.fns[p]) in texts_by_fn}
                    yield ServedName(of_name, depends_of[place] if depends_of else None, positions, found)


def _read_texts(
    blobs: IndexBlobs, buckets: Sequence[PublishedBucket], is_wanted: Sequence[bool]
) -> Iterator[dict[str, Raw]]:
    """The JSON of each served record of the wanted buckets, by file name; nothing of the others."""
    wanted = [bucket for bucket, wants in zip(buckets, is_wanted, strict=True) if wants]
    blocks = [
        read_many(blobs, [bucket.pieces[section].location for bucket in wanted if bucket.pieces[section].records])
        for section in range(len(SECTIONS))
    ]
    for bucket, wants in zip(buckets, is_wanted, strict=True):
        found: dict[str, Raw] = {}
        for piece, of_section in zip(bucket.pieces, blocks, strict=True):
            if wants and piece.records:
                found |= piece_records(next(of_section), piece)
        yield found


def without_twins(facts: NameFacts, positions: Sequence[int]) -> list[int]:
    """The positions without each `.tar.bz2` whose `.conda` is served too, which clients take instead."""
    fns = facts.fns
    stems = {fns[p].removesuffix(".conda") for p in positions if fns[p].endswith(".conda")}
    return [p for p in positions if fns[p].endswith(".conda") or fns[p].removesuffix(".tar.bz2") not in stems]
