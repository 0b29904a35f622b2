"""What is known about a publication's components, as one blob; and what it was found from, so that it can be reused.

Thousands of components share findings, and versions between the same bounds share whole assessments: each is written
once. Components that are assessed and have no findings are not listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec
import zstandard

from antivenom.core.conda.records import ChannelFacts
from antivenom.core.errors import InvalidInputError
from antivenom.core.matching.advisories import NO_KNOWLEDGE, Assessment, Finding, IgnoredFinding, Severity
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.core.source.source_map import Component

FORMAT = 2
NO_FINDINGS = Assessment(True, "")  # of a component that is assessed and has no findings


class PublicationBasis(msgspec.Struct, frozen=True, array_like=True):
    """What decides a publication besides its records and the time.

    `build_statements` is a digest of what artifacts state about themselves.
    """

    knowledge: str
    mapping_channel: str
    channel: ChannelFacts
    policy: str
    build_statements: bytes


class ComponentFindings(msgspec.Struct, frozen=True, array_like=True):
    """One component of a channel that has findings."""

    name: str
    version: str
    purls: tuple[str, ...]
    assessment: Assessment

    @property
    def component(self) -> Component:
        return Component(self.name, self.version, self.purls)


class ComponentIgnored(msgspec.Struct, frozen=True, array_like=True):
    """What rules of knowledge set aside of one component."""

    name: str
    version: str
    purls: tuple[str, ...]
    findings: tuple[IgnoredFinding, ...]

    @property
    def component(self) -> Component:
        return Component(self.name, self.version, self.purls)


class FindingCounts(msgspec.Struct, frozen=True):
    """Counts of a channel's findings. `vulnerabilities` are distinct ones by severity, `exploited` those in KEV."""

    vulnerable_components: int
    vulnerabilities: dict[str, int]
    exploited: int
    unassessed_names: int


class ChannelFindings(msgspec.Struct, frozen=True):
    """What is known about a publication's components, by component.

    `unassessed`: reason → names of which no source covers any component without findings. `partly`: components that no
    source covers, of other names, with the reason. `ignored` is only listed: nothing counts it, and the assessments of
    `components` do not have it. `set_aside_by_builds`: what trusted statements of artifacts set aside, one item for
    each artifact; the assessments of `components` have it, since other artifacts of the component may state nothing.
    """

    components: list[ComponentFindings]
    unassessed: dict[str, list[str]]
    partly: list[tuple[Component, str]] = []
    basis: PublicationBasis | None = None
    ignored: list[ComponentIgnored] = []
    set_aside_by_builds: list[ComponentIgnored] = []

    def reasons(self) -> dict[str, str]:
        """Name → why a component of it is not assessed."""
        found = {component[0]: reason for component, reason in self.partly}
        found.update((name, reason) for reason, names in self.unassessed.items() for name in names)
        return found

    def counts(self) -> FindingCounts:
        """Counts for dashboards."""
        findings = dict.fromkeys(finding for c in self.components for finding in c.assessment.findings)
        by_severity = Counter({finding.ids[0]: finding.severity for finding in findings}.values())
        return FindingCounts(
            vulnerable_components=len(self.components),
            vulnerabilities={s.name: by_severity.get(s.name, 0) for s in Severity},
            exploited=len({finding.ids[0] for finding in findings if finding.kev}),
            unassessed_names=len(self.reasons()),
        )


class _Stored(msgspec.Struct, array_like=True):
    format: int
    basis: PublicationBasis | None
    findings: list[Finding]
    assessments: list[tuple[str, list[int]]]  # reason, and positions in `findings`
    components: list[tuple[str, str, tuple[str, ...], int]]  # the last is a position in `assessments`
    unassessed: dict[str, list[str]]
    partly: list[tuple[Component, str]]
    ignored_findings: list[IgnoredFinding] = []
    ignored_sets: list[list[int]] = []  # positions in `ignored_findings`
    ignored: list[tuple[str, str, tuple[str, ...], int]] = []  # the last is a position in `ignored_sets`
    set_aside_by_builds: list[ComponentIgnored] = []


_decoder = msgspec.msgpack.Decoder(_Stored)
_encode = msgspec.msgpack.Encoder().encode


