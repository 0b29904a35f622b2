"""The fixes that cooldowns let through, step by step: each publication on the last one is what one from nothing would be."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from antivenom.core.source.source_map import BUCKET_NAMES
from tests.core.index_samples import NOW_MS, MemoryBlobs
from tests.property.test_fixes_laws import (
    DAY_MS,
    NOTHING_LEFT,
    Listed,
    Row,
    World,
    check,
    fix,
    notes,
    old,
    places,
    publish,
)

FILLERS = [
    old(name, "1.0") for name in ("a0", "a1", "a2", "a3", "aa", "b0", "b1", "b2", "b3", "bb", "d", "e", "f", "g", "h")
]
BAD = frozenset({("a", "1.0"), ("b", "1.0"), ("c", "1.0")})
A_OLD, A_FIX, A_NEWER = old("a", "1.0"), fix("a", "1.1", days=3), fix("a", "2.0", days=2)


class Step(NamedTuple):
    """A channel, what is vulnerable in it, and days since the first step."""

    listed: Mapping[str, list[Row]]
    flawed: frozenset[tuple[str, str]] = BAD
    days: int = 0
    released: str = ""  # the versions that are let through: "a-1.1 b-2.0"


def linux(*rows: Row, **more: list[Row]) -> dict[str, list[Row]]:
    return {"linux-64": list(rows), **{subdir.replace("_", "-"): found for subdir, found in more.items()}}


SEQUENCES = {
    "the fix comes": [
        Step(linux(A_OLD)),
        Step(linux(A_OLD, A_FIX), released="a-1.1"),
        Step(linux(A_OLD, A_FIX, A_NEWER), released="a-1.1"),
        Step(linux(A_OLD, A_NEWER), released="a-2.0"),
        Step(linux(A_OLD)),
    ],
    "the vulnerability comes and goes": [
        Step(linux(A_OLD, A_FIX), frozenset()),
        Step(linux(A_OLD, A_FIX), released="a-1.1"),
        Step(linux(A_OLD, A_FIX), frozenset()),
        Step(linux(A_OLD, A_FIX), BAD | {("a", "1.1")}),
        Step(linux(A_OLD, A_FIX, A_NEWER), BAD | {("a", "1.1")}, released="a-2.0"),
    ],
    "time passes": [
        Step(linux(A_OLD, A_FIX, A_NEWER), released="a-1.1"),
        Step(linux(A_OLD, A_FIX, A_NEWER), days=3, released="a-1.1"),
        Step(linux(A_OLD, A_FIX, A_NEWER), days=4),  # it is old enough
        Step(linux(A_OLD, A_FIX, A_NEWER), BAD | {("a", "1.1")}, days=4, released="a-2.0"),
        Step(linux(A_OLD, A_FIX, A_NEWER), BAD | {("a", "1.1")}, days=9),
    ],
    "what it needs falls and returns": [
        Step(linux(A_OLD, fix("a", "1.1", "b", days=3), A_NEWER, old("b", "1.1")), released="a-1.1"),
        Step(linux(A_OLD, fix("a", "1.1", "b", days=3), A_NEWER, NOTHING_LEFT), released="a-2.0"),
        Step(linux(A_OLD, fix("a", "1.1", "b", days=3), A_NEWER, NOTHING_LEFT, fix("b", "2.0")), released="a-1.1 b-2.0"),
        Step(linux(A_OLD, fix("a", "1.1", "b", days=3), A_NEWER), released="a-1.1"),  # nobody lists b: not ours to say
    ],
    "what served it falls": [
        Step(linux(A_OLD, old("a", "1.1", "b"), A_NEWER, old("b", "1.1"))),
        Step(linux(A_OLD, old("a", "1.1", "b"), A_NEWER, NOTHING_LEFT), released="a-2.0"),
        Step(linux(A_OLD, old("a", "1.1", "b"), A_NEWER, NOTHING_LEFT, fix("b", "2.0")), released="b-2.0"),
        Step(linux(A_OLD, old("a", "1.1", "b"), A_NEWER, NOTHING_LEFT, fix("b", "2.0")), days=6),
    ],
    "a chain of needs": [
        Step(linux(A_OLD, fix("a", "1.1", "b"), NOTHING_LEFT, fix("b", "2.0", "c"), old("c", "1.0"), fix("c", "2.0")), released="a-1.1 b-2.0 c-2.0"),
        Step(linux(A_OLD, fix("a", "1.1", "b"), NOTHING_LEFT, fix("b", "2.0", "c"), old("c", "1.0"))),
        Step(linux(A_OLD, fix("a", "1.1", "b"), NOTHING_LEFT, fix("b", "2.0", "c"), fix("b", "2.1", days=1), old("c", "1.0")), released="a-1.1 b-2.1"),
    ],
    "two that need each other": [
        Step(linux(A_OLD, fix("a", "1.1", "b"), NOTHING_LEFT, fix("b", "2.0", "a")), released="a-1.1 b-2.0"),
        Step(linux(A_OLD, fix("a", "1.1", "b"), NOTHING_LEFT, fix("b", "2.0", "a", "c"), old("c", "1.0"))),
        Step(linux(A_OLD, fix("a", "1.1", "b"), NOTHING_LEFT, fix("b", "2.0", "a", "c"), fix("b", "2.1", "a", days=1), old("c", "1.0")), released="a-1.1 b-2.1"),
    ],
    "it becomes noarch": [
        Step(linux(A_OLD, noarch=FILLERS)),
        Step(linux(A_OLD, noarch=[*FILLERS, A_FIX]), released="a-1.1"),
        Step(linux(A_OLD, noarch=[*FILLERS, A_FIX, old("a", "1.2")])),
        Step(linux(A_OLD, noarch=[*FILLERS, A_FIX]), released="a-1.1"),
        Step(linux(A_OLD, old("a", "1.2"), noarch=[*FILLERS, A_FIX])),
        Step(linux(*FILLERS, noarch=[A_FIX])),
    ],
    "it was noarch": [
        Step(linux(*FILLERS, noarch=[A_OLD])),
        Step(linux(*FILLERS, A_FIX, noarch=[A_OLD]), released="a-1.1"),
        Step(linux(*FILLERS, A_FIX, noarch=[A_OLD]), frozenset()),
        Step(linux(*FILLERS, A_FIX, noarch=[A_OLD]), released="a-1.1"),
    ],
    "another platform has none": [
        Step(linux(old("a", "1.1"), osx_64=[A_OLD], noarch=[])),
        Step(linux(old("a", "1.1"), osx_64=[A_OLD], noarch=[A_NEWER]), released="a-2.0"),
        Step(linux(old("a", "1.1"), osx_64=[A_OLD, old("a", "1.2")], noarch=[A_NEWER])),
        Step(linux(old("a", "1.1"), osx_64=[], noarch=[A_NEWER])),
        Step(linux(osx_64=[A_OLD], noarch=[*FILLERS])),
        Step(linux(A_FIX, osx_64=[A_OLD], noarch=[*FILLERS])),  # those on osx-64 cannot have it
    ],
    "noarch falls by its platform": [
        Step(linux(old("a", "1.1", "b"), A_NEWER, old("b", "1.1"), noarch=[A_OLD])),
        Step(linux(old("a", "1.1", "b"), A_NEWER, NOTHING_LEFT, noarch=[A_OLD]), released="a-2.0"),
        Step(linux(A_NEWER, NOTHING_LEFT, noarch=[A_OLD, old("a", "1.1", "b")]), released="a-2.0"),
    ],
    "each Python has its own": [
        Step(linux(old("a", "1.0", python="py310"), fix("a", "2.0", python="py310"), old("a", "1.1", python="py311"), fix("a", "2.0", python="py311")), released="a-2.0-py310"),
        Step(linux(old("a", "1.0", python="py310"), fix("a", "2.0", python="py310"), old("a", "1.0", python="py311"), fix("a", "2.0", python="py311")), released="a-2.0-py310 a-2.0-py311"),
    ],
}  # fmt: skip


def let_through(found: Mapping[tuple[str, str], object]) -> set[str]:
    return {fn.partition("h1234")[0].rstrip("-") for _, fn in found}


@pytest.mark.parametrize(("extra", "closure"), [("", True), ("linux-64", True), ("noarch", False)])
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_step_by_step_it_is_what_it_would_be_from_nothing(sequence: str, extra: str, closure: bool) -> None:
    blobs = MemoryBlobs()
    published = None
    before = Step({})
    for step in SEQUENCES[sequence]:
        listed: Listed = {
            subdir: sorted([*rows, *(FILLERS if subdir == extra and FILLERS[0] not in rows else [])])
            for subdir, rows in step.listed.items()
        }
        given = {"now_ms": NOW_MS + step.days * DAY_MS, "closure": closure}
        anew = publish(blobs, listed, step.flawed, **given)
        if published is None:
            published = anew
        else:
            published = publish(
                blobs,
                listed,
                step.flawed,
                previous={subdir: made.publication for subdir, made in published.subdirs.items()},
                rejudge={name for name, _ in before.flawed ^ step.flawed},
                **given,
            )
        found = notes(blobs, published)
        assert (places(blobs, published), found) == (places(blobs, anew), notes(blobs, anew))
        assert published.counts == anew.counts
        check(World(listed, set(step.flawed), days=step.days, closure=closure), set(found))
        if closure:
            assert let_through(found) == set(step.released.split())
        before = step


def test_these_names_lie_in_several_buckets() -> None:
    ends = [row.name for row in FILLERS if zlib.crc32(row.name.encode()) % BUCKET_NAMES == 0]
    assert len(ends) >= 2
