"""The severity that a feed gives an advisory: by CVSS vectors, or by a word."""

from __future__ import annotations

from collections.abc import Iterable

from antivenom.core.matching.advisories import Severity
from antivenom.core.matching.risk import best_score, rate, score_vector

WORDS = {
    "negligible": Severity.low,
    "low": Severity.low,
    "minor": Severity.low,
    "moderate": Severity.medium,
    "medium": Severity.medium,
    "important": Severity.high,
    "high": Severity.high,
    "major": Severity.high,
    "critical": Severity.critical,
}


def severity_word(word: object) -> Severity:
    """The severity that a feed names in words; unknown for words that name none."""
    return WORDS.get(word.strip().lower(), Severity.unknown) if isinstance(word, str) else Severity.unknown


def assess(vectors: Iterable[str], word: object = None) -> tuple[tuple[str, ...], float | None, Severity]:
    """(valid vectors without repeats, score, severity): from vectors, else the severity from a word."""
    kept = tuple(dict.fromkeys(v for v in vectors if score_vector(v)))
    best = best_score(kept)
    return (kept, None, severity_word(word)) if best is None else (kept, best[1], rate(*best))
