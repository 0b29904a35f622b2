"""The quality gate of matching: precision and recall over labelled sets, above floors that only rise.

Run with `-s` to see the tables of mistakes. Labels: tests/quality/labels.py (worked out without our matcher) and
tests/quality/authored.py (written by hand).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from antivenom.core.matching.advisories import Assessment
from antivenom.core.matching.compile_index import build_index
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.knowledge import built_in
from tests.quality import corpus, labels
from tests.quality.authored import read_authored
from tests.quality.scoring import Score, hold_floor

EVERY_SOURCE = ("osv-pypi", "osv-bitnami", "osv-julia-jll", "nvd-configurations", "cve5-raw-conda-named")


@pytest.fixture(scope="module")
def data(shared_data: Path) -> Path:
    return shared_data / "data"


OpenIndex = Callable[..., MatchIndex]


@pytest.fixture(scope="module")
def open_index(data: Path) -> OpenIndex:
    """`open_index("osv-pypi", …)`: the index of these sources, compiled once."""
    maps, exploitation = corpus.read_maps(), corpus.read_exploitation()

    @functools.cache
    def build(*sources: str) -> MatchIndex:
        return MatchIndex.load(build_index(corpus.read_advisories(*sources), exploitation, maps, built_in()))

    return build


def assess(index: MatchIndex, components: list[tuple[str, str]]) -> list[Assessment]:
    return index.assess([ComponentKey("conda", name, version) for name, version in components], "conda-forge")


def known_ids(index: MatchIndex) -> set[str]:
    return {
        advisory_id for number in range(index.vulnerability_count) for advisory_id in index.vulnerability(number).ids
    }


def score(index: MatchIndex, truth: labels.Labels) -> Score:
    found, known = Score(), known_ids(index)
    components = sorted(truth.known)
    for component, answer in zip(components, assess(index, components), strict=True):
        affected, labelled = truth.affected.get(component, set()) & known, truth.known[component] & known
        found.add(component[0], [f.ids for f in answer.findings], affected, labelled)
    return found


def test_python_packages_have_what_osv_says_and_nothing_else(data: Path, open_index: OpenIndex) -> None:
    index = open_index("osv-pypi")
    truth = labels.label_python(data)
    assert sum(map(len, truth.affected.values())) > 10_000
    hold_floor("python", score(index, truth))
    apart = labels.read_names_apart_from_python(data)
    apart.remove("uv")  # conda-forge builds it without Python's metadata, so the map misses that it is PyPI's uv
    strangers = [c for c in labels.read_components(data) if c[0] in apart]
    assert len(strangers) > 3_000
    wrong = [(c, f.ids[0]) for c, a in zip(strangers, assess(index, strangers), strict=True) for f in a.findings]
    assert wrong == []


def test_libraries_have_by_nvd_what_julias_curators_say(data: Path, open_index: OpenIndex) -> None:
    truth = labels.label_libraries(data)
    assert sum(map(len, truth.affected.values())) > 1_000
    hold_floor("libraries", score(open_index("nvd-configurations"), truth))


def test_components_that_we_know_by_heart(data: Path, open_index: OpenIndex) -> None:
    authored = read_authored()
    index = open_index(*EVERY_SOURCE)
    found, known = Score(), known_ids(index)
    for (name, _, affected, clean), answer in zip(
        authored, assess(index, [(name, version) for name, version, _, _ in authored]), strict=True
    ):
        assert answer.assessed or "*" in clean, f"{name}: {answer.reason}"
        assert affected <= known, f"no source tells of {affected - known}"
        if "*" in clean:
            assert [e.via for f in answer.findings for e in f.evidence if "PyPI" in e.via] == []
        found.add(name, [f.ids for f in answer.findings], affected, affected | clean)
    hold_floor("authored", found)


def test_withdrawn_and_disputed_entries_of_the_real_feed(data: Path, open_index: OpenIndex) -> None:
    index = open_index("osv-pypi")
    entries = [msgspec.json.decode(line) for line in labels.read_lines(data / "advisories" / "osv-pypi.jsonl.zst")]
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
