"""The quality gate of matching: precision, recall and F1 by class of components, above floors that only rise.

`make quality` prints the table and the mistakes; docs/dev/quality.md says how the labels are made.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from antivenom.core.matching.advisories import Advisory
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.identity import NameMaps
from antivenom.core.matching.knowledge import NOTHING
from antivenom.core.matching.match import ComponentKey, MatchIndex
from tests.quality import floors, labels
from tests.quality.authored import read_authored
from tests.quality.classes import CLASSES, Bench, QualityClass, score
from tests.quality.floors import Measured, MeasuredClass
from tests.quality.scoring import Score


@pytest.mark.parametrize("quality_class", CLASSES, ids=lambda c: c.name)
def test_class_is_not_below_its_floor(quality_class: QualityClass, bench: Bench) -> None:
    result = bench.measure(quality_class)
    measured, floor = MeasuredClass.of(result), floors.read()[quality_class.name]
    print("\n" + result.curated.list_mistakes(quality_class.title))
    assert floors.find_falls(quality_class.name, measured, floor) == []
    assert floors.find_rises(quality_class.name, measured, floor) == []


def test_every_class_has_a_floor_and_the_page_shows_it() -> None:
    assert list(floors.read()) == [quality_class.name for quality_class in CLASSES]
    assert floors.table_of_page() == floors.markdown(floors.read())


def _measured(score: Score) -> MeasuredClass:
    return MeasuredClass(Measured.of(score), Measured.of(score), Measured.of(score))


def _score(missed: int = 0, too_many: int = 0, undecided: int = 0, ids: int = 100) -> Score:
    """A component of each of 100 vulnerabilities, found but for the mistakes."""
    score = Score()
    for number in range(ids):
        name = f"CVE-2024-{number}"
        answer = [] if number < missed else [(name,)]
        score.add("lib", answer, {name} if number >= too_many else set(), {name}, int(number < undecided))
    return score


def test_gate_sees_what_falls() -> None:
    floor = _measured(_score())
    assert floors.find_falls("x", floor, floor) == []
    assert floors.find_rises("x", floor, _measured(_score(too_many=3))) != []
    for worse, word in (
        (_score(missed=1), "recall"),
        (_score(missed=1), "1 are missed"),
        (_score(too_many=1), "precision"),
        (_score(too_many=1), "f1"),
        (_score(undecided=11), "undecided"),
        (_score(ids=99), "99 labels"),
    ):
        assert any(word in fall for fall in floors.find_falls("x", _measured(worse), floor)), word
    assert floors.find_falls("x", _measured(_score(undecided=10)), floor) == []


def test_gate_counts_mistakes_where_labels_are_too_few_for_a_score() -> None:
    floor = _measured(_score(ids=5))
    for worse in (_score(ids=5, missed=1), _score(ids=5, too_many=1)):
        assert floors.find_falls("x", _measured(worse), floor) != []
    assert "too few" in floors.text({"go": floor})


def test_component_that_is_not_assessed_is_undecided_and_not_found() -> None:
    truth = labels.Labels()
    truth.add(labels.Component("lib", "trunk"), "CVE-2024-1", True)
    index = MatchIndex.load(build_index([Advisory("CVE-2024-1", "nvd")], None, NameMaps({}, {}), NOTHING))
    found = score(index, truth)
    assert (found.pairs, found.undecided_share, found.recall) == (1, 1, 0)


def test_packages_that_the_map_ties_to_no_project_have_no_finding_of_pypi(bench: Bench) -> None:
    index = bench.compile(("osv-pypi",), curated=True)
    apart = labels.read_names_apart_from_python(bench.data)
    apart.remove("uv")  # conda-forge builds it without Python's metadata, so the map misses that it is PyPI's uv
    strangers = [c for c in labels.read_components(bench.data) if c[0] in apart]
    assert len(strangers) > 3_000
    answers = index.assess([ComponentKey("conda", *component) for component in strangers], "conda-forge")
    wrong = [(c, f.ids[0]) for c, a in zip(strangers, answers, strict=True) for f in a.findings]
    assert wrong == []


def test_components_that_we_know_by_heart_are_assessed(bench: Bench) -> None:
    authored = read_authored()
    index = bench.index(held_out=False, curated=True)
    known = {i for number in range(index.vulnerability_count) for i in index.vulnerability(number).ids}
    keys = [ComponentKey("conda", name, version) for name, version, _, _ in authored]
    for (name, _, affected, clean), answer in zip(authored, index.assess(keys, "conda-forge"), strict=True):
        assert answer.assessed or "*" in clean, f"{name}: {answer.reason}"
        assert affected <= known, f"no source tells of {affected - known}"
        if "*" in clean:
            assert [e.via for f in answer.findings for e in f.evidence if "PyPI" in e.via] == []


def test_no_fixed_version_has_the_finding_that_it_fixes(bench: Bench) -> None:
    index = bench.index(held_out=False, curated=True)
    components = labels.read_components(bench.data)
    answers = index.assess((ComponentKey("conda", *c) for c in components), "conda-forge")
    shown: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for (name, _), answer in zip(components, answers, strict=True):
        for finding in answer.findings:
            for fixed in finding.fixed_versions:
                shown.setdefault((name, fixed), set()).add(finding.ids)
    assert sum(map(len, shown.values())) > 9_000
    at_the_fix = index.assess((ComponentKey("conda", *c) for c in shown), "conda-forge")
    wrong = [
        (component, finding.ids[0])
        for component, answer in zip(shown, at_the_fix, strict=True)
        for finding in answer.findings
        if finding.ids in shown[component]
    ]
    assert wrong == []


def test_withdrawn_and_disputed_entries_of_the_real_feed(bench: Bench) -> None:
    index = bench.compile(("osv-pypi",), curated=True)
    path: Path = bench.data / "advisories" / "osv-pypi.jsonl.zst"
    entries = [msgspec.json.decode(line) for line in labels.read_lines(path)]
    withdrawn = [e for e in entries if e.get("withdrawn")]
    assert len(withdrawn) > 200
    live = {i for e in entries if not e.get("withdrawn") for i in (e["id"], *e.get("aliases", ()))}
    keys = [
        (e["id"], f"{a['package']['purl'].split('@')[0]}@{version}")
        for e in withdrawn
        for a in e.get("affected", ())
        if "purl" in a.get("package", {})
        for version in a.get("versions", ())[:3]
    ]
    answers = index.assess(ComponentKey("purl", purl, "") for _, purl in keys)
    revived = [
        (i, purl)
        for (i, purl), answer in zip(keys, answers, strict=True)
        if i not in live and any(i in f.ids and live.isdisjoint(f.ids) for f in answer.findings)
    ]
    assert len(keys) > 100
    assert revived == []
