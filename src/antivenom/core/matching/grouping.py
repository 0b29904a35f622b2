"""Which advisory ids name the same vulnerability.

Two rules meet here:

* An alias is another id of the same vulnerability: a patch for one is a patch for the other and for nothing else.
  Aliases are symmetric and transitive.
* A CVE id is one vulnerability. Two of them can be fixed independently of each other, or there would not be two.

So whatever aliases connect is one group, unless that holds several CVE ids. It happens where an advisory covers several
vulnerabilities at once (GO-2021-0159 and RUSTSEC-2020-0014 name three and eight CVE ids) and where one of two
advisories cites another id by mistake (PSF-2023-6 and PSF-2023-7 cite the same GHSA id for two CVE ids). Then the CVE
ids stay apart, and every other id joins the CVE ids that are the fewest aliases away from it. So an advisory that names
several CVE ids belongs to each of them and connects none. What else it names joins them all only where nothing shows
which: RUSTSEC-2021-0110 names three CVE and three GHSA ids, and PyPI's entries show which belong together.

Whether an entry is withdrawn makes no difference here: its id has to lead to the vulnerability that it was about.

Source: OSV schema 1.7, "aliases" ("related" and "upstream" do not connect); CVE counting rules, CNT1 (independently
fixable).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

Neighbours = Mapping[str, Iterable[str]]


class AliasGroup(NamedTuple):
    """The ids of one vulnerability.

    `ids`: the primary id first (the CVE id if there is one, else the smallest), then sorted. At most one is a CVE id.
    `cluster`: the primary id of everything that aliases connect; groups that share an id share their cluster.
    """

    ids: tuple[str, ...]
    cluster: str

    @property
    def primary_id(self) -> str:
        return self.ids[0]


def is_cve(advisory_id: str) -> bool:
    """Whether an id is a CVE's, which every source shares."""
    return advisory_id.startswith("CVE-")


def sort_ids(ids: Iterable[str]) -> tuple[str, ...]:
    """Ids as people read them: CVE ids first, then by text, without repeats."""
    return tuple(sorted(set(ids), key=lambda advisory_id: (not is_cve(advisory_id), advisory_id)))


def group_aliases(entries: Iterable[tuple[str, Iterable[str]]]) -> list[AliasGroup]:
    """The vulnerabilities that entries of any feeds are about, by primary id.

    No two CVE ids share a group. Every id is in at least one, but for a CVE id that only another CVE id's entry names:
    no entry describes it. The order of entries, and of their aliases, makes no difference.

    Args:
        entries: (id, aliases) of each advisory; an id may occur several times.
    """
    neighbours: dict[str, list[str]] = {}
    described: set[str] = set()
    for one, aliases in entries:
        described.add(one)
        own = neighbours.setdefault(one, [])
        for other in aliases:
            own.append(other)
            neighbours.setdefault(other, []).append(one)
    groups = [
        AliasGroup(ids, connected[0])
        for connected in _connect(neighbours)
        for ids in (_split(connected, neighbours) if _has_several_cves(connected) else (connected,))
        if not described.isdisjoint(ids)
    ]
    return sorted(groups)


def index_groups(groups: Iterable[AliasGroup]) -> dict[str, tuple[int, ...]]:
    """The places in `groups` of every id's groups; an id that several vulnerabilities share has several."""
    found: dict[str, tuple[int, ...]] = {}
    for place, group in enumerate(groups):
        for advisory_id in group.ids:
            found[advisory_id] = (*found.get(advisory_id, ()), place)
    return found


def _connect(neighbours: Neighbours) -> Iterator[tuple[str, ...]]:
    """The ids that aliases connect, by whatever number of steps: each id once."""
    seen: set[str] = set()
    for start in neighbours:
        if start in seen:
            continue
        seen.add(start)
        connected = [start]
        for one in connected:  # grows while it is walked
            for other in neighbours[one]:
                if other not in seen:
                    seen.add(other)
                    connected.append(other)
        yield sort_ids(connected)


def _has_several_cves(ids: tuple[str, ...]) -> bool:
    return len(ids) > 1 and is_cve(ids[1])


def _split(connected: tuple[str, ...], neighbours: Neighbours) -> Iterator[tuple[str, ...]]:
    """One group for each CVE id of what is connected: with the ids to which none is nearer."""
    owners = {cve: {cve} for cve in connected if is_cve(cve)}
    groups = {cve: [cve] for cve in owners}
    frontier = dict(owners)
    shared: dict[str, set[str]] = {}  # what several CVE ids reached; it passes them on last
    while frontier:
        reached: dict[str, set[str]] = {}
        for one, cves in frontier.items():
            for other in neighbours[one]:
                if other not in owners:
                    reached.setdefault(other, set()).update(cves)
        owners |= reached
        for other, cves in reached.items():
            for cve in cves:
                groups[cve].append(other)
        shared |= {one: cves for one, cves in reached.items() if len(cves) > 1}
        frontier = {one: cves for one, cves in reached.items() if len(cves) == 1}
        if not frontier:
            frontier, shared = shared, {}
    return map(sort_ids, groups.values())
