"""Laws of `unless_fix`: a cooldown lets through what a plain reading of its definition lets through, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.core.policy.compile import Action, compile_policy, parse_policy
from antivenom.core.publication.publication_map import Decision
from antivenom.core.publishing.publish import Published
from antivenom.core.source.source_map import Component
from tests.core.index_samples import NOW_MS, MemoryBlobs, channel, decisions, opened, publish_all, record, served

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


class Row(NamedTuple):
    """One record: its variant of Python ("" for any) and the days since it was first listed."""

    name: str
    version: str
    python: str
    days: int
    licence: str

    @property
    def fn(self) -> str:
        return f"{self.name}-{self.version}-{self.build}.conda"

    @property
    def build(self) -> str:
        return f"{self.python}h1234_0" if self.python else "h1234_0"


rows = st.lists(
    st.builds(
        Row,
        st.sampled_from(("a", "b")),
        st.sampled_from(("1.0", "1.1", "2.0", "2.1", "3.0")),
        st.sampled_from(("py310", "py311", "")),
        st.sampled_from((1, 2, 3, 30, 60)),
        st.sampled_from(("MIT", "MIT", "MIT", "AGPL-3.0-only")),
    ),
    min_size=1,
    max_size=10,
    unique_by=lambda row: row.fn,
)
channels = st.fixed_dictionaries(dict.fromkeys(SUBDIRS, rows))
flaws = st.sets(st.tuples(st.sampled_from(("a", "b")), st.sampled_from(("1.0", "1.1", "2.0", "2.1"))))


class Knowing:
    """What is known: versions with a vulnerability, some bad enough to be stopped."""

    def __init__(self, flawed: Iterable[tuple[str, str]]) -> None:
        self.flawed = set(flawed)

    def __call__(self, components: Sequence[Component]) -> list[Assessment | None]:
        finding = Finding(("CVE-2026-0001",), "critical", 9.8, False, None, 50.0, (), "active", "exact", ())
        return [Assessment(True, "", (finding,) if (c.name, c.version) in self.flawed else ()) for c in components]


def publish(
    blobs: MemoryBlobs, listed: dict[str, list[Row]], flawed: Iterable[tuple[str, str]], **more: Any
) -> Published:
    lets_through = more.pop("unless_fix", True)
    sources = channel(
        blobs,
        **{
            subdir.replace("-", "_"): [
                record(
                    row.name,
                    row.version,
                    row.build,
                    license=row.licence,
                    subdir=subdir,
                    indexed_timestamp=NOW_MS - row.days * DAY_MS,
                )
                for row in found
            ]
            for subdir, found in listed.items()
        },
    )
    policy = compile_policy(parse_policy(POLICY % str(lets_through).lower()))
    return publish_all(blobs, sources, policy, assess=Knowing(flawed), **more)


def released_by_definition(listed: list[Row], flawed: set[tuple[str, str]], days: int = 0) -> set[str]:
    """What is let through in one subdir, read off the definition, one variant after another."""
    found = set()
    for name in {row.name for row in listed}:
        of_name = [row for row in listed if row.name == name]
        for python in {row.python for row in of_name} - {""} or {""}:
            pool = [row for row in of_name if row.python in (python, "") and row.licence == "MIT"]
            older = [row for row in pool if row.days + days >= COOLDOWN_DAYS]
            younger = [row for row in pool if row.days + days < COOLDOWN_DAYS and (row.name, row.version) not in flawed]
            if older and younger and all((row.name, row.version) in flawed for row in older):
                found.add(min(younger, key=lambda row: (-row.days, row.version, row.fn)).fn)
    return found


def served_in(blobs: MemoryBlobs, published: Published, subdir: str) -> set[str]:
    return set(served(blobs, published, subdir)) if published.subdirs[subdir].kept else set()


def notes_in(blobs: MemoryBlobs, published: Published, subdir: str) -> dict[str, Decision]:
    return {d.fn: d for d in decisions(opened(blobs, published, subdir), Action.go) if d.reasons}


@settings(max_examples=200, deadline=None)
@given(channels, flaws)
def test_exactly_the_oldest_fix_of_each_variant_is_let_through(
    listed: dict[str, list[Row]], flawed: set[tuple[str, str]]
) -> None:
    blobs = MemoryBlobs()
    strict = publish(blobs, listed, flawed, unless_fix=False)
    published = publish(blobs, listed, flawed)
    for subdir in SUBDIRS:
        expected = released_by_definition(listed[subdir], flawed)
        assert served_in(blobs, published, subdir) - served_in(blobs, strict, subdir) == expected
        assert served_in(blobs, strict, subdir) <= served_in(blobs, published, subdir)
        notes = notes_in(blobs, published, subdir)
        assert set(notes) == expected
        for decision in notes.values():
            [reason] = decision.reasons
            assert (reason.rule_id, reason.action, reason.trigger_id) == ("wait", Action.go, f"age+{decision.fn}")
            assert "CVE-2026-0001" in reason.message
            assert decision.holds_until_ms > NOW_MS


@settings(max_examples=100, deadline=None)
@given(channels, flaws, rows, flaws, st.sampled_from((0, 5, 10)))
def test_little_by_little_it_is_the_same_as_from_nothing(
    listed: dict[str, list[Row]],
    flawed: set[tuple[str, str]],
    changed: list[Row],
    more_flawed: set[tuple[str, str]],
    days: int,
) -> None:
    blobs = MemoryBlobs()
    first = publish(blobs, listed, flawed)
    then = {**listed, "noarch": changed}
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
    for subdir in SUBDIRS:
        assert served_in(blobs, step, subdir) == served_in(blobs, anew, subdir)
        assert notes_in(blobs, step, subdir) == notes_in(blobs, anew, subdir)
        assert set(notes_in(blobs, anew, subdir)) == released_by_definition(then[subdir], more_flawed, days)
