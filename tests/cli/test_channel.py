"""`antivenom channel`: what it tells people."""

from __future__ import annotations

from antivenom.cli.channel import explanation


def test_an_explanation_tells_reasons_exceptions_and_evidence() -> None:
    reason = {"rule_id": "old", "action": "warn", "message": "it is old", "recommendation": "upgrade"}
    excepted = {"rule_id": "lic", "allowlist_id": "a1", "message": "licensed under GPL-3.0-only"}
    evidence = {"source": "PYSEC-1 (osv)", "via": "name map: conda x is PyPI x", "range": "<2.0"}
    row = {
        "subdir": "linux-64",
        "fn": "x-1.0-0.conda",
        "decision": "warned",
        "reasons": [reason],
        "excepted": [excepted],
        "assessment": "1 known vulnerability: CVE-1",
        "findings": [{"ids": ["CVE-1", "PYSEC-1"], "evidence": [evidence, evidence]}],
    }
    assert list(explanation(row)) == [
        "linux-64/x-1.0-0.conda: warned",
        "  warn: it is old (rule old)",
        "    upgrade",
        "  excepted by a1: licensed under GPL-3.0-only (rule lic)",
        "  1 known vulnerability: CVE-1",
        "    CVE-1: <2.0 in PYSEC-1 (osv); name map: conda x is PyPI x",
    ]
