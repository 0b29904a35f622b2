"""The floors of the quality gate: what was measured last, in floors.json. They only rise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.quality.classes import CLASSES, FEWEST_VULNERABILITIES, QualityClass, Result
from tests.quality.scoring import Score

PATH = Path(__file__).with_name("floors.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "dev" / "quality.md"
BEGIN, END = "% The table: made by `make quality ARGS=--raise`", "% End of the table"
UNDECIDED_MAX = 0.10
SLACK = 0.02  # a class that is better than its floor by more: the floor is to be raised


class Measured(msgspec.Struct, frozen=True):
    """One score in numbers; precision, recall and F1 to four places, rounded down."""

    labels: int
    vulnerabilities: int
    precision: float
    recall: float
    f1: float
    missed: int
    too_many: int
    undecided: float

    @classmethod
    def of(cls, score: Score) -> Measured:
        return cls(
            score.pairs,
            len(score.vulnerabilities),
            *(math.floor(value * 10_000) / 10_000 for value in (score.precision, score.recall, score.f1)),
            score.false_negatives.total(),
            score.false_positives.total(),
            math.ceil(score.undecided_share * 10_000) / 10_000,
        )

    @property
    def is_scored(self) -> bool:
        """Whether its labels are of enough vulnerabilities to give a score."""
        return self.vulnerabilities >= FEWEST_VULNERABILITIES


class MeasuredClass(msgspec.Struct, frozen=True):
    """`curated`: with curated knowledge. `evidence`: of that, labels that no row of knowledge names. `plain`: without."""

    curated: Measured
    evidence: Measured
    plain: Measured

    @classmethod
    def of(cls, result: Result) -> MeasuredClass:
        return cls(Measured.of(result.curated), Measured.of(result.evidence), Measured.of(result.plain))


def read() -> dict[str, MeasuredClass]:
    return msgspec.json.decode(PATH.read_bytes(), type=dict[str, MeasuredClass])


def find_falls(name: str, measured: MeasuredClass, floor: MeasuredClass) -> list[str]:
    """What is worse than the floor, a sentence each."""
    found = []
    for what in ("curated", "evidence", "plain"):
        now, least = getattr(measured, what), getattr(floor, what)
        for measure in ("precision", "recall", "f1") if least.is_scored else ():
            value, lowest = getattr(now, measure), getattr(least, measure)
            if value < lowest:
                found.append(f"{name} ({what}): {measure} fell to {value}, the floor is {lowest}")
        if now.missed > least.missed:
            found.append(f"{name} ({what}): {now.missed} are missed, {least.missed} were")
        if not least.is_scored and now.too_many > least.too_many:
            found.append(f"{name} ({what}): {now.too_many} are too many, {least.too_many} were")
        if now.labels < least.labels:
            found.append(f"{name} ({what}): {now.labels} labels are compared, {least.labels} were")
    if measured.curated.undecided > UNDECIDED_MAX:
        found.append(f"{name}: {measured.curated.undecided:.1%} of what is compared is undecided")
    return found


def find_rises(name: str, measured: MeasuredClass, floor: MeasuredClass) -> list[str]:
    """The floors that are to be raised."""
    return [
        f"{name} ({what}): {measure} is {getattr(now, measure)} now; raise the floors: make quality ARGS=--raise"
        for what in ("curated", "evidence")
        if (now := getattr(measured, what)).is_scored
        for measure in ("precision", "recall")
        if getattr(now, measure) >= getattr(getattr(floor, what), measure) + SLACK
    ]


def write(measured: dict[str, MeasuredClass]) -> None:
    """Write the floors, and the table of the documentation."""
    PATH.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2) + b"\n")
    page = PAGE.read_text()
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(f"{page[:start]}\n\n{markdown(measured)}\n\n{page[end:]}")


def table_of_page() -> str:
    page = PAGE.read_text()
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip("\n")


# -- for people --------------------------------------------------------------------------------------------------------

HEADS = ("class", "labels", "CVEs", "precision", "recall", "F1", "missed", "too many", "undecided")


def rows(measured: dict[str, MeasuredClass]) -> list[tuple[str, ...]]:
    """One row a class with knowledge, and two below it: its evidence alone, and the class without knowledge."""
    found = []
    for quality_class in CLASSES:
        of_class = measured.get(quality_class.name)
        if of_class is None:
            continue
        found.append((quality_class.title, *_cells(of_class.curated)))
        if quality_class.is_evidence:
            found.append(("· evidence alone", *_cells(of_class.evidence)))
        found.append(("· without curated knowledge", *_cells(of_class.plain)))
    return found


def _cells(now: Measured) -> tuple[str, ...]:
    scores = tuple(f"{v:.4f}" for v in (now.precision, now.recall, now.f1)) if now.is_scored else ("too few", "", "")
    counts = (f"{now.missed:,}", f"{now.too_many:,}", f"{now.undecided:.1%}")
    return (f"{now.labels:,}", f"{now.vulnerabilities:,}", *scores, *counts)


def markdown(measured: dict[str, MeasuredClass]) -> str:
    lines = [HEADS, ("---", *("---:",) * (len(HEADS) - 1)), *rows(measured)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text(measured: dict[str, MeasuredClass]) -> str:
    """The table for a terminal."""
    lines = [HEADS, *rows(measured)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    shown = ["  ".join(_padded(line, widths)) for line in lines]
    return "\n".join(f"\n{line}" if i > 1 and not lines[i][0].startswith("·") else line for i, line in enumerate(shown))


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]


def describe(quality_class: QualityClass) -> str:
    asked = "NVD alone" if quality_class.held_out else "every shared feed"
    return f"{quality_class.title}: {quality_class.made} (asked of {asked})"
