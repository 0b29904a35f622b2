"""Findings of which a VEX document says something: set aside where they are said not to affect, annotated otherwise.

A statement is tied to a package by its URL: type, namespace and name always; version and qualifiers where the URL has
them. A qualifier that the scanned package does not state is not taken to be equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from packageurl import PackageURL

from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.purls import purl_of
from antivenom.core.readers.snapshot import Component
from antivenom.core.readers.vex import VexDocument, VexStatement
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot, Statement
from antivenom_client.names import normalize_python

SETS_ASIDE = ("not_affected", "fixed")
_Key = tuple[str, str, str]


class _Said(NamedTuple):
    """One statement on one package; the highest number counts."""

    number: int
    purl: PackageURL
    statement: VexStatement
    document: str


class VexStatements:
    """The statements of some documents, found by vulnerability and package. A later document counts more."""

    def __init__(self, documents: Iterable[VexDocument]) -> None:
        self._found: dict[str, dict[_Key, list[_Said]]] = {}
        number = 0
        for document in documents:
            for statement in document.statements:
                number += 1
                for purl in statement.products:
                    for name in statement.ids:
                        of_id = self._found.setdefault(name.casefold(), {})
                        of_id.setdefault(_key(purl), []).append(_Said(number, purl, statement, document.name))

    def apply(self, snapshot: ScannedSnapshot) -> ScannedSnapshot:
        """The snapshot with its findings set aside or annotated."""
        return snapshot._replace(components=tuple(map(self._apply, snapshot.components)))

    def _apply(self, assessed: AssessedComponent) -> AssessedComponent:
        kept, aside, said = [], list(assessed.set_aside), list(assessed.statements)
        for finding in assessed.findings:
            statement = self._on(finding, assessed.component)
            if statement is not None and statement.status in SETS_ASIDE:
                aside.append((finding, statement))
                continue
            kept.append(finding)
            if statement is not None:
                said.append((finding.ids[0], statement))
        return assessed._replace(findings=tuple(kept), set_aside=tuple(aside), statements=tuple(said))

    def _on(self, finding: Finding, component: Component) -> Statement | None:
        """The last statement on a finding of a component."""
        said = [
            said
            for of_id in (self._found[name.casefold()] for name in finding.ids if name.casefold() in self._found)
            for own in _purls_of(component)
            for said in of_id.get(_key(own), ())
            if _fits(said.purl, own, component)
        ]
        if not said:
            return None
        last = max(said, key=lambda one: one.number)
        return Statement(last.statement.status, last.document, last.statement.justification, last.statement.text)


@lru_cache(maxsize=1 << 14)
def _parse(text: str) -> PackageURL | None:
    try:
        return PackageURL.from_string(text)
    except ValueError:
        return None


def _purls_of(component: Component) -> list[PackageURL]:
    """The package URLs of a component: its own, and those that its conda record has."""
    return [purl for text in (purl_of(component), *component.purls) if (purl := _parse(text)) is not None]


def _key(purl: PackageURL) -> _Key:
    name = normalize_python(purl.name) if purl.type == "pypi" else purl.name
    return purl.type, purl.namespace or "", name.lower() if purl.type == "conda" else name


def _fits(said: PackageURL, own: PackageURL, component: Component) -> bool:
    """Whether a statement's package URL holds for a component."""
    if said.version and unquote(said.version) not in (own.version, component.version):
        return False
    stated = own.qualifiers if isinstance(own.qualifiers, dict) else {}
    asked = said.qualifiers if isinstance(said.qualifiers, dict) else {}
    return all(_is_equal(name, value, stated.get(name, "")) for name, value in asked.items())


def _is_equal(name: str, said: str, own: str) -> bool:
    if name == "channel":  # a name, or the address of the same channel
        return own == said or (own != "" and (own.endswith(f"/{said}") or said.endswith(f"/{own}")))
    return own == said
