"""CVSS vectors to scores and severities, and the one number that orders findings: risk.

Source: CVSS 2.0 §3.2.1, 3.1 §7.1, 4.0 §8 (scores, by the `cvss` library); 3.1 §5 and 4.0 §6 (rating scale);
docs/dev/measurements.md (Risk).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
    Severity.malware: 10.0,
}
EPSS_UNITS = 1_000_000_000  # EPSS as whole numbers: more digits than it has
MEAN_UNITS = 10_000  # a mean has four decimals
KEV_FACTOR = 1.05
RANSOMWARE_FACTOR = 1.1


_BASE_METRICS = {
    2: ("AV", "AC", "AU", "C", "I", "A"),
    3: ("AV", "AC", "PR", "UI", "S", "C", "I", "A"),
    4: ("AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA"),
}


@lru_cache(maxsize=50_000)
def score_vector(vector: str) -> tuple[int, float] | None:
    """(CVSS major version, base score 0-10) of a vector; None when it is not one.

    Metrics of time and of an environment do not count: they are of one day and of one place.
    """
    if len(vector) > VECTOR_MAX_CHARACTERS:
        return None
    parts = vector.strip().strip("()").rstrip("/").upper().removeprefix("CVSS2#").split("/")
    published = parts.pop(0).removeprefix("CVSS:") if parts[0].startswith("CVSS:") else ""
    metrics = dict(part.partition(":")[::2] for part in parts)
    major = int(published[0]) if published[:1] in ("2", "3", "4") else _major_of(metrics) if not published else 0
    names = _BASE_METRICS.get(major, ())
    if not names or len(metrics) < len(parts) or not metrics.keys() >= set(names):
        return None
    base = "/".join(f"{name}:{metrics[name]}" for name in names)
    try:
        if major == 4:
            return 4, float(CVSS4(f"CVSS:{published or '4.0'}/{base}").base_score)
        if major == 3:
            return 3, float(CVSS3(f"CVSS:{published or '3.1'}/{base}").base_score)
        return 2, float(CVSS2(base.replace("/AU:", "/Au:")).base_score)
    except (CVSSError, ValueError, ArithmeticError, KeyError, IndexError, AttributeError):
        return None


def _major_of(metrics: Mapping[str, str]) -> int:
    """The CVSS version of a vector that does not say it."""
    return 4 if "VC" in metrics else 3 if "PR" in metrics else 2


def best_score(vectors: Iterable[str]) -> tuple[int, float] | None:
    """The newest CVSS version's (version, score); the higher score when it occurs twice."""
    return max((scored for vector in vectors if (scored := score_vector(vector))), default=None)


def rate(version: int, score: float) -> Severity:
    """The severity of a base score. CVSS 2 has no critical; 0.0 (NONE) is not low, and not known to be anything."""
    if score >= 9.0 and version > 2:
        return Severity.critical
    if score >= 7.0:
        return Severity.high
    if score >= 4.0:
        return Severity.medium
    return Severity.low if score > 0.0 else Severity.unknown


def rate_impact(severity: Severity, scores: Iterable[float]) -> float:
    """How bad a vulnerability is, 0-10: the points of its severity, averaged with the mean of its distinct scores.

    Args:
        scores: CVSS base scores (0-10) of every vector.

    Source: docs/dev/measurements.md (Risk).
    """
    listed = sorted(set(scores))
    is_none = severity is Severity.unknown and 0.0 in listed  # somebody knows that it harms nothing
    points = 0.0 if is_none else SEVERITY_POINTS[severity]
    return (points + sum(listed) / len(listed)) / 2 if listed else points


def sum_epss(scores: Iterable[tuple[Severity, float]]) -> dict[Severity, tuple[int, int]]:
    """By severity: the sum of EPSS in whole `EPSS_UNITS`, so that order makes no difference, and how many there are.

    The same in SQL: server/advisories/vulnerabilities.py.

    Args:
        scores: Severity and EPSS (0-1) of every vulnerability that has one.
    """
    sums: dict[Severity, tuple[int, int]] = {}
    for severity, epss in scores:
        total, count = sums.get(severity, (0, 0))
        sums[severity] = total + round(epss * EPSS_UNITS), count + 1
    return sums


def expect_threats(sums: Mapping[Severity, tuple[int, int]]) -> dict[Severity, float]:
    """By severity: how likely somebody exploits what has no EPSS, 0-1. An estimate, and never 0.

    It is the mean EPSS of what has the same severity, else of everything. Without any EPSS it is 1, so that severity
    alone decides; it is 1 for malware.

    Args:
        sums: What `sum_epss` gives.

    Source: docs/concepts/finding.md ("Risk").
    """
    total, count = (sum(numbers) for numbers in zip(*sums.values(), strict=True)) if sums else (0, 0)
    expected = {severity: _mean(*sums.get(severity, (total, count))) for severity in Severity}
    return {**expected, Severity.malware: 1.0}


def _mean(total: int, count: int) -> float:
    if not count:
        return 1.0
    return max(1, math.floor(total / (count * EPSS_UNITS) * MEAN_UNITS + 0.5)) / MEAN_UNITS


def threat_of(severity: Severity, expected: Mapping[Severity, float], *, epss: float | None, kev: bool) -> float:
    """How likely somebody exploits it, 0-1: 1 for what is exploited and for malware, else its EPSS, else an estimate.

    Args:
        expected: What `expect_threats` gives.
    """
    if kev or severity is Severity.malware:
        return 1.0
    return expected[severity] if epss is None else epss


def risk_score(impact: float, threat: float, *, kev: bool, ransomware: bool = False) -> float:
    """Risk 0-100, two decimals: threat x impact x exploitation, at most 100.

    `server/advisories/vulnerabilities.py` has the same formula in SQL, operation by operation, so that one statement
    can move every row when a day's EPSS arrives; tests/server/advisories/test_vulnerabilities.py compares the two.

    Args:
        impact: What `rate_impact` gives.
        threat: What `threat_of` gives.

    Source: docs/dev/measurements.md (Risk).
    """
    factor = (RANSOMWARE_FACTOR if ransomware else KEV_FACTOR) if kev else 1.0
    # Not `round`: that decides ties by the decimal text of a float, and PostgreSQL by its binary value.
    return math.floor(min(threat * impact / 10 * factor, 1.0) * 10_000 + 0.5) / 100
