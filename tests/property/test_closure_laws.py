"""Laws of the closure: it withholds what a plain reading of its definition withholds, and what changed little says the
same as everything anew, with reasons that are true."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.core.conda.records import RecordFacts
from antivenom.core.conda.specs import parse_dependency
from antivenom.core.policy.compile import Action, AllowlistItem, Reason, compile_policy, parse_policy
from antivenom.core.publication.publication_map import Decision
from antivenom.core.publishing.publish import Published
from antivenom.core.source.ingest import ingest_monolith
from tests.core.index_samples import (
    NOW_MS,
    FakePolicy,
    MemoryBlobs,
    decisions,
    document,
    fn_of,
    ingest,
    opened,
    publish_all,
    record,
    served,
    shards_of,
)

SUBDIRS = ("linux-64", "osx-64", "noarch")
DEPENDENCIES = (
    "a", "b", "b 1", "c >=2", "c <2", "d", "d 2.* 1", "e", "f >=9", "b =1=0", "A >=1", "conda-forge::c",
    "e[build_number='>=1']", "__unix", "f 1|2 *", "][",
)  # fmt: skip
Channel = dict[str, dict[str, dict[str, Any]]]  # subdir → file name → record


class Step(NamedTuple):
    """One state of the world: what the upstream lists, what is banned, and what an allowlist item spares."""

    channel: Channel
    banned: frozenset[str]
    spared: frozenset[str]
    closure: bool


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    return record(
        draw(st.sampled_from("abcdef")),
        draw(st.sampled_from(["1", "2"])),
        draw(st.sampled_from(["0", "1"])),
        draw(st.lists(st.sampled_from(DEPENDENCIES), max_size=3)),
        build_number=draw(st.integers(0, 1)),
    )


def channels(subdirs: tuple[str, ...]) -> st.SearchStrategy[Channel]:
    def named(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {fn_of(entry): entry for entry in found}

    return st.fixed_dictionaries({subdir: st.lists(records(), max_size=9).map(named) for subdir in subdirs})


files = st.frozensets(
    st.builds("{}-{}-{}.conda".format, st.sampled_from("abcdef"), st.sampled_from("12"), st.sampled_from("01")),
    max_size=5,
)


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """A world, and what becomes of it: a few records come, go or change, bans and exceptions come and go."""
    subdirs = draw(st.sampled_from([SUBDIRS, SUBDIRS, ("linux-64", "noarch"), ("noarch",)]))
    spared = st.just(frozenset[str]()) | files
    steps = [Step(draw(channels(subdirs)), draw(files), draw(spared), closure=True)]
    for _ in range(draw(st.integers(1, 3))):
        last = steps[-1]
        news = draw(channels(subdirs)) if draw(st.booleans()) else {subdir: {} for subdir in subdirs}
        gone = draw(files)
        channel = {
            subdir: {fn: entry for fn, entry in entries.items() if fn not in gone}
            | dict(list(news[subdir].items())[:2])
            for subdir, entries in last.channel.items()
        }
        steps.append(
            Step(
                channel,
                last.banned ^ draw(files) if draw(st.booleans()) else last.banned,
                draw(spared) if draw(st.integers(0, 3)) == 0 else last.spared,
                closure=draw(st.integers(0, 7)) > 0,
            )
        )
    return steps


class Rules(FakePolicy):
    """Withholds what a step bans, and spares from the closure what it spares."""

    def __init__(self, step: Step) -> None:
        super().__init__(lambda facts: facts.fn in step.banned)
        self.closure_exceptions = tuple(
            AllowlistItem(fn, "closure", f"closure+{fn}", "o", "r") for fn in sorted(step.spared)
        )

    def except_closure(self, reason: Reason, facts: RecordFacts, now_ms: int) -> AllowlistItem | None:
        assert reason.trigger_id == f"closure+{facts.fn}"
        return next((item for item in self.closure_exceptions if item.id == facts.fn), None)


def withheld(blobs: MemoryBlobs, published: Published) -> dict[tuple[str, str], Decision]:
    return {
        (subdir, d.fn): d
        for subdir in published.subdirs
        for d in decisions(opened(blobs, published, subdir), Action.stop)
    }


def meets(entry: Mapping[str, Any], text: str) -> bool:
    dependency = parse_dependency(text)
    return (
        dependency is not None
        and dependency.name == entry["name"]
        and dependency.admits_version(entry["version"])
        and dependency.admits_build(entry["build"])
        and dependency.admits_number(entry["build_number"])
    )


class Plainly:
    """The definition of the closure, read literally and computed without any cleverness."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.places = [subdir for subdir in channel if subdir != "noarch"] or ["noarch"]

    def matches(self, text: str, place: str) -> set[tuple[str, str]]:
        subdirs = {place, "noarch"} & self.channel.keys()
        return {(s, fn) for s in subdirs for fn, entry in self.channel[s].items() if meets(entry, text)}

    def breaks(
        self, subdir: str, entry: Mapping[str, Any], lost: Iterable[tuple[str, str]], by: Iterable[str] | None = None
    ) -> bool:
        """Whether a record falls when these are lost; `by`: because of these of its dependencies."""
        lost = set(lost)
        places = self.places if subdir == "noarch" else [subdir]
        before = {t: {p for p in places if self.matches(t, p)} for t in entry["depends"]}
        broken = {t: {p for p in before[t] if self.matches(t, p) <= lost} for t in before if by is None or t in by}
        if any(before[t] and broken[t] == before[t] for t in broken):
            return True
        worked = {p for p in places if all(p in before[t] for t in before if before[t])}
        return bool(worked) and all(any(p in broken[t] for t in broken) for p in worked)

    def lost(self, banned: Iterable[str], spared: Iterable[str]) -> set[tuple[str, str]]:
        lost = {(s, fn) for s, entries in self.channel.items() for fn in entries if fn in set(banned)}
        while True:
            more = {
                (s, fn)
                for s, entries in self.channel.items()
                for fn, entry in entries.items()
                if (s, fn) not in lost and fn not in set(spared) and self.breaks(s, entry, lost)
            }
            if not more:
                return lost
            lost |= more


