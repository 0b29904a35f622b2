"""CVSS vectors to scores and severities.

Source: CVSS 2.0 §3.2.1, 3.1 §7.1, 4.0 §8 (scores, by the `cvss` library); 3.1 §5 and 4.0 §6 (rating scale).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError

from antivenom.core.advisories import Severity

VECTOR_MAX_CHARACTERS = 400
WORDS = {
    "none": Severity.unknown,
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


@lru_cache(maxsize=50_000)
def score_vector(vector: str) -> tuple[int, float] | None:
    """(CVSS major version, base score 0-10) of a vector; None when it is not one."""
    if len(vector) > VECTOR_MAX_CHARACTERS:
        return None
    try:
        if vector.startswith("CVSS:4"):
            return 4, float(CVSS4(vector).base_score)
        if vector.startswith("CVSS:3"):
            return 3, float(CVSS3(vector).base_score)
        return 2, float(CVSS2(vector.strip("()")).base_score)
    except (CVSSError, ValueError, ArithmeticError, KeyError, IndexError, AttributeError):
        return None


def best_score(vectors: Iterable[str]) -> tuple[int, float] | None:
    """The newest CVSS version's (version, score); the higher score when it occurs twice."""
    return max((scored for vector in vectors if (scored := score_vector(vector))), default=None)


def rate(version: int, score: float) -> Severity:
    """The severity of a base score. CVSS 2 has no critical; 0.0 counts as low: someone did publish it."""
    if score >= 9.0 and version > 2:
        return Severity.critical
    if score >= 7.0:
        return Severity.high
    return Severity.medium if score >= 4.0 else Severity.low


def severity_word(word: object) -> Severity:
    """The severity that a feed names in words; unknown for words that say nothing."""
    return WORDS.get(word.strip().lower(), Severity.unknown) if isinstance(word, str) else Severity.unknown


def assess(vectors: Iterable[str], word: object = None) -> tuple[tuple[str, ...], float | None, Severity]:
    """(valid vectors without repeats, score, severity): from vectors, else the severity from a word."""
    kept = tuple(dict.fromkeys(v for v in vectors if score_vector(v)))
    best = best_score(kept)
    return (kept, None, severity_word(word)) if best is None else (kept, best[1], rate(*best))
