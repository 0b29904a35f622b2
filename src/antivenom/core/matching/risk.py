"""CVSS vectors to scores and severities, and the one number that orders findings: risk.

Source: CVSS 2.0 §3.2.1, 3.1 §7.1, 4.0 §8 (scores, by the `cvss` library); 3.1 §5 and 4.0 §6 (rating scale);
docs/dev/measurements.md (Risk).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

from cvss import CVSS2, CVSS3, CVSS4  # type: ignore[import-untyped]
from cvss.exceptions import CVSSError  # type: ignore[import-untyped]

from antivenom.core.matching.advisories import Severity

VECTOR_MAX_CHARACTERS = 400
# Severity words as points out of 10. An unknown severity stands in the middle: it must not sink below what is known
# to be low.
SEVERITY_POINTS = {
    Severity.unknown: 5.0,
    Severity.low: 3.0,
    Severity.medium: 5.0,
    Severity.high: 7.5,
    Severity.critical: 9.0,
}
KEV_FACTOR = 1.05
RANSOMWARE_FACTOR = 1.1


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


def rate_impact(severity: Severity, scores: Iterable[float]) -> float:
    """How bad a vulnerability is, 0-10: the points of its severity, averaged with the mean of its distinct scores.

    Args:
        scores: CVSS base scores (0-10) of every vector.

    Source: docs/dev/measurements.md (Risk).
    """
    listed = sorted(set(scores))
    points = SEVERITY_POINTS[severity]
    return (points + sum(listed) / len(listed)) / 2 if listed else points


def risk_score(impact: float, *, epss: float | None, kev: bool, ransomware: bool = False) -> float:
    """Risk 0-100, two decimals: threat x impact x exploitation, at most 100.

    `server/advisories/vulnerabilities.py` has the same formula in SQL, operation by operation, so that one statement
    can move every row when a day's EPSS arrives; tests/server/advisories/test_vulnerabilities.py compares the two.

    Args:
        impact: What `rate_impact` gives.
        epss: Probability 0-1; unknown counts as 0, as in grype. A known exploited vulnerability has threat 1.

    Source: docs/dev/measurements.md (Risk).
    """
    threat = 1.0 if kev else epss or 0.0
    factor = (RANSOMWARE_FACTOR if ransomware else KEV_FACTOR) if kev else 1.0
    # Not `round`: that decides ties by the decimal text of a float, and PostgreSQL by its binary value.
    return math.floor(min(threat * impact / 10 * factor, 1.0) * 10_000 + 0.5) / 100
