"""A channel's findings: stored once, whatever the objects that hold them, and read back equal."""

from __future__ import annotations

from antivenom.core.matching.advisories import Assessment, Evidence, Finding
from antivenom.core.publishing.channel_findings import (
    ChannelFindings,
    ComponentFindings,
    decode_findings,
    encode_findings,
)


def finding(id: str = "CVE-1") -> Finding:
    evidence = (Evidence("osv", "purl", "<2"),)
    return Finding((id,), "high", 7.5, False, 0.1, 50.0, ("2",), "active", "exact", evidence)


def channel_of(*assessments: Assessment) -> ChannelFindings:
    components = [ComponentFindings("a", str(number), (), found) for number, found in enumerate(assessments)]
    return ChannelFindings(components, {"no source": ["b"]}, [])


def test_equal_findings_are_stored_once_whether_or_not_they_are_one_object() -> None:
    apart = channel_of(*(Assessment(True, "", (finding(),)) for _ in range(3)))
    shared = Assessment(True, "", (finding(),))
    assert encode_findings(apart) == encode_findings(channel_of(shared, shared, shared))
    first, second, third = (c.assessment for c in decode_findings(encode_findings(apart)).components)
    assert first is second is third


def test_what_was_stored_reads_back_equal_and_counts_each_vulnerability_once() -> None:
    found = channel_of(Assessment(True, "", (finding(), finding("CVE-2"))), Assessment(True, "", (finding(),)))
    assert decode_findings(encode_findings(found)) == found
    counts = found.counts()
    assert (counts.vulnerable_components, counts.vulnerabilities["high"]) == (2, 2)