def check_reasons(step: Step, found: Mapping[tuple[str, str], Decision]) -> None:
    """The broken_dependencies of what fell were met, by nothing that is kept; what they name is withheld, and not for itself."""
    plainly = Plainly(step.channel)
    for (subdir, fn), decision in found.items():
        if fn in step.banned:
            assert [r.gate for r in decision.reasons] == ["packages"]
            continue
        assert decision.broken_dependencies
        assert set(decision.broken_dependencies) <= set(step.channel[subdir][fn]["depends"])
        assert plainly.breaks(subdir, step.channel[subdir][fn], found, decision.broken_dependencies)
        message = decision.reasons[0].message
        named = {other for entries in step.channel.values() for other in entries if f"{other} (" in message}
        assert named
        assert named <= {other for _, other in found}
        assert fn not in named or any(fn in step.channel[s] for s in step.channel if s != subdir)


def test_an_exception_is_asked_for_again_when_another_fact_of_its_record_changes() -> None:
    blobs = MemoryBlobs()
    policy = compile_policy(
        parse_policy(
            "name: p\nrules: [{id: ban, gate: packages, trigger: names, action: stop, params: {deny: [a]}}]\n"
            "allowlist: [{id: i, gate: closure, trigger_id: '*', match: 'b[license=MIT]', owner: o, reason: r}]\n"
        )
    )
    source: str | None = None
    previous: dict[str, str] = {}
    for license, kept in (("MIT", ["b-1.0-0.conda"]), ("GPL-3.0-only", []), ("MIT", ["b-1.0-0.conda"])):
        text = document(record("a"), record("b", depends=["a"], license=license))
        source = ingest(blobs, text, previous=source)
        made = publish_all(blobs, {"noarch": source}, policy, previous=previous, rejudge=["b"])
        assert list(served(blobs, made)) == kept
        previous = {"noarch": made.subdirs["noarch"].publication}


STATES = ("absent", "kept", "banned")
Cells = tuple[str, ...]  # the state of each name in each architecture


