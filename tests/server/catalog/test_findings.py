"""Findings of a channel, narrowed: every part of a filter must hold."""

from __future__ import annotations

from typing import Any

import pytest

from antivenom.core.errors import InvalidInputError
from antivenom.server.catalog.rows import ChannelFinding
from antivenom.server.catalog.service import FINDING_SORTS, FindingFilter
from tests.server.catalog.samples import channel_finding


def finding(name: str, ids: list[str], severity: str, **facts: Any) -> ChannelFinding:
    return channel_finding(name=name, ids=tuple(ids), severity=severity, **facts)


ROWS = [
    finding("openssl", ["CVE-2022-0778"], "high", epss=0.1),
    finding("openssl", ["CVE-2014-0160"], "high", epss=0.97, kev=True),
    finding("pillow", ["CVE-2023-4863", "GHSA-j7hp-h8jx-5ppr"], "critical", kev=True, status="mitigated"),
    finding("tqdm", ["GHSA-g7vv-2v7x-gj9p"], "unknown"),
]


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (FindingFilter(), [0, 1, 2, 3]),
        (FindingFilter(q="OpenSSL"), [0, 1]),
        (FindingFilter(q="ghsa-"), [2, 3]),
        (FindingFilter(severity="high"), [0, 1, 2]),
        (FindingFilter(severity="critical"), [2]),
        (FindingFilter(kev=True), [1, 2]),
        (FindingFilter(kev=False), [0, 3]),
        (FindingFilter(epss_min=0.5), [1]),
        (FindingFilter(epss_min=0.0), [0, 1, 2, 3]),
        (FindingFilter(status="mitigated"), [2]),
        (FindingFilter(q="openssl", kev=True, severity="low"), [1]),
        (FindingFilter(q="openssl", status="mitigated"), []),
    ],
)
def test_every_part_of_a_filter_must_hold(wanted: FindingFilter, places: list[int]) -> None:
    assert wanted.select(ROWS) == [ROWS[place] for place in places]


MALWARE = finding("evil", ["MAL-2026-1"], "malware", kind="malware")


@pytest.mark.parametrize("severity", ["", "low", "critical", "malware"])
@pytest.mark.parametrize("epss_min", [None, 0.0, 0.99, 1.0])
def test_no_lower_bound_hides_malware(severity: str, epss_min: float | None) -> None:
    assert MALWARE in FindingFilter(severity=severity, epss_min=epss_min).select([*ROWS, MALWARE])


def test_severity_sorts_by_rank_then_by_risk() -> None:
    rows = [
        finding("a", ["1"], "low", risk=100.0),
        finding("b", ["2"], "critical", risk=0.0),
        finding("c", ["3"], "high", risk=1.0),
        finding("d", ["4"], "high", risk=99.5),
        finding("e", ["5"], "unknown", risk=0.0),
    ]
    assert [row.name for row in sorted(rows, key=FINDING_SORTS["severity"], reverse=True)] == ["b", "d", "c", "a", "e"]


def test_an_unknown_severity_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match="dreadful") as refused:
        FindingFilter(severity="dreadful").select(ROWS)
    assert "critical" in (refused.value.hint or "")
