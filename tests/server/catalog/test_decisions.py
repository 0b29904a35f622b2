"""Withheld and warned records of a publication: narrowing, ordering and counting them."""

from __future__ import annotations

from typing import Any

import pytest

from antivenom.core.errors import InvalidInputError
from antivenom.core.policy.compile import compile_policy, parse_policy
from antivenom.server.catalog.decisions import DecisionFilter, DecisionList
from tests.core.index_samples import MemoryBlobs, document, ingest, opened, publish_all, record

POLICY = """\
name: p
rules:
  - {id: banned, gate: packages, trigger: match_spec, action: stop, params: {deny: ["xz >=5.6", "zlib"]}}
  - {id: copyleft, gate: licenses, trigger: license, action: stop, params: {families: [gpl3]}}
  - {id: frowned, gate: packages, trigger: match_spec, action: warn, params: {deny: ["xz", "numpy 2.*"]}}
"""
RECORDS: dict[str, list[dict[str, Any]]] = {
    "linux-64": [
        record("xz", "5.6.1", license="MIT"),
        record("xz", "5.4.0", license="MIT"),
        record("zlib", "1.3", license="GPL-3.0-only"),
        record("numpy", "2.1", license="BSD-3-Clause"),
        record("bash", "5.2", license="GPL-3.0-or-later"),
    ],
    "noarch": [record("xz", "5.6.0", license="MIT"), record("pip", "24.0", license="MIT")],
}


@pytest.fixture(scope="module")
def decisions() -> DecisionList:
    blobs = MemoryBlobs()
    sources = {
        subdir: ingest(blobs, document(*records, info={"subdir": subdir}), subdir=subdir)
        for subdir, records in RECORDS.items()
    }
    published = publish_all(blobs, sources, compile_policy(parse_policy(POLICY)))
    return DecisionList({subdir: opened(blobs, published, subdir) for subdir in RECORDS})


def rows(decisions: DecisionList, wanted: DecisionFilter, sort: str = "subdir") -> list[str]:
    found = [decisions.row(number) for number in decisions.select(wanted, sort=sort)]
    return [f"{subdir} {decision.name} {decision.version}" for subdir, decision in found]


def test_withheld_and_warned_are_two_lists(decisions: DecisionList) -> None:
    withheld = ["linux-64 bash 5.2", "linux-64 xz 5.6.1", "linux-64 zlib 1.3", "noarch xz 5.6.0"]
    assert rows(decisions, DecisionFilter()) == withheld
    assert rows(decisions, DecisionFilter(decision="warned")) == ["linux-64 numpy 2.1", "linux-64 xz 5.4.0"]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (DecisionFilter(rule_id="copyleft"), ["linux-64 bash 5.2", "linux-64 zlib 1.3"]),
        (DecisionFilter(gate="licenses", subdir="noarch"), []),
        (DecisionFilter(subdir="noarch"), ["noarch xz 5.6.0"]),
        (DecisionFilter(subdir="win-64"), []),
        (DecisionFilter(name="Z"), ["linux-64 xz 5.6.1", "linux-64 zlib 1.3", "noarch xz 5.6.0"]),
        (DecisionFilter(q="xz-5.6.0"), ["noarch xz 5.6.0"]),
        (DecisionFilter(spec="xz >5.6.0"), ["linux-64 xz 5.6.1"]),
        (DecisionFilter(spec="*[license='GPL-3.0-only']"), ["linux-64 zlib 1.3"]),
        (DecisionFilter(spec="z*"), ["linux-64 zlib 1.3"]),
        (DecisionFilter(spec="zlib-1.3-0.conda"), ["linux-64 zlib 1.3"]),
        (DecisionFilter(spec="zlib-1.3-1.conda"), []),
        (DecisionFilter(spec="xz", decision="warned"), ["linux-64 xz 5.4.0"]),
    ],
)
def test_each_part_of_a_filter_narrows(decisions: DecisionList, wanted: DecisionFilter, left: list[str]) -> None:
    assert rows(decisions, wanted) == left


def test_every_order_has_every_row_and_equal_ones_stay_by_name(decisions: DecisionList) -> None:
    by_name = ["linux-64 bash 5.2", "linux-64 xz 5.6.1", "noarch xz 5.6.0", "linux-64 zlib 1.3"]
    assert rows(decisions, DecisionFilter(), "name") == by_name
    assert rows(decisions, DecisionFilter(), "-severity") == by_name  # nothing is known of any: all are equal
    assert rows(decisions, DecisionFilter(), "-name") == [by_name[3], by_name[1], by_name[2], by_name[0]]
    assert rows(decisions, DecisionFilter(), "rule")[-1] == "linux-64 bash 5.2"  # the one that only copyleft stops
    assert rows(decisions, DecisionFilter(), "-subdir")[0] == "noarch xz 5.6.0"


def test_counts_say_what_choosing_would_leave(decisions: DecisionList) -> None:
    wanted = DecisionFilter(name="z", rule_id="banned", subdir="linux-64")
    counts = decisions.count(wanted)
    for rule, number in counts.withheld_by.items():
        assert number == len(rows(decisions, DecisionFilter(name="z", rule_id=rule, subdir="linux-64")))
    for subdir, number in counts.subdirs.items():
        assert number == len(rows(decisions, DecisionFilter(name="z", rule_id="banned", subdir=subdir)))
    assert counts.withheld_by == {"banned": 2, "copyleft": 1}
    assert counts.warned_by == {"frowned": 1}
    assert counts.decisions == {"withheld": 2, "warned": 1}
    assert counts.subdirs == {"linux-64": 2, "noarch": 1}


@pytest.mark.parametrize(
    ("wanted", "sort"),
    [(DecisionFilter(), "colour"), (DecisionFilter(decision="loved"), "name"), (DecisionFilter(spec="xz ["), "name")],
)
def test_a_wrong_question_is_refused(decisions: DecisionList, wanted: DecisionFilter, sort: str) -> None:
    with pytest.raises(InvalidInputError):
        decisions.select(wanted, sort=sort)
