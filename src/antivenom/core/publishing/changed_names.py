"""The names that have to be judged again: those whose records changed, and those that an edit of the policy concerns.

A verdict is made of the results of the rules, less what the allowlist puts aside. So an edit can only change the
verdicts of records which a rule touches that was added, removed or altered, and of those that had a decision before
when the allowlist differs. What time alone changes is known by `holds_until_ms`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import repeat
from typing import TypeVar

from antivenom.core.conda.records import ChannelFacts, RecordFacts
from antivenom.core.matching.advisories import Assessment
from antivenom.core.matching.assessment_plan import on_subdir
from antivenom.core.policy.compile import CompiledPolicy, Policy, compile_policy
from antivenom.core.policy.rules.base import Meter, unmetered
from antivenom.core.publication.publication_map import decode_decisions, load_publication
from antivenom.core.publishing.request import Assess
from antivenom.core.source.packs import IndexBlobs, read_many
from antivenom.core.source.source_map import (
    Component,
    NameDepends,
    NameFacts,
    iterate_depends,
    iterate_facts,
    load_source,
)

Part = TypeVar("Part")


def all_names(blobs: IndexBlobs, sources: Mapping[str, str]) -> frozenset[str]:
    """The names of some source maps."""
    return frozenset(name for key in sources.values() for name in load_source(blobs, key).names)


def changed_names(blobs: IndexBlobs, sources: Mapping[str, str], previous: Mapping[str, str]) -> frozenset[str]:
    """The names whose records differ from those of the previous publication.

    Args:
        sources: subdir → key of its source map.
        previous: subdir → key of its publication map.
    """
    changed: set[str] = set()
    for subdir, key in sources.items():
        source = load_source(blobs, key)
        known: Mapping[str, tuple[str, int, int]] = {}
        if subdir in previous:
            published = load_publication(blobs, previous[subdir])
            if published.names == source.names and published.source_shards == source.shards:
                continue
            known = dict(zip(published.names, published.source_shards.to_rows(), strict=True))
        locations = zip(source.names, source.shards.to_rows(), strict=True)
        changed.update(name for name, location in locations if known.get(name) != location)
    return frozenset(changed)


def edited_names(
    blobs: IndexBlobs,
    sources: Mapping[str, str],
    previous: Mapping[str, str],
    old: Policy,
    new: Policy,
    assess: Assess,
    channel: ChannelFacts,
    now_ms: int,
    meter: Meter = unmetered,
    stated: Collection[str] = (),
) -> set[str]:
    """The names with a verdict that an edit of the policy may change.

    Args:
        stated: File names whose artifacts state something about themselves: they have assessments of their own.
    """
    found: set[str] = set()
    if rules := _differing(old.rules, new.rules):
        policy = compile_policy(Policy("", rules), meter)
        found |= _touched_names(blobs, sources, policy, assess, channel, now_ms)
        if policy.uses_findings and stated:
            maps = [load_source(blobs, key) for key in sources.values()]
            found.update(source.name_of(fn) for source in maps for fn in stated)
    if items := _differing(old.allowlist, new.allowlist):
        gates = {item.gate for item in items}
        for key in previous.values():
            frames = [row.decisions for row in load_publication(blobs, key).buckets if row.decisions_digest]
            for decision in (d for frame in read_many(blobs, frames) for d in decode_decisions(frame)):
                named = {reason.gate for reason in decision.reasons} | {reason.gate for _, reason in decision.excepted}
                if "*" in gates or not gates.isdisjoint(named):
                    found.add(decision.name)
    return found


def _differing(old: Sequence[Part], new: Sequence[Part]) -> tuple[Part, ...]:
    """The rules or items that only one of two policies has."""
    return (*(part for part in old if part not in new), *(part for part in new if part not in old))


def _touched_names(
    blobs: IndexBlobs,
    sources: Mapping[str, str],
    policy: CompiledPolicy,
    assess: Assess,
    channel: ChannelFacts,
    now_ms: int,
) -> set[str]:
    """The names with a record that some rule touches."""
    only = policy.names_concerned
    if only is not None:
        return set(only)
    found: set[str] = set()
    for subdir, key in sources.items():
        for facts, depends in _facts_of(blobs, key, with_depends=policy.reads_depends):
            components = [Component(facts.name, version, purls) for version, purls in facts.components]
            assessments: Sequence[Assessment | None] = [None] * len(components)
            if policy.uses_findings:
                assessments = [one and on_subdir(one, subdir) for one in assess(components)]
            if policy.touched_positions(facts, _reader(facts, depends, subdir), assessments, channel, now_ms):
                found.add(facts.name)
    return found


def _reader(facts: NameFacts, depends: NameDepends | None, subdir: str) -> Callable[[int], RecordFacts]:
    return lambda position: facts.record_at(position, subdir, depends)


def _facts_of(blobs: IndexBlobs, key: str, *, with_depends: bool) -> Iterator[tuple[NameFacts, NameDepends | None]]:
    buckets = load_source(blobs, key).buckets
    depends = iterate_depends(blobs, buckets) if with_depends else repeat(None)
    for names, lists in zip(iterate_facts(blobs, buckets), depends, strict=False):
        yield from zip(names, lists or repeat(None), strict=False)
