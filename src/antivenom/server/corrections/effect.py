"""What other rows of knowledge would change in what channels serve now: which findings come, go and move."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import msgspec

from antivenom.core.errors import NotFoundError
from antivenom.core.feeds.correcting import Proposal
from antivenom.core.matching.knowledge import Knowledge
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.core.matching.what_if import Change, FindingChange, compare, ids_to_describe, with_knowledge
from antivenom.server.advisories import queries as advisories
from antivenom.server.catalog.contents import PublicationContents, load_contents
from antivenom.server.context import Context
from antivenom.server.db.paging import PAGE_SIZE_MAX
from antivenom.server.findings.open_index import open_index
from antivenom.server.findings.service import current_knowledge
from antivenom.server.publications import service as publications

SAMPLE_ROWS = 20
DESCRIBED_AT_ONCE = 1_000  # ids of one query


class EffectRow(msgspec.Struct, frozen=True):
    """One finding that comes, goes or moves, with all versions and subdirs of a package of which that is true."""

    name: str
    versions: tuple[str, ...]
    subdirs: tuple[str, ...]
    id: str
    severity: str
    change: Change
    rule: str


class PlaceEffect(msgspec.Struct, frozen=True):
    """The effect on one channel, or ("") on the component that was named. Counts are of findings of versions."""

    channel: str
    comes: int
    goes: int
    moves: int
    sample: tuple[EffectRow, ...]


class Effect(msgspec.Struct, frozen=True):
    """The effect on the component and on every channel that has the package, where there is any."""

    component: PlaceEffect
    channels: tuple[PlaceEffect, ...]

    def count(self, change: Change) -> int:
        """Findings of all channels that come, go or move."""
        return sum(getattr(place, str(change)) for place in self.channels)


async def measure_effect(ctx: Context, proposal: Proposal, now: Knowledge, then: Knowledge) -> Effect:
    """What changes in published channels when knowledge changes from `now` to `then`.

    Raises:
        NotFoundError: No advisory feed has been compiled yet.
    """
    knowledge = await current_knowledge(ctx)
    if knowledge.index_key is None:
        raise NotFoundError("no advisory feed has been compiled yet, so no effect can be shown")
    async with open_index(ctx.resources.blobs, knowledge.index_key) as index:
        old = await _imagine(ctx, index, now)
        new = await _imagine(ctx, index, then)
    # Both are new objects or nobody else's: other requests may use the open index meanwhile.
    component = ComponentKey("conda", proposal.name, proposal.version or "0")
    found = await asyncio.to_thread(compare, old, new, [component] if proposal.version else [])
    places = []
    for channel in (await publications.list_channel_summaries(ctx, page_size=PAGE_SIZE_MAX)).items:
        if channel.publication is None:
            continue
        row, publication = await publications.get_served_publication(ctx, channel.name)
        contents = await load_contents(ctx, publication)
        changes = await asyncio.to_thread(_compare_channel, contents, old, new, proposal, row.mapping_channel)
        if changes:
            places.append(_place(channel.name, changes))
    return Effect(_place("", found), tuple(places))


async def _imagine(ctx: Context, index: MatchIndex, knowledge: Knowledge) -> MatchIndex:
    ids = await asyncio.to_thread(ids_to_describe, index, knowledge)
    described = []
    for start in range(0, len(ids), DESCRIBED_AT_ONCE):
        listed = await advisories.list_advisories_of(ctx.session, ids[start : start + DESCRIBED_AT_ONCE])
        described += [row.advisory for row in listed]
    return await asyncio.to_thread(with_knowledge, index, knowledge, described)


def _compare_channel(
    contents: PublicationContents, old: MatchIndex, new: MatchIndex, proposal: Proposal, mapping_channel: str
) -> list[FindingChange]:
    keys: dict[ComponentKey, None] = {}
    for name in _names(contents, proposal):
        purls = {(c.name, c.version): c.purls for c in contents.by_name.get(name, ())}
        for subdir, decision in contents.records_of(name):
            own = purls.get((name, decision.version), ())
            keys[ComponentKey("conda", name, decision.version, purls=own, subdir=subdir)] = None
    ordered = sorted(keys, key=lambda k: (k.name, k.version, k.subdir))
    return compare(old, new, ordered, mapping_channel)


def _names(contents: PublicationContents, proposal: Proposal) -> Collection[str]:
    """The packages that the rows can matter to: the one that is corrected, and all that have the vulnerability."""
    wanted = proposal.vulnerability.upper()
    if not proposal.platforms or not wanted:
        return [proposal.name]
    having = {
        name
        for name, components in contents.by_name.items()
        for component in components
        if any(wanted == i.upper() for finding in component.assessment.findings for i in finding.ids)
    }
    return sorted(having | {proposal.name})


def _place(channel: str, changes: Sequence[FindingChange]) -> PlaceEffect:
    counts = Counter(change for change, _ in {(c.change, (c.name, c.version, c.ids)) for c in changes})
    return PlaceEffect(
        channel,
        counts[Change.comes],
        counts[Change.goes],
        counts[Change.moves],
        tuple(_merge(changes))[:SAMPLE_ROWS],
    )


def _merge(changes: Iterable[FindingChange]) -> list[EffectRow]:
    grouped: dict[tuple[str, str, str, Change, str], tuple[dict[str, None], dict[str, None]]] = {}
    for c in changes:
        versions, subdirs = grouped.setdefault((c.name, c.ids[0], c.severity, c.change, c.rule), ({}, {}))
        versions[c.version] = None
        if c.subdir:
            subdirs[c.subdir] = None
    return [
        EffectRow(name, tuple(versions), tuple(sorted(subdirs)), vulnerability, severity, change, rule)
        for (name, vulnerability, severity, change, rule), (versions, subdirs) in grouped.items()
    ]
