"""Laws of `unless_fix`: a cooldown lets through the oldest fix that nothing else stops, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.core.policy.compile import Action, compile_policy, parse_policy
from antivenom.core.publication.publication_map import Decision
from antivenom.core.publishing.publish import Published
from antivenom.core.source.source_map import Component
from tests.core.index_samples import NOW_MS, MemoryBlobs, channel, decisions, opened, publish_all, record, served
from tests.property.test_closure_laws import Plainly

DAY_MS = 86_400_000
COOLDOWN_DAYS = 7
SUBDIRS = ("linux-64", "noarch")
POLICY = """
name: p
rules:
  - {id: bad, gate: vulnerabilities, trigger: package, action: stop, params: {severity: ">= high"}}
  - {id: agpl, gate: licenses, trigger: license, action: stop, params: {families: [agpl]}}
  - {id: wait, gate: metadata, trigger: age, action: stop, params: {less_than_days: 7, unless_fix: %s}}
"""
NEEDS = ("a", "b", "c", "a >=2", "b <2", "b >=2", "b 2.1", "c >=3", "c 1.1")
Place = tuple[str, str]


class Row(NamedTuple):
    """One record: its variant of Python ("" for any), the days since it was first listed, and what it needs."""

    name: str
    version: str
    python: str
    days: int
    licence: str
    needs: tuple[str, ...] = ()

    @property
    def fn(self) -> str:
        return f"{self.name}-{self.version}-{self.build}.conda"

    @property
    def build(self) -> str:
        return f"{self.python}h1234_0" if self.python else "h1234_0"

    def of(self, subdir: str) -> dict[str, Any]:
        indexed = NOW_MS - self.days * DAY_MS
        needs = [need for need in self.needs if need[0] != self.name]  # nobody installs a package beside itself
        return record(
            self.name,
            self.version,
            self.build,
            needs,
            license=self.licence,
            subdir=subdir,
            indexed_timestamp=indexed,
        )


rows = st.lists(
    st.builds(
        Row,
        st.sampled_from("abc"),
        st.sampled_from(("1.0", "1.1", "2.0", "2.1", "3.0")),
        st.sampled_from(("py310", "py311", "", "")),
        st.sampled_from((1, 2, 3, 30, 60)),
        st.sampled_from(("MIT", "MIT", "MIT", "AGPL-3.0-only")),
        st.lists(st.sampled_from(NEEDS), max_size=2).map(tuple) | st.just(()),
    ),
    min_size=1,
    max_size=9,
    unique_by=lambda row: row.fn,
)
Listed = dict[str, list[Row]]
channels = st.sampled_from([SUBDIRS, (*SUBDIRS, "osx-64"), ("noarch",)]).flatmap(
    lambda subdirs: st.fixed_dictionaries(dict.fromkeys(subdirs, rows))
)
flaws = st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from(("1.0", "1.1", "2.0", "2.1"))))


class Knowing:
    """What is known: versions with a vulnerability, some bad enough to be stopped."""

    def __init__(self, flawed: Iterable[tuple[str, str]]) -> None:
        self.flawed = set(flawed)

    def __call__(self, components: Sequence[Component]) -> list[Assessment | None]:
        finding = Finding(("CVE-2026-0001",), "critical", 9.8, False, None, 50.0, (), "active", "exact", ())
        return [Assessment(True, "", (finding,) if (c.name, c.version) in self.flawed else ()) for c in components]


def publish(blobs: MemoryBlobs, listed: Listed, flawed: Iterable[tuple[str, str]], **more: Any) -> Published:
    sources = channel(
        blobs, **{subdir.replace("-", "_"): [row.of(subdir) for row in found] for subdir, found in listed.items()}
    )
    policy = compile_policy(parse_policy(POLICY % str(more.pop("unless_fix", True)).lower()))
    return publish_all(blobs, sources, policy, assess=Knowing(flawed), **more)


class Pool(NamedTuple):
    """What clients of one platform and one Python choose from of a name."""

    served: set[Place]
    waiting: dict[Place, Row]
    vulnerable: set[Place]


class World:
    """A channel as its definition reads: what the rules alone do to each record, and what the closure makes of it."""

    def __init__(self, listed: Listed, flawed: set[tuple[str, str]], *, days: int = 0, closure: bool = True) -> None:
        self.listed, self.flawed, self.days, self.has_closure = listed, flawed, days, closure
        self.rows = {(subdir, row.fn): row for subdir, found in listed.items() for row in found}
        self.plainly = Plainly({s: {row.fn: row.of(s) for row in found} for s, found in listed.items()})
        stops = {place: self.stops(row) for place, row in self.rows.items()}
        self.stopped = {place for place, why in stops.items() if why}
        self.waiting = {place: self.rows[place] for place, why in stops.items() if why == {"wait"}}
        self.vulnerable = {place for place, why in stops.items() if why == {"bad"}}

    def stops(self, row: Row) -> set[str]:
        found = {"bad"} if (row.name, row.version) in self.flawed else set()
        found |= {"agpl"} if row.licence != "MIT" else set()
        return found | ({"wait"} if row.days + self.days < COOLDOWN_DAYS else set())

    def kept(self, released: Iterable[Place]) -> set[Place]:
        """What is served when these are let through."""
        lost = self.stopped - set(released)
        while self.has_closure:
            more = {
                (s, fn)
                for s, entries in self.plainly.channel.items()
                for fn, entry in entries.items()
                if (s, fn) not in lost and self.plainly.breaks(s, entry, lost)
            }
            if not more:
                break
            lost |= more
        return self.rows.keys() - lost

    def pools(self) -> Iterator[Pool]:
        for name in "abc":
            for platform in [s for s in self.listed if s != "noarch"] or ["noarch"]:
                pool = {p: row for p, row in self.rows.items() if row.name == name and p[0] in (platform, "noarch")}
                pythons = {row.python for row in pool.values()}
                for python in pythons - {""} or pythons:
                    mine = {place for place, row in pool.items() if row.python in (python, "")}
                    waiting = {place: row for place, row in self.waiting.items() if place in mine}
                    yield Pool(mine - self.stopped, waiting, self.vulnerable & mine)


def age(item: tuple[Place, Row]) -> tuple[Any, ...]:
    (subdir, fn), row = item
    return -row.days, row.version, fn, subdir


def places(blobs: MemoryBlobs, published: Published) -> set[Place]:
    return {(s, fn) for s, made in published.subdirs.items() if made.kept for fn in served(blobs, published, s)}


def notes(blobs: MemoryBlobs, published: Published) -> dict[Place, Decision]:
    return {
        (subdir, d.fn): d
        for subdir in published.subdirs
        for d in decisions(opened(blobs, published, subdir), Action.go)
        if d.reasons
    }


def check(world: World, released: set[Place]) -> None:
    """What is let through is what the definition says."""
    kept, without = world.kept(released), world.kept(())
    assert released <= world.waiting.keys(), "more than the cooldown stops it"
    assert released <= kept, "something that it needs is withheld, so it is no fix"
    pools = list(world.pools())
    for place in released:
        needs = [p for p in pools if place in p.waiting and p.vulnerable and not p.served & without]
        assert needs, "nobody needs it"
    for pool in pools:
        if not pool.vulnerable or pool.served & kept:
            continue
        waiting = sorted(pool.waiting.items(), key=age)
        others = {place for place in released if place not in pool.waiting}
        for place, _ in waiting:
            if place in released:
                break
            assert place not in world.kept({*others, place}), "it is older than what was let through, or nothing was"


@settings(max_examples=300, deadline=None)
@given(channels, flaws, st.booleans())
def test_the_oldest_fix_that_nothing_else_stops_is_let_through_for_each_platform_and_python(
    listed: Listed, flawed: set[tuple[str, str]], closure: bool
) -> None:
    blobs = MemoryBlobs()
    world = World(listed, flawed, closure=closure)
    strict = publish(blobs, listed, flawed, unless_fix=False, closure=closure)
    published = publish(blobs, listed, flawed, closure=closure)
    found = notes(blobs, published)
    assert places(blobs, strict) == world.kept(())
    assert places(blobs, published) == world.kept(found)
    check(world, set(found))
    for decision in found.values():
        [reason] = decision.reasons
        assert (reason.rule_id, reason.action, reason.trigger_id) == ("wait", Action.go, f"age+{decision.fn}")
        assert "CVE-2026-0001" in reason.message
        assert decision.holds_until_ms > NOW_MS


@settings(max_examples=200, deadline=None)
@given(channels, flaws, rows, flaws, st.sampled_from((0, 5, 10)), st.sampled_from(SUBDIRS), st.booleans())
def test_little_by_little_it_is_the_same_as_from_nothing(
    listed: Listed,
    flawed: set[tuple[str, str]],
    changed: list[Row],
    more_flawed: set[tuple[str, str]],
    days: int,
    where: str,
    only_some: bool,
) -> None:
    blobs = MemoryBlobs()
    first = publish(blobs, listed, flawed)
    was = listed.get(where, [])
    now = {row.fn: row for row in (*was, *changed[:2])}.values() if only_some else changed
    then = {**listed, where: list(now)} if where in listed else listed
    given_later: dict[str, Any] = {"now_ms": NOW_MS + days * DAY_MS}
    step = publish(
        blobs,
        then,
        more_flawed,
        previous={subdir: made.publication for subdir, made in first.subdirs.items()},
        rejudge={name for name, _ in flawed ^ more_flawed},
        **given_later,
    )
    anew = publish(blobs, then, more_flawed, **given_later)
    assert step.counts == anew.counts
    assert places(blobs, step) == places(blobs, anew)
    assert notes(blobs, step) == notes(blobs, anew)
    check(World(then, more_flawed, days=days), set(notes(blobs, anew)))


def fix(name: str, version: str, *needs: str, days: int = 2, python: str = "") -> Row:
    return Row(name, version, python, days, "MIT", needs)


def old(name: str, version: str, *needs: str, python: str = "") -> Row:
    return fix(name, version, *needs, days=60, python=python)


NOTHING_LEFT = old("b", "1.0")  # stopped, as "a 1.0" and "c 1.0" are


@pytest.mark.parametrize(
    ("listed", "released"),
    [
        ({"linux-64": [old("a", "1.0"), fix("a", "1.1", days=3), fix("a", "2.0")]}, {"a-1.1"}),
        # What the oldest needs is withheld: it would fall, and the next one is the fix.
        ({"linux-64": [old("a", "1.0"), fix("a", "1.1", "b", days=3), fix("a", "2.0"), NOTHING_LEFT]}, {"a-2.0"}),
        ({"linux-64": [old("a", "1.0"), fix("a", "1.1", "b", days=3), NOTHING_LEFT]}, set()),
        # It needs a fix that is let through, too, whichever was looked at first.
        ({"linux-64": [old("a", "1.0"), fix("a", "1.1", "b"), NOTHING_LEFT, fix("b", "2.0")]}, {"a-1.1", "b-2.0"}),
        ({"linux-64": [NOTHING_LEFT, fix("b", "2.0", "c"), old("c", "1.0"), fix("c", "2.0")]}, {"b-2.0", "c-2.0"}),
        # Two that need each other.
        (
            {"linux-64": [old("a", "1.0"), fix("a", "1.1", "b"), NOTHING_LEFT, fix("b", "2.0", "a")]},
            {"a-1.1", "b-2.0"},
        ),
        # The other one's oldest falls, and takes this one's with it; its next one serves both.
        (
            {
                "linux-64": [
                    *(old("a", "1.0"), fix("a", "1.1", "b"), fix("a", "2.0", days=1)),
                    *(NOTHING_LEFT, fix("b", "1.1", "c", days=3), fix("b", "2.0"), old("c", "1.0")),
                ]
            },
            {"a-1.1", "b-2.0"},
        ),
        # An older one is there, and the closure withholds it: nothing is served.
        ({"linux-64": [old("a", "1.0"), old("a", "1.1", "b"), fix("a", "2.0"), NOTHING_LEFT]}, {"a-2.0"}),
        ({"linux-64": [old("a", "1.1", "b"), fix("a", "2.0"), NOTHING_LEFT]}, set()),  # and nothing of it is vulnerable
        (
            {"linux-64": [old("a", "1.0"), old("a", "1.1", "b"), fix("a", "2.0"), NOTHING_LEFT, fix("b", "2.0")]},
            {"b-2.0"},  # with which the older one works again
        ),
        # It became noarch, or was noarch before.
        ({"linux-64": [old("a", "1.0")], "noarch": [fix("a", "2.0")]}, {"a-2.0"}),
        ({"linux-64": [fix("a", "2.0")], "noarch": [old("a", "1.0")]}, {"a-2.0"}),
        ({"linux-64": [old("a", "1.0"), fix("a", "2.0")], "noarch": [old("a", "1.1")]}, set()),
        ({"linux-64": [old("a", "1.1")], "noarch": [old("a", "1.0"), fix("a", "2.0")]}, set()),
        (
            {"linux-64": [old("a", "1.1")], "osx-64": [old("a", "1.0")], "noarch": [fix("a", "2.0")]},
            {"a-2.0"},  # for those on osx-64
        ),
        ({"linux-64": [old("a", "1.0")], "osx-64": [fix("a", "2.0")], "noarch": []}, set()),
        # Each Python has its own.
        (
            {
                "linux-64": [
                    *(old("a", "1.0", python="py310"), fix("a", "2.0", python="py310")),
                    *(old("a", "1.1", python="py311"), fix("a", "2.0", python="py311")),
                ]
            },
            {"a-2.0-py310"},
        ),
    ],
)
def test_which_fix_is_let_through(listed: Listed, released: set[str]) -> None:
    flawed = {("a", "1.0"), ("b", "1.0"), ("c", "1.0")}
    blobs = MemoryBlobs()
    published = publish(blobs, listed, flawed)
    assert {fn.partition("h1234")[0].rstrip("-") for _, fn in notes(blobs, published)} == released
    check(World(listed, flawed), set(notes(blobs, published)))
    again = publish(
        blobs, listed, flawed, previous={s: made.publication for s, made in published.subdirs.items()}, rejudge=[]
    )
    assert again.unchanged
