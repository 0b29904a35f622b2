"""Merge all entries about one vulnerability: the one summary, severity, score and risk that is shown.

Findings, the search over advisories and an advisory's page all come from `merge_entries`. Its rules:

* Withdrawn entries count only where every entry is withdrawn.
* An entry that covers other vulnerabilities too counts only where no entry about this one alone has a value.
* The score is that of the newest CVSS version, and of that the highest. Severity is the rating of that score; an entry
  without a score counts by its word, and then the worst word counts.
* What rows of knowledge show to be malware has the severity malware and the highest impact, whatever its score.
* The summary is the shortest that is not about somebody's copy of the software.
* Dates before 1971 are mistakes: unset fields that were written as dates.

The order of entries makes no difference.

Source: CVSS 4.0, 3.1 and 2.0 (later versions replace earlier ones); docs/concepts/finding.md, "Score".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from antivenom.core.matching.advisories import Advisory, Severity
from antivenom.core.matching.malware import WITHOUT_KNOWLEDGE, MalwareRules
from antivenom.core.matching.risk import SEVERITY_POINTS, best_score, rate, rate_impact, score_vector

OLDEST_DATE = "1971"
_COPY = re.compile(r"\b(?:bundled|included in|vendored|via C|wheels?)\b", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T")

T = TypeVar("T")
Entries = Sequence[Advisory]


class MergedEntries(msgspec.Struct, frozen=True, gc=False):
    """One vulnerability as all its entries describe it.

    `impact` is what its risk is computed from (risk.py). Dates are RFC 3339 texts, "" when none is known. `withdrawn`
    is "" while any entry stands, else the last date of withdrawal. Tuples have no repeats.
    """

    summary: str
    severity: Severity
    cvss: float | None
    impact: float
    published: str
    modified: str
    withdrawn: str
    disputed: bool
    details: str
    vectors: tuple[str, ...]
    flags: tuple[str, ...]
    cwes: tuple[str, ...]
    related: tuple[str, ...]
    upstream: tuple[str, ...]
    references: tuple[str, ...]


def merge_entries(
    ids: Iterable[str],
    entries: Iterable[Advisory],
    shared: Iterable[Advisory] = (),
    malware: MalwareRules = WITHOUT_KNOWLEDGE,
) -> MergedEntries:
    """Merge the entries, at least one, of the vulnerability that has these ids.

    Args:
        ids: All ids of the vulnerability (grouping.py).
        entries: Those about this vulnerability alone.
        shared: Those whose id belongs to other vulnerabilities too.
        malware: Which entries are about malware.
    """
    own, wider = _sort(entries), _sort(shared)
    everything = [*own, *wider]
    standing = [tier for tier in (_standing(own), _standing(wider)) if tier]
    tiers = standing or [everything]
    rated = next((tier for tier in tiers if any(a.cvss is not None or a.severity for a in tier)), tiers[0])
    severity, cvss, impact = _rate(rated)
    named = set(ids)
    if standing and malware.is_malware(named, own if _standing(own) else everything):
        severity, impact = Severity.malware, SEVERITY_POINTS[Severity.malware]
    return MergedEntries(
        summary=_first(tiers, _best_summary),
        severity=severity,
        cvss=cvss,
        impact=impact,
        published=_first(tiers, lambda tier: min(_dates(a.published for a in tier), default="")),
        modified=max(_dates(a.modified for tier in tiers for a in tier), default=""),
        withdrawn="" if standing else max((a.withdrawn for a in everything), default=""),
        disputed=any(a.disputed for a in tiers[0]),
        details=_first(tiers, lambda tier: max((a.details for a in tier), key=lambda text: (len(text), text))),
        vectors=tuple(sorted({vector for a in rated for vector in a.cvss_vectors}, reverse=True)),
        flags=tuple(sorted({flag for a in everything for flag in a.flags})),
        cwes=_first(tiers, lambda tier: tuple(sorted({cwe for a in tier for cwe in a.cwes}))),
        # The other vulnerabilities of a shared entry are near, but not the same.
        related=tuple(sorted({i for tier in tiers for a in tier for i in (*a.related, *a.aliases)} - named)),
        upstream=tuple(sorted({i for tier in tiers for a in tier for i in a.upstream} - named)),
        references=tuple(dict.fromkeys(url for tier in tiers for a in tier for url in a.references)),
    )


def _sort(entries: Iterable[Advisory]) -> list[Advisory]:
    return sorted(entries, key=lambda a: (a.source, a.id, a.modified))


def _standing(entries: Entries) -> list[Advisory]:
    return [advisory for advisory in entries if not advisory.withdrawn]


def _first(tiers: Sequence[Entries], read: Callable[[Entries], T]) -> T:
    """What is read from the first tier that holds any."""
    for tier in tiers:
        if found := read(tier):
            return found
    return read(tiers[0])


def _rate(entries: Entries) -> tuple[Severity, float | None, float]:
    """Severity, score, and impact."""
    scores = [scored[1] for a in entries for vector in a.cvss_vectors if (scored := score_vector(vector))]
    bare = [a for a in entries if a.cvss is not None and not a.cvss_vectors]  # a score without its vector
    worst = max(a.severity for a in entries)
    best = best_score(vector for a in entries for vector in a.cvss_vectors)
    if best is not None:
        severity, cvss = rate(*best), best[1]
    elif bare:
        cvss, severity = max((a.cvss or 0.0, a.severity) for a in bare)
        severity = severity or worst
    else:
        severity, cvss = worst, None
    scores += [a.cvss for a in bare if a.cvss is not None]
    return severity, cvss, rate_impact(severity, scores)


def _best_summary(entries: Entries) -> str:
    summaries = {a.summary for a in entries}
    return min(filter(None, summaries), key=_summary_rank, default="") if len(summaries) > 1 else summaries.pop()


def _summary_rank(summary: str) -> tuple[bool, int, str]:
    return _COPY.search(summary) is not None, len(summary), summary


def _dates(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if text >= OLDEST_DATE and _DATE.match(text)]
