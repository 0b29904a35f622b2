"""What changed from one scan to another: packages, and the findings that came and went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from antivenom.core.matching.advisories import Finding
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot


class PackageChange(NamedTuple):
    """A package that came, went (an empty version) or changed its version."""

    type: str
    name: str
    old: str
    new: str


class FindingChange(NamedTuple):
    """A finding that came or went with the package it is on."""

    type: str
    name: str
    version: str
    finding: Finding


class Changes(NamedTuple):
    """Everything that differs, by package name; findings the worst first."""

    packages: tuple[PackageChange, ...]
    came: tuple[FindingChange, ...]
    went: tuple[FindingChange, ...]


def compare(old: Sequence[ScannedSnapshot], new: Sequence[ScannedSnapshot]) -> Changes:
    """What differs between two scans, over all of their environments."""
    before, after = _by_package(old), _by_package(new)
    packages = []
    for key in sorted(before.keys() | after.keys()):
        had, has = _versions(before.get(key, ())), _versions(after.get(key, ()))
        if had != has:
            packages.append(PackageChange(*key, ", ".join(had), ", ".join(has)))
    return Changes(tuple(packages), _only_in(after, before), _only_in(before, after))


_Key = tuple[str, str]


def _by_package(snapshots: Iterable[ScannedSnapshot]) -> dict[_Key, list[AssessedComponent]]:
    found: dict[_Key, list[AssessedComponent]] = {}
    for snapshot in snapshots:
        for assessed in snapshot.components:
            found.setdefault((assessed.component.type, assessed.component.name), []).append(assessed)
    return found


def _versions(components: Iterable[AssessedComponent]) -> list[str]:
    return list(dict.fromkeys(assessed.component.version for assessed in components))


def _only_in(
    these: Mapping[_Key, Sequence[AssessedComponent]], those: Mapping[_Key, Sequence[AssessedComponent]]
) -> tuple[FindingChange, ...]:
    found: dict[tuple[str, str, str], FindingChange] = {}
    for key, components in these.items():
        others = {i for assessed in those.get(key, ()) for finding in assessed.findings for i in finding.ids}
        for assessed in components:
            for finding in assessed.findings:
                if others.isdisjoint(finding.ids):
                    found.setdefault((*key, finding.ids[0]), FindingChange(*key, assessed.component.version, finding))
    return tuple(sorted(found.values(), key=lambda change: (-change.finding.risk, change.name, change.finding.ids[0])))
