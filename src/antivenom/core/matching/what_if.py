"""What a match index would be with other rows of knowledge, without compiling it; and what would be found then.

Only tables that speak of single packages or vulnerabilities may differ: names, is-not, affected, metapackages, parts,
platforms, ignore. A test holds that the answers are those of an index that is compiled with the other knowledge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from antivenom.core.matching.advisories import Advisory, Finding
from antivenom.core.matching.compile_index import (
    CompiledPackage,
    CompiledVulnerability,
    compile_package,
    package_key,
)
from antivenom.core.matching.knowledge import CORRECTIONS, Knowledge
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.core.matching.parts import PartsOfProjects

_decode = msgspec.msgpack.Decoder(CompiledVulnerability).decode
_encode = msgspec.msgpack.Encoder().encode


class Change(StrEnum):
    """What becomes of a finding."""

    comes = "comes"
    goes = "goes"
    moves = "moves"  # it stays, with other platforms or fixed versions


class FindingChange(msgspec.Struct, frozen=True):
    """A finding that comes, goes or moves with other knowledge. `rule`: the row that sets aside what goes, or ""."""

    name: str
    version: str
    subdir: str
    ids: tuple[str, ...]
    severity: str
    change: Change
    rule: str


def ids_to_describe(index: MatchIndex, knowledge: Knowledge) -> list[str]:
    """The ids of all vulnerabilities whose descriptions decide, because rows of parts differ; sorted."""
    found: set[str] = set()
    for name in _differing(index.knowledge.parts, knowledge.parts):
        found.update(i for _, about in _told_of(index, name) for i in about.ids)
    return sorted(found)


def with_knowledge(index: MatchIndex, knowledge: Knowledge, described: Iterable[Advisory] = ()) -> MatchIndex:
    """The index as it would be if it were compiled with other knowledge.

    Args:
        described: The advisories, with their descriptions, of the ids that `ids_to_describe` names.
    """
    changed: dict[int, CompiledVulnerability] = {}
    _change_parts(index, knowledge, described, changed)
    wanted = {row.vulnerability for rows in knowledge.affected.values() for row in rows}
    platforms = set(_differing(index.knowledge.platforms, knowledge.platforms))
    numbers: dict[str, list[int]] = {}
    if wanted or platforms:
        for number, packed in enumerate(index.compiled.vulnerabilities):
            about = changed.get(number) or _decode(packed)
            for i in wanted.intersection(about.ids):
                numbers.setdefault(i, []).append(number)
            if not platforms.isdisjoint(about.ids):
                only_on = next((knowledge.platforms[i] for i in about.ids if i in knowledge.platforms), ())
                changed[number] = msgspec.structs.replace(about, platforms=only_on)
    vulnerabilities = list(index.compiled.vulnerabilities)
    for number, about in changed.items():
        vulnerabilities[number] = msgspec.Raw(_encode(about))
    compiled = msgspec.structs.replace(
        index.compiled,
        packages=_with_corrections(index, knowledge, numbers),
        vulnerabilities=vulnerabilities,
        knowledge=knowledge,
    )
    return MatchIndex(compiled)


def _with_corrections(
    index: MatchIndex, knowledge: Knowledge, numbers: Mapping[str, Sequence[int]]
) -> dict[str, msgspec.Raw]:
    """The packages, with corrections as rows of `affected` have them. `numbers`: of vulnerabilities, by id."""
    found = {key: packed for key, packed in index.compiled.packages.items() if not key.startswith(f"{CORRECTIONS}/")}
    told: dict[str, list[CompiledPackage]] = {}
    for advisory in knowledge.corrected():
        for affected in advisory.affected:
            package = compile_package(advisory, affected)
            for number in numbers.get(advisory.id, ()):
                told.setdefault(package_key(affected), []).append(
                    msgspec.structs.replace(package, vulnerability=number)
                )
    return found | {key: msgspec.Raw(_encode(listed)) for key, listed in told.items()}


def _change_parts(
    index: MatchIndex, knowledge: Knowledge, described: Iterable[Advisory], changed: dict[int, CompiledVulnerability]
) -> None:
    names = _differing(index.knowledge.parts, knowledge.parts)
    if not names:
        return
    parts = PartsOfProjects(knowledge)
    for advisory in described:
        for affected in advisory.affected:
            parts.note(advisory, package_key(affected).partition("@")[0])
    for name in names:
        for number, about in _told_of(index, name):
            about = changed.get(number, about)
            others = set(about.other_parts) - {name}
            if name in parts.other_parts(about.ids, about.summary):
                others.add(name)
            changed[number] = msgspec.structs.replace(about, other_parts=tuple(sorted(others)))


def _told_of(index: MatchIndex, name: str) -> Iterator[tuple[int, CompiledVulnerability]]:
    traced = index.trace(ComponentKey("conda", name, ""))
    return ((number, index.vulnerability(number)) for number in traced.claims)


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def compare(
    old: MatchIndex, new: MatchIndex, components: Sequence[ComponentKey], channel: str = ""
) -> list[FindingChange]:
    """Which findings of components come, go and move, component by component."""
    before, after = old.assess(components, channel), new.assess(components, channel)
    set_aside = new.list_ignored(components, channel)
    found: list[FindingChange] = []
    for component, was, will_be, ignored in zip(components, before, after, set_aside, strict=True):
        if was == will_be:
            continue
        had = {f.ids: f for f in was.findings}
        has = {f.ids: f for f in will_be.findings}
        rules = {f.ids: f.ignored_by.rule for f in ignored}
        for ids, finding in (had | has).items():
            if ids not in has:
                found.append(_changed(component, finding, Change.goes, rules.get(ids, "")))
            elif ids not in had:
                found.append(_changed(component, finding, Change.comes))
            elif (had[ids].platforms, had[ids].fixed_versions) != (finding.platforms, finding.fixed_versions):
                found.append(_changed(component, finding, Change.moves))
    return found


def _changed(component: ComponentKey, finding: Finding, change: Change, rule: str = "") -> FindingChange:
    return FindingChange(
        component.name, component.version, component.subdir, finding.ids, finding.severity, change, rule
    )