def encode_findings(found: ChannelFindings) -> bytes:
    """The blob of a channel's findings."""
    findings: dict[Finding, int] = {}
    assessments: dict[Assessment, int] = {}
    rows: list[tuple[str, list[int]]] = []
    components = []
    for item in found.components:
        number = assessments.get(item.assessment)
        if number is None:
            number = assessments[item.assessment] = len(rows)
            positions = [findings.setdefault(finding, len(findings)) for finding in item.assessment.findings]
            rows.append((item.assessment.reason, positions))
        components.append((*item.component, number))
    stored = _Stored(
        FORMAT,
        found.basis,
        list(findings),
        rows,
        components,
        found.unassessed,
        found.partly,
        *_pack_ignored(found.ignored),
        found.set_aside_by_builds,
    )
    return zstandard.ZstdCompressor(level=3).compress(_encode(stored))


def _pack_ignored(
    ignored: Iterable[ComponentIgnored],
) -> tuple[list[IgnoredFinding], list[list[int]], list[tuple[str, str, tuple[str, ...], int]]]:
    """The fields of `_Stored` for what rules of knowledge set aside."""
    findings: dict[IgnoredFinding, int] = {}
    sets: dict[tuple[int, ...], int] = {}
    rows = []
    for item in ignored:
        places = tuple([findings.setdefault(finding, len(findings)) for finding in item.findings])
        rows.append((*item.component, sets.setdefault(places, len(sets))))
    return list(findings), [list(places) for places in sets], rows


def decode_findings(data: bytes) -> ChannelFindings:
    """A channel's findings; components share assessments, and assessments share findings.

    Raises:
        InvalidInputError: Not such a blob, or of another format.
    """
    try:
        stored = _decoder.decode(zstandard.ZstdDecompressor().decompress(data))
    except (msgspec.DecodeError, zstandard.ZstdError) as error:
        raise InvalidInputError(f"these are not a channel's findings: {error}") from None
    if stored.format != FORMAT:
        raise InvalidInputError(f"findings of format {stored.format}, not {FORMAT}", hint="publish the channel again")
    assessments = [
        Assessment(True, reason, tuple([stored.findings[i] for i in positions]))
        for reason, positions in stored.assessments
    ]
    components = [
        ComponentFindings(name, version, purls, assessments[number])
        for name, version, purls, number in stored.components
    ]
    sets = [tuple([stored.ignored_findings[i] for i in places]) for places in stored.ignored_sets]
    ignored = [ComponentIgnored(name, version, purls, sets[number]) for name, version, purls, number in stored.ignored]
    return ChannelFindings(
        components, stored.unassessed, stored.partly, stored.basis, ignored, stored.set_aside_by_builds
    )


class ChannelAssessor:
    """Assesses components, and remembers what it found."""

    def __init__(self, index: MatchIndex | None, mapping_channel: str) -> None:
        self._index = index
        self._mapping_channel = mapping_channel
        self._hits: dict[Component, Assessment] = {}
        self._unassessed: dict[Component, str] = {}
        self._set_aside: set[Component] = set()  # of names of which rules of knowledge set something aside
        self._assessed: set[str] = set()  # names with a component that is assessed and has no findings

    def __call__(self, components: Sequence[Component]) -> Sequence[Assessment]:
        if self._index is None:
            self._unassessed.update(dict.fromkeys(components, NO_KNOWLEDGE.reason))
            return [NO_KNOWLEDGE] * len(components)
        keys = [ComponentKey("conda", name, version, purls=purls) for name, version, purls in components]
        answers = self._index.assess(keys, channel=self._mapping_channel)
        for component, assessment in zip(components, answers, strict=True):
            if assessment.findings:
                self._hits[component] = assessment
            elif not assessment.assessed:
                self._unassessed[component] = assessment.reason
            else:
                self._assessed.add(component[0])
        if names := self._index.names_set_aside:
            self._set_aside.update(component for component in components if component[0] in names)
        return answers

    def findings(self, basis: PublicationBasis | None = None) -> ChannelFindings:
        """All that was found."""
        components = [ComponentFindings(*component, assessment) for component, assessment in sorted_items(self._hits)]
        reasons: dict[str, set[str]] = {}
        for component, reason in self._unassessed.items():
            reasons.setdefault(component[0], set()).add(reason)
        whole: dict[str, list[str]] = {}
        for name in sorted(reasons):
            if len(reasons[name]) == 1 and name not in self._assessed:
                whole.setdefault(next(iter(reasons[name])), []).append(name)
        covered = {name for names in whole.values() for name in names}
        partly = [
            (component, why) for component, why in sorted(self._unassessed.items()) if component[0] not in covered
        ]
        return ChannelFindings(components, dict(sorted(whole.items())), partly, basis, self._ignored())

    def _ignored(self) -> list[ComponentIgnored]:
        if self._index is None:
            return []
        components = sorted(self._set_aside)
        keys = [ComponentKey("conda", name, version, purls=purls) for name, version, purls in components]
        found = zip(components, self._index.list_ignored(keys, self._mapping_channel), strict=True)
        return [ComponentIgnored(*component, findings) for component, findings in found if findings]


