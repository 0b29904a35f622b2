"""The classes that the quality gate reports, each with its labels and how they were made; and measuring them.

A class of `held_out` labels is asked of an index without the source of its labels: NVD's configurations alone. The others are asked with every feed of the shared data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from antivenom.core.matching.advisories import Advisory, Kind
from antivenom.core.matching.compile_index import Exploited, build_index
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import NOTHING, Knowledge
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in
from tests.quality import corpus, labels, special_labels, tool_labels
from tests.quality.authored import label_authored
from tests.quality.authored_parts import AUTHORED_PARTS
from tests.quality.labels import Component, Labels
from tests.quality.scoring import Score

HELD_OUT = ("nvd-configurations",)
# Their labels showed what a row lacked (a name of electron, words of malware), so the row was written from them.
ROWS_WRITTEN_FROM = frozenset({"CVE-2023-29198", "CVE-2023-39956", "PYSEC-2024-154"})
FEWEST_VULNERABILITIES = 20  # of a class with labels of fewer, mistakes are counted and no score is given


@dataclass(frozen=True)
class QualityClass:
    """`made`: how its labels are made, for people. `is_evidence`: no row of knowledge was written from these labels."""

    name: str
    title: str
    made: str
    label: Callable[[Path], Labels]
    held_out: bool = False
    is_evidence: bool = True
    kind: Kind | None = None  # findings of this kind alone are answers


def _tools(tools: tuple[tool_labels.Tool, ...]) -> Callable[[Path], Labels]:
    return lambda data: tool_labels.label_tools(data, tools)


CLASSES = (
    QualityClass(
        "python",
        "PyPI by advisory",
        "OSV's ranges evaluated with the packaging library, for conda packages of the project's own name",
        lambda data: labels.label_python(data, renamed=False),
    ),
    QualityClass(
        "renamed",
        "Renamed",
        "the same, for packages whose PyPI project is called otherwise, or has had two names",
        lambda data: labels.label_python(data, renamed=True),
    ),
    QualityClass(
        "libraries",
        "C libraries",
        "Julia's curators re-based ranges on their own builds; a release between two builds of different verdict has no label",
        labels.label_libraries,
        held_out=True,
    ),
    QualityClass(
        "go",
        "Tools in Go",
        "golang's vulnerability database, Bitnami's and projects' own CVE records (GitHub), at and beside each bound",
        _tools(tool_labels.GO),
        held_out=True,
    ),
    QualityClass(
        "rust",
        "Tools in Rust",
        "RustSec's advisories and projects' own CVE records (GitHub), at and beside each bound",
        _tools(tool_labels.RUST),
    ),
    QualityClass(
        "java",
        "Tools in Java",
        "Bitnami's ranges and projects' own CVE records (GitHub), at and beside each bound",
        _tools(tool_labels.JAVA),
        held_out=True,
    ),
    QualityClass(
        "javascript",
        "Tools in JavaScript",
        "projects' own CVE records (GitHub), at and beside each bound",
        _tools(tool_labels.JAVASCRIPT),
    ),
    QualityClass(
        "interpreters",
        "Interpreters",
        "Node.js' own index; Bitnami's ranges for Python, PHP, Ruby and Lua; at and beside each bound",
        _tools(tool_labels.INTERPRETERS),
        held_out=True,
    ),
    QualityClass(
        "parts",
        "Parts",
        "written by hand from the projects' security pages, apart from the rows that tell parts apart",
        lambda _: label_authored(AUTHORED_PARTS),
    ),
    QualityClass(
        "platforms",
        "Platform",
        'NVD\'s "running on" and the platforms that CNAs list: affected on that subdir, not on linux-64',
        special_labels.label_platforms,
    ),
    QualityClass(
        "malware",
        "Malware",
        "known under a MAL- id, in PyPI's inspector, or of RustSec's category malicious; against entries with a CVE id",
        special_labels.label_malware,
        kind=Kind.malware,
    ),
    QualityClass(
        "authored",
        "Known by heart",
        "written by hand by the authors of the curated releases, so no evidence: it only keeps what was right",
        lambda _: label_authored(),
        is_evidence=False,
    ),
)


@dataclass(frozen=True)
class Result:
    """One class: all labels with curated knowledge, those of them that no row of it names, and all without knowledge."""

    quality_class: QualityClass
    curated: Score
    evidence: Score
    plain: Score

    @property
    def is_scored(self) -> bool:
        return len(self.curated.vulnerabilities) >= FEWEST_VULNERABILITIES


@dataclass
class Bench:
    """The shared data, read once; indexes, compiled once each."""

    data: Path
    _indexes: dict[tuple[tuple[str, ...], bool], MatchIndex] = field(default_factory=dict)

    @cached_property
    def _advisories(self) -> dict[str, list[Advisory]]:
        return {name: list(corpus.read_advisories(name)) for name in corpus.EVERYTHING}

    @cached_property
    def _beside(self) -> tuple[dict[str, Exploited], NameMaps]:
        return corpus.read_exploitation(), corpus.read_maps()

    def index(self, *, held_out: bool, curated: bool) -> MatchIndex:
        """Every feed or only those of `HELD_OUT`, with or without curated knowledge."""
        return self.compile(HELD_OUT if held_out else corpus.EVERYTHING, curated=curated)

    def compile(self, feeds: tuple[str, ...], *, curated: bool) -> MatchIndex:
        """The index of some of the feeds; compiled once."""
        if (feeds, curated) not in self._indexes:
            advisories = (a for name in feeds for a in self._advisories[name])
            knowledge = built_in() if curated else NOTHING
            packed = build_index(advisories, *self._beside, knowledge)
            self._indexes[feeds, curated] = MatchIndex.load(packed)
        return self._indexes[feeds, curated]

    def measure(self, quality_class: QualityClass) -> Result:
        """The scores of one class."""
        truth = quality_class.label(self.data)
        with_rows = self.index(held_out=quality_class.held_out, curated=True)
        without = self.index(held_out=quality_class.held_out, curated=False)
        named = {i for ids in _ids(with_rows) if not _ROWS.isdisjoint(ids) for i in ids} | _ROWS
        return Result(
            quality_class,
            score(with_rows, truth, quality_class.kind),
            score(with_rows, truth, quality_class.kind, apart_from=named) if quality_class.is_evidence else Score(),
            score(without, truth, quality_class.kind),
        )

    def measure_all(self) -> Iterator[Result]:
        for quality_class in CLASSES:
            yield self.measure(quality_class)


def named_by(knowledge: Knowledge) -> frozenset[str]:
    """The vulnerabilities of which some row says what is affected."""
    return frozenset({release.vulnerability for release in knowledge.releases} | set(knowledge.platforms))


_ROWS = named_by(built_in()) | ROWS_WRITTEN_FROM


def _ids(index: MatchIndex) -> list[tuple[str, ...]]:
    return [index.vulnerability(number).ids for number in range(index.vulnerability_count)]


def score(index: MatchIndex, truth: Labels, kind: Kind | None = None, apart_from: Set[str] = frozenset()) -> Score:
    """Labels against answers.

    Args:
        apart_from: Labels of these vulnerabilities do not count.
    """
    heard = {i for ids in _ids(index) for i in ids} - apart_from
    contradicted = sum(len(ids & heard) for ids in truth.contradicted.values())
    found = Score(pairs=contradicted, undecided=contradicted)
    components = sorted(component for component in truth.known if truth.known[component] & heard)
    keys = [_key(component) for component in components]
    for component, answer in zip(components, index.assess(keys, "conda-forge"), strict=True):
        known = truth.known[component] & heard
        affected = truth.affected.get(component, set()) & heard
        undecided = len(known) if not answer.assessed else len(known.intersection(answer.undecided))
        ids = [finding.ids for finding in answer.findings if kind is None or finding.kind == kind]
        found.add(component.name.partition("@")[0], ids, affected, known, undecided)
    return found


def _key(component: Component) -> ComponentKey:
    return ComponentKey(component.type, component.name, component.version, subdir=component.subdir)
