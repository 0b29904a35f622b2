"""Findings for tests that need only some of their fields."""

from __future__ import annotations

from typing import Any

from antivenom.server.catalog.rows import ChannelFinding

DEFAULTS: dict[str, Any] = {
    "ids": ("CVE-2024-0001",), "severity": "high", "cvss": None, "kev": False, "kev_ransomware": False, "epss": None,
    "risk": 10.0, "fixed_versions": (), "status": "active", "confidence": "high", "evidence": [], "published": "",
    "summary": "", "name": "a", "version": "1.0", "subdirs": ["noarch"], "records": 1, "withheld": 0,
    "fix_in_channel": None,
}  # fmt: skip


def channel_finding(**facts: Any) -> ChannelFinding:
    """A finding of a channel with these facts."""
    return ChannelFinding(**DEFAULTS | facts)
