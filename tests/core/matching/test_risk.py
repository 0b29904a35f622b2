"""Risk: never nothing for lack of a number, and what comes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.feeds.severity import assess, severity_word
from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange, Severity
from antivenom.core.matching.compile_index import Exploited, build_index
from antivenom.core.matching.match import ComponentKey, MatchIndex
from antivenom.core.matching.merging import merge_entries
from antivenom.core.matching.risk import (
    expect_threats,
    rate_impact,
    risk_score,
    score_vector,
    sum_epss,
    threat_of,
)
from antivenom_client.assessing import rank

VECTORS = {
    "critical": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",  # 9.8
    "high": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N",  # 7.5
    "low": "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N",  # 1.8
}
SCORES = st.lists(st.tuples(st.sampled_from(list(Severity)), st.floats(0, 1)))


def told(number: int, severity: str, published: str = "") -> Advisory:
    affected = AffectedPackage("pypi", "foo", (AffectedRange("pep440", None, fixed="2"),))
    vectors = (VECTORS[severity],) if severity in VECTORS else ()
    return Advisory(f"CVE-2026-{number}", "osv", cvss_vectors=vectors, published=published, affected=(affected,))


def ordered(*advisories: Advisory, **exploited: Exploited) -> list[tuple[str, float, bool]]:
    facts = {f"CVE-2026-{key[1:]}": known for key, known in exploited.items()}
    [assessment] = MatchIndex.load(build_index(advisories, facts)).assess([ComponentKey("purl", "pkg:pypi/foo@1", "")])
    return [(f.ids[0].removeprefix("CVE-2026-"), f.risk, f.risk_estimated) for f in assessment.findings]


def test_without_its_epss_the_mean_of_the_same_severity_counts_and_is_marked() -> None:
    known = {"_1": Exploited(0.2), "_2": Exploited(0.4), "_3": Exploited(0.9)}
    found = ordered(
        told(1, "critical"), told(2, "critical"), told(3, "low"), told(4, "critical"), told(5, "high"), **known
    )
    by_id = {number: (risk, estimated) for number, risk, estimated in found}
    assert by_id["4"] == (risk_score((9.0 + 9.8) / 2, 0.3, kev=False), True) == (28.2, True)
    assert by_id["5"] == (risk_score(7.5, 0.5, kev=False), True)  # nothing high has one: the mean of all
    assert by_id["1"] == (18.8, False)


def test_without_any_epss_severity_alone_decides() -> None:
    assert [number for number, *_ in ordered(told(1, "low"), told(2, "critical"), told(3, "high"))] == ["2", "3", "1"]
    assert ordered(told(2, "critical")) == [("2", 94.0, True)]


def test_exploited_ones_come_first_then_risk_then_severity_then_the_newest() -> None:
    known = {
        "_1": Exploited(kev=True),
        "_2": Exploited(1.0),
        "_3": Exploited(0.0),
        "_4": Exploited(0.0),
        "_5": Exploited(0.0),
    }
    found = ordered(
        told(1, "low"),
        told(2, "critical"),
        told(3, "low", "2026-05-01T00:00:00Z"),
        told(4, "high", "2024-05-01T00:00:00Z"),
        told(5, "low", "2026-06-01T00:00:00Z"),
        **known,
    )
    assert [number for number, *_ in found] == ["1", "2", "4", "5", "3"]
    assert rank(Severity.malware, 100.0, "", kev=False) > rank(Severity.critical, 100.0, "2026", kev=True)


@given(SCORES, st.sampled_from(list(Severity)))
def test_an_estimate_lies_among_what_is_known_and_is_never_nothing(
    scores: list[tuple[Severity, float]], severity: Severity
) -> None:
    expected = expect_threats(sum_epss(scores))
    threat = threat_of(severity, expected, epss=None, kev=False)
    assert 0 < threat <= 1
    like = [epss for of, epss in scores if of == severity] or [epss for _, epss in scores]
    if severity is Severity.malware or not scores:
        assert threat == 1.0
    else:
        assert threat == pytest.approx(sum(like) / len(like), abs=0.0001)


@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_scores_makes_no_difference(scores: list[tuple[Severity, float]], chance: object) -> None:
    turned = list(scores)
    chance.shuffle(turned)  # type: ignore[attr-defined]
    assert sum_epss(turned) == sum_epss(scores)


BASE_4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"


@pytest.mark.parametrize(
    ("vector", "scored"),
    [
        (VECTORS["critical"], (3, 9.8)),
        (VECTORS["critical"] + "/E:U/RL:O/RC:C", (3, 9.8)),  # of one day
        (VECTORS["critical"] + "/MAV:L/CR:L", (3, 9.8)),  # of one place
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P/E:U/RL:OF/RC:C", (2, 7.5)),
        (BASE_4, (4, 9.3)),
        (BASE_4 + "/E:U", (4, 9.3)),
        (BASE_4 + "/MAV:L/CR:L/S:N/AU:Y", (4, 9.3)),
        ("AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", (3, 9.8)),  # without its version
        (BASE_4.removeprefix("CVSS:4.0/"), (4, 9.3)),
        ("(AV:N/AC:L/Au:N/C:P/I:P/A:P)", (2, 7.5)),
        ("CVSS2#AV:N/AC:L/Au:N/C:P/I:P/A:P", (2, 7.5)),
        ("CVSS:2.0/AV:N/AC:L/Au:N/C:P/I:P/A:P", (2, 7.5)),
        (VECTORS["critical"].lower() + "/ ", (3, 9.8)),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", (3, 0.0)),
        (VECTORS["critical"] + "/A:H", None),  # one of them twice
        ("CVSS:3.1/AV:N/AC:L", None),
        ("CVSS:3.7/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", None),
        ("CVSS:5.0/AV:N", None),
        ("7.5", None),
        ("", None),
    ],
)
def test_a_vector_gives_its_base_score(vector: str, scored: tuple[int, float] | None) -> None:
    assert score_vector(vector) == scored


def test_a_score_that_contradicts_its_vector_does_not_count() -> None:
    told_wrongly = Advisory("CVE-2026-1", "osv", cvss_vectors=(VECTORS["low"],), cvss=9.9, severity=Severity.critical)
    merged = merge_entries(["CVE-2026-1"], [told_wrongly])
    assert (merged.cvss, merged.severity) == (1.8, Severity.low)


def test_none_is_not_low_and_ranks_behind_it() -> None:
    none = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"
    assert assess([none]) == ((none,), 0.0, Severity.unknown)
    assert severity_word("NONE") is Severity.unknown
    entries = [Advisory("CVE-2026-1", "osv", cvss_vectors=(none,), cvss=0.0)]
    merged = merge_entries(["CVE-2026-1"], entries)
    assert (merged.severity, merged.cvss, merged.impact) == (Severity.unknown, 0.0, 0.0)
    assert rate_impact(Severity.low, [1.8]) > merged.impact
    assert rate_impact(Severity.unknown, []) == 5.0  # nobody said anything
