"""What helps against the findings of one component, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from antivenom.core.matching.advisories import Finding, Kind
from antivenom_client.version_keys import version_key


def advise(findings: Sequence[Finding]) -> str:
    """The release that ends all findings for which one is known, and how many stay open."""
    if any(finding.kind == Kind.malware for finding in findings):
        return "remove it: it is malware"
    first_fixes = [finding.fixed_versions[0] for finding in findings if finding.fixed_versions]
    if not first_fixes:
        return "no release is known to fix it"
    target = max(first_fixes, key=lambda version: version_key("generic", version) or b"")
    left = len(findings) - len(first_fixes)
    return f"update to {target} or later" + (f"; {left} stay{'s' if left == 1 else ''} open" if left else "")
