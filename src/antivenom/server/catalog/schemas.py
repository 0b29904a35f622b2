"""What the API answers about what is in a publication."""

from __future__ import annotations

from typing import Any

from antivenom.core.matching.advisories import Finding


def finding_row(finding: Finding) -> dict[str, Any]:
    return {
        "ids": list(finding.ids),
        "severity": finding.severity,
        "cvss": finding.cvss,
        "kev": finding.kev,
        "kev_ransomware": finding.kev_ransomware,
        "epss": finding.epss,
        "risk": finding.risk,
        "fixed_versions": list(finding.fixed_versions),
        "status": finding.status,
        "confidence": finding.confidence,
        "evidence": [{"source": e.source, "via": e.via, "range": e.range} for e in finding.evidence],
        "published": finding.published,
        "summary": finding.summary,
    }
