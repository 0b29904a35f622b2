"""What is known of the components of targets: asked for in batches while the targets are read, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from antivenom.cli.scan_targets import Target
from antivenom.core.matching.advisories import Finding
from antivenom.core.readers.purls import purl_of
from antivenom.core.readers.snapshot import Component, Snapshot
from antivenom.core.reports.result import AssessedComponent, ScannedSnapshot

COMPONENTS_AT_ONCE = 1_000
WINDOW_COMPONENTS = 5_000
"""Targets are read until they have so many components; then these are asked for and printed."""
REMEMBERED_MAX = 20_000
"""How many answers and findings are remembered."""


class Answer(NamedTuple):
    """What is known of a component, whatever else a target says of it."""

    assessed: bool
    reason: str
    findings: tuple[Finding, ...]
    undecided: tuple[str, ...] = ()


Ask = Callable[[Sequence[Component]], Sequence[Answer]]
Question = tuple[str, ...]


def assess(targets: Iterable[Target], ask: Ask) -> Iterator[ScannedSnapshot]:
    """The snapshots of all targets with what is known of them, in order. Equal components are asked for once.

    Args:
        ask: Answers for each of some components.
    """
    answers = _Answers(ask)
    window: list[Target] = []
    size = 0
    for target in targets:
        window.append(target)
        size += 1 + sum(len(snapshot.components) for snapshot in target.snapshots)
        if size >= WINDOW_COMPONENTS:
            yield from _assess_window(window, answers)
            window, size = [], 0
    yield from _assess_window(window, answers)


def _assess_window(window: list[Target], answers: _Answers) -> Iterator[ScannedSnapshot]:
    known = answers.of([c for target in window for snapshot in target.snapshots for c in snapshot.components])
    for target in window:
        if target.error:
            yield ScannedSnapshot(target.path, target.kind, "", "", (), error=target.error)
        for snapshot in target.snapshots:
            yield _assess_snapshot(target, snapshot, known)


def _assess_snapshot(target: Target, snapshot: Snapshot, known: dict[Question, Answer]) -> ScannedSnapshot:
    return ScannedSnapshot(
        target.path,
        target.kind,
        snapshot.environment,
        snapshot.platform,
        tuple(AssessedComponent(c, *known[question_of(c)]) for c in snapshot.components),
        snapshot.skipped,
        snapshot.wanted,
    )


class _Answers:
    """Answers that were given, the latest ones remembered."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._remembered: OrderedDict[Question, Answer] = OrderedDict()
        self._size = 0

    def of(self, components: Iterable[Component]) -> dict[Question, Answer]:
        """The answer to the question of each component."""
        distinct = {question_of(component): component for component in components}
        found = {question: self._remembered[question] for question in distinct if question in self._remembered}
        missing = [question for question in distinct if question not in found]
        for start in range(0, len(missing), COMPONENTS_AT_ONCE):
            part = missing[start : start + COMPONENTS_AT_ONCE]
            found.update(zip(part, self._ask([distinct[question] for question in part]), strict=True))
        for question, answer in found.items():
            self._remember(question, answer)
        return found

    def _remember(self, question: Question, answer: Answer) -> None:
        if question not in self._remembered:
            self._size += 1 + len(answer.findings)
        self._remembered[question] = answer
        self._remembered.move_to_end(question)
        while self._size > REMEMBERED_MAX and self._remembered:
            self._size -= 1 + len(self._remembered.popitem(last=False)[1].findings)


def question_of(component: Component) -> Question:
    """What decides the answer for a component; digests, licence and needs do not."""
    if component.type == "conda":
        return ("conda", component.name, component.version, component.build, component.channel, component.subdir)
    return (purl_of(component),)


def request_of(component: Component) -> dict[str, Any]:
    """A component as the server's API takes it."""
    if component.type == "conda":
        fields = {"name": component.name, "version": component.version, "build": component.build,
                  "channel": component.channel, "subdir": component.subdir}  # fmt: skip
        return {"type": "conda", **{field: value for field, value in fields.items() if value}}
    return {"purl": purl_of(component)}