def small_world(names: str, cells: Cells) -> Step:
    """A noarch tool that needs all of some names, each in a state of its own in each architecture, and what needs it."""
    states = dict(zip(itertools.product(SUBDIRS[:2], names), cells, strict=True))
    entries = {
        at: record(at[1], build=at[0].replace("-", ""), subdir=at[0])
        for at, state in states.items()
        if state != "absent"
    }
    channel = {s: {fn_of(entry): entry for (at, _), entry in entries.items() if at == s} for s in SUBDIRS[:2]}
    tool, top = record("tool", depends=list(names)), record("top", depends=["tool 1.0 0"])
    banned = frozenset(fn_of(entries[at]) for at, state in states.items() if state == "banned")
    return Step({**channel, "noarch": {fn_of(tool): tool, fn_of(top): top}}, banned, frozenset(), closure=True)


def single_changes(cells: Cells) -> Iterator[Cells]:
    for i, state in itertools.product(range(len(cells)), STATES):
        if state != cells[i]:
            yield (*cells[:i], state, *cells[i + 1 :])


def check_single_changes(names: str, worlds: Iterable[Cells]) -> None:
    blobs = MemoryBlobs()

    def publish_world(cells: Cells, **more: Any) -> Published:
        step = small_world(names, cells)
        sources = {
            subdir: ingest(blobs, document(*entries.values(), info={"subdir": subdir}), subdir=subdir)
            for subdir, entries in step.channel.items()
        }
        made = publish_all(blobs, sources, Rules(step), monolith=False, **more)
        expected = Plainly(step.channel).lost(step.banned, step.spared)
        assert withheld(blobs, made).keys() == expected, (cells, more)
        return made

    for before in worlds:
        previous = {subdir: made.publication for subdir, made in publish_world(before).subdirs.items()}
        for after in single_changes(before):
            publish_world(after, previous=previous)


def test_of_two_names_any_single_change_of_the_upstream_or_the_policy_is_seen() -> None:
    check_single_changes("ab", itertools.product(STATES, repeat=4))


@pytest.mark.parametrize("cells", [
    ("banned", "kept", "kept", "kept", "kept", "absent"),  # c appears on osx: the tool works there, without touching a
    ("banned", "kept", "absent", "kept", "kept", "kept"),  # c vanishes from osx, or appears on linux
    ("banned", "kept", "kept", "kept", "kept", "kept"),  # b or c vanishes from osx: it worked on linux alone, and a is gone
])  # fmt: skip
def test_of_three_names_a_change_that_touches_none_of_the_reasons_is_seen(cells: Cells) -> None:
    check_single_changes("abc", [cells])


@settings(max_examples=100)
@given(histories())
def test_little_by_little_says_the_same_as_all_anew_and_both_what_the_definition_says(history: list[Step]) -> None:
    blobs = MemoryBlobs()
    sources: dict[str, str] = {}
    previous: dict[str, str] = {}
    last: Step | None = None
    for step in history:
        changed: set[str] = set()
        for subdir, entries in step.channel.items():
            text = document(*entries.values(), info={"subdir": subdir})
            made = ingest_monolith(blobs, text, subdir=subdir, now_ms=NOW_MS, previous=sources.get(subdir))
            sources[subdir] = made.source
            changed |= {*made.changed, *made.gone}
        same_rules = last is not None and (last.banned, last.spared) == (step.banned, step.spared)
        policy = Rules(step)
        anew = publish_all(blobs, sources, policy, closure=step.closure)
        made_now = publish_all(
            blobs, sources, policy, closure=step.closure, previous=previous, rejudge=changed if same_rules else None
        )
        found = withheld(blobs, made_now)
        assert found.keys() == withheld(blobs, anew).keys()
        assert made_now.counts == anew.counts
        lost = {(s, fn) for s, entries in step.channel.items() for fn in entries if fn in step.banned}
        assert found.keys() == (Plainly(step.channel).lost(step.banned, step.spared) if step.closure else lost)
        for subdir in step.channel:
            assert served(blobs, made_now, subdir) == served(blobs, anew, subdir) == shards_of(blobs, made_now, subdir)
        check_reasons(step, found)
        previous = {subdir: made.publication for subdir, made in made_now.subdirs.items()}
        last = step
