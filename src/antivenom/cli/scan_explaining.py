"""`antivenom scan --explain ID`: why a finding is there, as `antivenom match --explain` tells it of one component."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from antivenom.cli.client import JsonObject
from antivenom.cli.match_explained import explanation_lines
from antivenom.cli.output import Output, count_of, emit, note
from antivenom.cli.scan_assessing import Question, question_of
from antivenom.core.errors import NotFoundError
from antivenom.core.readers.snapshot import Component
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot

EXPLAINED_MAX = 20
PLACES_SHOWN = 5

Explain = Callable[[Component, str], JsonObject]
"""How one component is assessed, as far as the vulnerability of this id goes."""


def print_explanations(snapshots: Iterable[ScannedSnapshot], name: str, explain: Explain, output: Output) -> None:
    """Print why the components that were scanned have a finding, or why it is set aside; JSON is a list.

    Raises:
        NotFoundError: None of them has it.
    """
    found: dict[Question, AssessedComponent] = {}
    places: dict[Question, list[str]] = {}
    for snapshot in snapshots:
        for assessed in snapshot.components:
            if _has(assessed, name):
                key = question_of(assessed.component)
                found.setdefault(key, assessed)
                places.setdefault(key, []).append(snapshot.title)
    if not found:
        hint = f"antivenom match --explain COMPONENT --advisory {name} tells of one that you name"
        raise NotFoundError(f"nothing that was scanned has {name}", hint=hint)
    shown = list(found.items())[:EXPLAINED_MAX]
    told = [explain(assessed.component, name) for _, assessed in shown]
    if output is Output.json:
        emit(told, None, output)
        return
    for number, ((key, assessed), explanation) in enumerate(zip(shown, told, strict=True)):
        if number:
            note("", to_stdout=True)
        where = ", ".join(places[key][:PLACES_SHOWN])
        more = len(places[key]) - PLACES_SHOWN
        note(f"in {where}" + (f" and {more:,} more" if more > 0 else ""), to_stdout=True)
        kind = "" if assessed.component.type == "conda" else f"{assessed.component.type} "
        for line in explanation_lines(f"{kind}{assessed.component.name}={assessed.component.version}", explanation):
            note(line, to_stdout=True)
        for text in _statements(assessed, name):
            note(f"  {text}", to_stdout=True)
    if len(found) > len(shown):
        note(f"{count_of(len(found) - len(shown), 'components')} more have it")


def _has(assessed: AssessedComponent, name: str) -> bool:
    wanted = name.casefold()
    findings = (*assessed.findings, *(finding for finding, _ in assessed.set_aside))
    told = (*(i for finding in findings for i in finding.ids), *assessed.undecided)
    return any(wanted == i.casefold() for i in told)


def _statements(assessed: AssessedComponent, name: str) -> list[str]:
    """What VEX documents and the policy's allowlist say of it."""
    wanted = name.casefold()
    said = [f"set aside: {s.sentence}" for f, s in assessed.set_aside if wanted in map(str.casefold, f.ids)]
    of = {f.ids[0] for f in assessed.findings if wanted in map(str.casefold, f.ids)}
    return said + [statement.sentence for first, statement in assessed.statements if first in of]
