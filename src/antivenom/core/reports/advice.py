"""What helps against the findings of one component, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from antivenom.core.matching.advisories import Finding, Kind
from antivenom.core.reports.result import AssessedComponent
from antivenom_client.version_keys import version_key


def advise(findings: Sequence[Finding]) -> str:
    """The release that ends all findings for which one is known, and how many stay open."""
    if any(finding.kind == Kind.malware for finding in findings):
        return "remove it: it is malware"
    target = fixing_release(findings)
    if not target:
        return "no release is known to fix it"
    left = sum(not finding.fixed_versions for finding in findings)
    return f"update to {target} or later" + (f"; {left} stay{'s' if left == 1 else ''} open" if left else "")


def fixing_release(findings: Sequence[Finding]) -> str:
    """The first release that ends all findings for which one is known; "" for none."""
    first_fixes = [finding.fixed_versions[0] for finding in findings if finding.fixed_versions]
    return max(first_fixes, key=lambda version: version_key("generic", version) or b"", default="")


def advise_component(assessed: AssessedComponent) -> str:
    """What helps against a component's findings, and what is known of the way there; "" without findings."""
    return "; ".join((advise(assessed.findings), *assessed.hints)) if assessed.findings else ""