def sorted_items(hits: dict[Component, Assessment]) -> list[tuple[Component, Assessment]]:
    """Components and their assessments, by component."""
    return sorted(hits.items(), key=lambda item: item[0])


class IncrementalAssessor:
    """Answers from earlier findings; only components of `fresh` names are matched, by an index opened for them."""

    def __init__(
        self, earlier: ChannelFindings, fresh: Collection[str], open_assessor: Callable[[], ChannelAssessor]
    ) -> None:
        self._fresh = frozenset(fresh)
        self._earlier = earlier
        self._open = open_assessor
        self._matching: ChannelAssessor | None = None
        self._known: dict[Component, Assessment] = {c.component: c.assessment for c in earlier.components}
        self._names = {
            name: Assessment(False, reason) for reason, names in earlier.unassessed.items() for name in names
        }
        self._known.update((component, Assessment(False, reason)) for component, reason in earlier.partly)

    def __call__(self, components: Sequence[Component]) -> Sequence[Assessment]:
        known, names, fresh = self._known, self._names, self._fresh
        answers = [known.get(component) or names.get(component[0], NO_FINDINGS) for component in components]
        new = [at for at, component in enumerate(components) if component[0] in fresh] if fresh else []
        if new:
            if self._matching is None:
                self._matching = self._open()
            for at, assessment in zip(new, self._matching([components[at] for at in new]), strict=True):
                answers[at] = assessment
        return answers

    def findings(self, basis: PublicationBasis | None, names: Collection[str]) -> ChannelFindings:
        """Everything known of `names`: the earlier findings, and those of the fresh ones."""
        kept = frozenset(names) - self._fresh
        earlier = self._earlier
        later = self._matching.findings() if self._matching else ChannelFindings([], {})
        unassessed = {why: [n for n in listed if n in kept] for why, listed in earlier.unassessed.items()}
        for why, listed in later.unassessed.items():
            unassessed[why] = sorted((*unassessed.get(why, ()), *listed))
        partly = [item for item in earlier.partly if item[0][0] in kept]
        components = [c for c in earlier.components if c.name in kept]
        return ChannelFindings(
            sorted([*components, *later.components], key=lambda c: c.component),
            {why: listed for why, listed in sorted(unassessed.items()) if listed},
            sorted([*partly, *later.partly]),
            basis,
            sorted([*(c for c in earlier.ignored if c.name in kept), *later.ignored], key=lambda c: c.component),
        )

    def new_findings(self) -> list[ComponentFindings]:
        """The components of fresh names that have findings."""
        return self._matching.findings().components if self._matching else []


def differing_names(
    earlier: ChannelFindings, components: Iterable[Component], answers: Iterable[Assessment]
) -> set[str]:
    """The names of which some component is assessed differently now."""
    known = IncrementalAssessor(earlier, (), _no_index)
    listed = list(components)
    return {
        component[0]
        for component, then, now in zip(listed, known(listed), answers, strict=True)
        if then.findings != now.findings or then.assessed != now.assessed or (not now.assessed and then != now)
    }


def _no_index() -> ChannelAssessor:
    raise AssertionError("no name is fresh")  # pragma: no cover
