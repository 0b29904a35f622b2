"""All that can be found of one name, cut into segments of its versions.

The intervals of a name are bits. Each line of versions is cut by all intervals that lie on it, and versions between the
same cuts lie in the same intervals: they share one Assessment, as far as the same fixed versions lie above them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from operator import attrgetter
from typing import Generic, TypeVar

import msgspec

from antivenom.core.matching.advisories import (
    Assessment,
    Confidence,
    Evidence,
    Finding,
    FindingStatus,
    IgnoredBy,
    IgnoredFinding,
    Severity,
    as_ignored,
    kind_of,
)
from antivenom.core.matching.compile_index import CompiledVulnerability
from antivenom.core.matching.precedence import Hit
from antivenom_client.assessing import Line, Merged, is_risk_estimated, lowest, no_place, rank, spans_in
from antivenom_client.platforms import is_on

CONFIDENCE_RANK = {Confidence.exact: 0, Confidence.high: 1, Confidence.medium: 2, Confidence.low: 3}

Vulnerability = Callable[[int], CompiledVulnerability]
_Ignored = tuple[IgnoredFinding, ...]
T = TypeVar("T")
_Place = tuple[int, ...]  # the spans that a version lies in, line by line


class _Spans:
    """The intervals of one name, on as many lines of versions as its sources have orders."""

    __slots__ = ("_known", "_lines", "_vulnerability", "listed")

    def __init__(self, spans: Sequence[Hit], vulnerability: Vulnerability) -> None:
        self._vulnerability = vulnerability
        lines: dict[tuple[str, str], list[Hit]] = {}
        for span in spans:
            lines.setdefault((span.package.scheme, span.identity.version), []).append(span)
        self._lines: list[Line] = []
        self.listed: list[Hit] = []
        for line, group in sorted(lines.items()):
            intervals = ((span.interval.low, span.interval.high) for span in group)
            self._lines.append(Line(*line, intervals, len(self.listed)))
            self.listed += group
        self._known: dict[int, _Vulnerable] = {}  # by spans, all of one vulnerability

    def place(self, version: str) -> _Place:
        """The spans that a version lies in, line by line; -1 where it has no place."""
        return tuple([line.hits(version) for line in self._lines])

    def masks(self) -> dict[int, list[int]]:
        """The spans of each vulnerability, by its number: all of them, and those that decide."""
        found: dict[int, list[int]] = {}
        for bit, span in enumerate(self.listed):
            masks = found.setdefault(span.package.vulnerability, [0, 0])
            masks[0] |= 1 << bit
            masks[1] |= span.decides << bit
        return found

    def vulnerable(self, number: int, spans: int) -> _Vulnerable:
        """What some of its spans together say of one vulnerability."""
        known = self._known.get(spans)
        if known is None:
            hits = [self.listed[place] for place in spans_in(spans)]
            known = self._known[spans] = _Vulnerable(self._vulnerability(number), hits)
        return known


# What is found at one place, and what makes an answer of it for a version.
_Found = tuple[list["_Vulnerable"], Callable[[str], T]]


class _Answers(Generic[T]):
    """Answers, `by_place` but for those places that fixed versions divide: these have one for each part.

    A range until 10 and one from 3 until 4 leave 1 and 6 in the same span, and 4 is a fix for the first alone.
    """

    __slots__ = ("_divided", "by_place")

    def __init__(self) -> None:
        self.by_place: dict[_Place, T] = {}
        self._divided: dict[_Place, tuple[list[_Vulnerable], Callable[[str], T], dict[_Place, T]]] = {}

    def add(self, place: _Place, version: str, look: Callable[[], _Found[T]]) -> T:
        """Keep the answer for versions like this one, if it is not there yet, and return it."""
        divided = self._divided.get(place)
        if divided is None:
            found, answer = look()
            by = [one for one in found if one.is_divided]
            if not by:
                return self.by_place.setdefault(place, answer(version))
            divided = self._divided[place] = by, answer, {}
        by, answer, parts = divided
        part = tuple([one.cut(version) for one in by])
        if part not in parts:
            parts[part] = answer(version)
        return parts[part]


class AssessmentPlan:
    """All that one name can be assessed to: versions that lie in the same spans share one Assessment."""

    __slots__ = ("_answers", "_clean", "_deciding", "_known", "_name", "_spans")

    def __init__(self, name: str, clean: Assessment, spans: Sequence[Hit], vulnerability: Vulnerability) -> None:
        self._name, self._clean = name, clean
        self._spans = _Spans(spans, vulnerability)
        self._deciding = [(number, every, decide) for number, (every, decide) in self._spans.masks().items()]
        self._answers: _Answers[Assessment] = _Answers()
        self._known = self._answers.by_place

    @property
    def clean(self) -> Assessment:
        """The answer for a version of which nothing is found."""
        return self._clean

    @property
    def hits(self) -> list[Hit]:
        """The spans, line by line."""
        return self._spans.listed

    def assess(self, version: str) -> Assessment:
        """What is known of a component of this version."""
        place = self._spans.place(version)
        answer = self._known.get(place)
        if answer is None:
            answer = self._answers.add(place, version, partial(self._look, place))
        return answer

    def _look(self, place: _Place) -> _Found[Assessment]:
        if place and all(hits < 0 for hits in place):
            return [], lambda _: Assessment(False, no_place(self._name))
        hits = sum(hits for hits in place if hits > 0)
        found = [
            self._spans.vulnerable(number, hits & every) for number, every, decide in self._deciding if hits & decide
        ]
        if not found:
            return [], lambda _: self._clean
        found.sort(key=attrgetter("tie"))
        found.sort(key=attrgetter("rank"), reverse=True)
        reason = self._clean.reason if self._clean.assessed else self._spans.listed[lowest(hits)].identity.reason
        decided = {one.tie[1] for one in found}  # a source that can be read finds it, though a better one cannot be
        undecided = tuple([i for i in self._clean.undecided if i not in decided])

        def answer(version: str) -> Assessment:
            findings = tuple([one.finding(version) for one in found])
            return Assessment(True, reason, findings, undecided=undecided)

        return found, answer


class SetAsidePlan:
    """All that rows of knowledge set aside of one name. It is laid out when somebody asks: few do."""

    def __init__(
        self, spans: Sequence[Hit], vulnerability: Vulnerability, explain: Callable[[str], IgnoredBy], version: str = ""
    ) -> None:
        self._given, self._vulnerability, self._explain, self._version = spans, vulnerability, explain, version
        self._spans: _Spans | None = None
        self._rows: list[tuple[int, int, int, str]] = []  # number, spans that decide, that would, id of the row
        self._answers: _Answers[_Ignored] = _Answers()

    def ignored(self, version: str) -> _Ignored:
        """What is set aside of a component of this version, the worst first."""
        if self._spans is None:
            self._spans = self._lay_out()
        version = self._version or version
        place = self._spans.place(version)
        answer = self._answers.by_place.get(place)
        if answer is None:
            answer = self._answers.add(place, version, partial(self._look, self._spans, place))
        return answer

    def _look(self, spans: _Spans, place: _Place) -> _Found[_Ignored]:
        hits = sum(hits for hits in place if hits > 0)
        found = [
            (spans.vulnerable(number, hits & would), self._explain(row_id))
            for number, decide, would, row_id in self._rows
            if hits & would and not hits & decide
        ]
        found.sort(key=lambda item: item[0].tie)
        found.sort(key=lambda item: item[0].rank, reverse=True)
        return [one for one, _ in found], lambda version: tuple(
            [as_ignored(one.finding(version), by) for one, by in found]
        )

    def at(self, version: str) -> SetAsidePlan:
        """The same for components that have this version whatever they say."""
        return SetAsidePlan(self._given, self._vulnerability, self._explain, version)

    def _lay_out(self) -> _Spans:
        spans = _Spans(self._given, self._vulnerability)
        decide = {number: mask for number, (_, mask) in spans.masks().items()}
        found: dict[int, tuple[int, str]] = {}  # number → spans that would decide, id of the row
        for bit, span in enumerate(spans.listed):
            if span.ignored_by:
                would, row_id = found.get(span.package.vulnerability, (0, span.ignored_by))
                found[span.package.vulnerability] = would | 1 << bit, row_id
        self._rows = [(number, decide[number], would, row_id) for number, (would, row_id) in found.items()]
        return spans


class _Vulnerable:
    """What one set of hits says of one vulnerability: a finding whose fixed versions depend on the component's.

    The worst has the highest `rank`. `is_divided`: fixed versions lie among the versions that have all these hits.
    """

    __slots__ = ("_by_cut", "_finding", "_merged", "is_divided", "rank", "tie")

    def __init__(self, about: CompiledVulnerability, hits: list[Hit]) -> None:
        self.tie = about.epss is None, about.ids[0]  # what is known before what is estimated
        self.rank = rank(about.severity, about.risk, about.published, kev=about.kev)
        self._merged = merged = Merged(hits, disputed=about.disputed, only_on=about.platforms, told_on=about.told_on)
        severity_name = Severity(about.severity).name
        self._finding = Finding(
            ids=about.ids,
            severity=severity_name,
            cvss=about.cvss,
            kev=about.kev,
            epss=about.epss,
            risk=about.risk,
            fixed_versions=(),
            status=FindingStatus.disputed if about.disputed else FindingStatus.reported,
            confidence=merged.confidence,
            evidence=tuple([Evidence(*said) for said in merged.evidence]),
            published=about.published,
            modified=about.modified,
            summary=about.summary,
            kev_ransomware=about.ransomware,
            kind=kind_of(severity_name),
            risk_estimated=is_risk_estimated(severity_name, about.epss, kev=about.kev),
            platforms=merged.platforms,
            told_on=merged.told_on,
        )
        self._by_cut = {len(merged.fixed): self._finding}
        together = [h.interval for h in hits if (h.scheme, h.version) == (merged.scheme, merged.version)]
        self.is_divided = not merged.version and any(
            all(span.low < key and (span.high is None or key < span.high) for span in together) for key in merged.keys
        )

    def cut(self, version: str) -> int:
        """How many of the fixed versions are not above this one."""
        return self._merged.cut(version)

    def finding(self, version: str) -> Finding:
        """The finding of a component of this version: fixed versions are those above its own, ascending."""
        cut = self._merged.cut(version)
        found = self._by_cut.get(cut)
        if found is None:
            fixed = tuple(self._merged.fixed[cut:])
            found = self._by_cut[cut] = msgspec.structs.replace(self._finding, fixed_versions=fixed)
        return found


def on_subdir(assessment: Assessment, subdir: str) -> Assessment:
    """What is left of an assessment for packages of a subdir ("" or noarch: all).

    Findings of other platforms go; those that only a text tells to be of others have a low confidence.
    """
    if not any(f.platforms or f.told_on for f in assessment.findings):
        return assessment
    left = [f for f in assessment.findings if not f.platforms or is_on(f.platforms, subdir)]
    narrowed = tuple([f if not f.told_on or is_on(f.told_on, subdir) else _unsure(f) for f in left])
    return assessment if narrowed == assessment.findings else msgspec.structs.replace(assessment, findings=narrowed)


@lru_cache(maxsize=10_000)
def _unsure(finding: Finding) -> Finding:
    return msgspec.structs.replace(finding, confidence=Confidence.low)


def of_other_platforms(assessment: Assessment, subdir: str) -> tuple[IgnoredFinding, ...]:
    """The findings that `on_subdir` leaves out, as ignored ones."""
    return tuple(
        as_ignored(
            finding,
            IgnoredBy("platform", f"it exists on {', '.join(finding.platforms)} alone, and this is {subdir}"),
        )
        for finding in assessment.findings
        if finding.platforms and not is_on(finding.platforms, subdir)
    )
