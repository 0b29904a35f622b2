"""Comparing what the matcher finds with labels: precision, recall, and the mistakes that occur most."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

FLOORS = Path(__file__).with_name("floors.json")
SLACK = 0.005
SHOWN = 20


@dataclass
class Score:
    """Counts over (component, vulnerability) pairs; the mistakes by (name, vulnerability)."""

    true_positives: int = 0
    false_positives: Counter[tuple[str, str]] = field(default_factory=Counter)
    false_negatives: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, name: str, findings: Iterable[tuple[str, ...]], affected: set[str], known: set[str]) -> None:
        """Count one component.

        Args:
            findings: The ids of each finding; one without any id in `known` has no label and is not counted.
        """
        seen: set[str] = set()
        for ids in findings:
            if affected.isdisjoint(ids) and not known.isdisjoint(ids):
                self.false_positives[name, ids[0]] += 1
            seen.update(affected.intersection(ids))
        self.true_positives += len(seen)
        for missed in affected - seen:
            self.false_negatives[name, missed] += 1

    @property
    def precision(self) -> float:
        return self.true_positives / max(1, self.true_positives + self.false_positives.total())

    @property
    def recall(self) -> float:
        return self.true_positives / max(1, self.true_positives + self.false_negatives.total())

    def table(self, title: str) -> str:
        lines = [
            f"{title}: precision {self.precision:.4f}, recall {self.recall:.4f} ({self.true_positives:,} found,"
            f" {self.false_positives.total():,} too many, {self.false_negatives.total():,} missed)"
        ]
        for what, mistakes in (("too many", self.false_positives), ("missed", self.false_negatives)):
            lines += [f"  {what:9}{n:5} x {name} {i}" for (name, i), n in mistakes.most_common(SHOWN)]
        return "\n".join(lines)


def hold_floor(name: str, score: Score) -> None:
    """Fail below the committed floor, and above it by more than the slack: then the floor is to be raised."""
    floor = json.loads(FLOORS.read_text())[name]
    print("\n" + score.table(name))
    for measure, value in (("precision", score.precision), ("recall", score.recall)):
        assert value >= floor[measure], f"{name}: {measure} fell to {value:.4f}, the floor is {floor[measure]}"
        assert value < floor[measure] + SLACK, f"{name}: {measure} is {value:.4f} now: raise its floor in {FLOORS.name}"
