"""Comparing what the matcher finds with labels: precision, recall, F1, what is undecided, and the mistakes that occur most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass, field

SHOWN = 20


@dataclass
class Score:
    """Counts over (component, vulnerability) pairs; the mistakes by (name, vulnerability).

    `pairs`: all that a label exists for. `undecided`: of them, those that the matcher says it cannot tell (the component
    is not assessed, or the vulnerability is listed as undecided) and those whose label is contradicted. An affected pair
    that is undecided is missed, too: undecided is not found.
    """

    true_positives: int = 0
    pairs: int = 0
    undecided: int = 0
    vulnerabilities: set[str] = field(default_factory=set)
    false_positives: Counter[tuple[str, str]] = field(default_factory=Counter)
    false_negatives: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(
        self,
        name: str,
        findings: Iterable[tuple[str, ...]],
        affected: Set[str],
        known: Set[str],
        undecided: int = 0,
    ) -> None:
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
        self.pairs += len(known)
        self.undecided += undecided
        self.vulnerabilities |= known
        for missed in affected - seen:
            self.false_negatives[name, missed] += 1

    @property
    def precision(self) -> float:
        return self.true_positives / max(1, self.true_positives + self.false_positives.total())

    @property
    def recall(self) -> float:
        return self.true_positives / max(1, self.true_positives + self.false_negatives.total())

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)

    @property
    def undecided_share(self) -> float:
        return self.undecided / max(1, self.pairs)

    def list_mistakes(self, title: str) -> str:
        """The mistakes that occur most, a line each."""
        lines = [
            f"{title}: {self.true_positives:,} found, {self.false_positives.total():,} too many,"
            f" {self.false_negatives.total():,} missed"
        ]
        for what, mistakes in (("too many", self.false_positives), ("missed", self.false_negatives)):
            lines += [f"  {what:9}{n:5} x {name} {i}" for (name, i), n in mistakes.most_common(SHOWN)]
        return "\n".join(lines)
