"""What a scan says to people: rows of its table, what helps, and the lines beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from antivenom_client.assessing import SEVERITIES
from antivenom_client.terminal import count_of
from antivenom_client.version_keys import is_prerelease, version_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, TypeVar

    class Finding(Protocol):
        """A vulnerability of a component."""

        @property
        def ids(self) -> Sequence[str]: ...
        @property
        def severity(self) -> str: ...
        @property
        def kind(self) -> str: ...
        @property
        def kev(self) -> bool: ...
        @property
        def risk(self) -> float: ...
        @property
        def risk_estimated(self) -> bool: ...
        @property
        def fixed_versions(self) -> Sequence[str]: ...

    class Component(Protocol):
        """A package."""

        @property
        def name(self) -> str: ...
        @property
        def version(self) -> str: ...

    class Assessed(Protocol):
        """A component and its findings, worst first."""

        @property
        def component(self) -> Component: ...
        @property
        def findings(self) -> Sequence[Finding]: ...

    A = TypeVar("A", bound=Assessed)

COLUMNS = ("package", "version", "finding", "severity", "risk", "kev", "fixed", "what to do")
SHOWN_NAMES = 10
STOP = "stop"


def advise(findings: Sequence[Finding]) -> str:
    """The release that ends all findings for which one is known, and how many stay open."""
    if any(finding.kind == "malware" for finding in findings):
        return "remove it: it is malware"
    target = fixing_release(findings)
    if not target:
        return "no release is known to fix it"
    left = sum(_first_fix(finding, is_prerelease(target)) == "" for finding in findings)
    return f"update to {target} or later" + (f"; {left} stay{'s' if left == 1 else ''} open" if left else "")


def fixing_release(findings: Sequence[Finding]) -> str:
    """The first release that ends all findings for which one is known; "" for none.

    A pre-release counts where there is nothing else: nobody is sent to an alpha for one finding of many.
    """
    for with_prereleases in (False, True):
        if fixes := [fix for finding in findings if (fix := _first_fix(finding, with_prereleases))]:
            return max(fixes, key=lambda version: version_key("generic", version) or b"")
    return ""


def _first_fix(finding: Finding, with_prereleases: bool) -> str:
    return next((fix for fix in finding.fixed_versions if with_prereleases or not is_prerelease(fix)), "")


def worst_first(finding: Finding) -> tuple[bool, bool, float, int]:
    """What orders findings of several components, the worst lowest."""
    return finding.severity != "malware", not finding.kev, -finding.risk, -SEVERITIES.index(finding.severity)


def with_findings(assessed: Iterable[A]) -> list[A]:
    """The components with findings, the one with the worst first."""
    return sorted((a for a in assessed if a.findings), key=lambda a: (*worst_first(a.findings[0]), a.component.name))


def risk_text(risk: float, *, is_estimated: bool) -> str:
    """The risk of a finding; "~" before it where no EPSS is known, so that the mean of its severity counts."""
    return f"{'~' if is_estimated else ''}{risk:g}"


def rows_of(assessed: Assessed, advice: str) -> list[dict[str, str]]:
    """The rows of one component, by `COLUMNS`. `advice`: what helps against its findings."""
    return [
        {
            "package": " " if number else assessed.component.name,
            "version": " " if number else assessed.component.version,
            "finding": finding.ids[0],
            "severity": finding.severity,
            "risk": risk_text(finding.risk, is_estimated=finding.risk_estimated),
            "kev": "yes" if finding.kev else "",
            "fixed": ", ".join(finding.fixed_versions[:2]),
            "what to do": " " if number else advice,
        }
        for number, finding in enumerate(assessed.findings)
    ]


def title_of(target: str, environment: str, platform: str) -> str:
    """How people call a snapshot: the path, and what tells it apart from others in the same file."""
    parts = ", ".join(part for part in (environment, platform) if part)
    return f"{target} ({parts})" if parts else target


def totals_line(findings: int, components: int, environments: int) -> str:
    """How much was found in how much."""
    of = count_of(environments, "environments")
    return f"{count_of(findings, 'findings')} in {count_of(components, 'components')} of {of}"


def not_assessed_line(count: int, names: Iterable[str]) -> str:
    """What no source covers."""
    listed = sorted(names)
    shown = ", ".join(listed[:SHOWN_NAMES]) + (" …" if len(listed) > SHOWN_NAMES else "")
    return f"{count:,} not assessed: {shown}"


def fails(finding: Finding, limits: Sequence[str]) -> bool:
    """Whether a finding is one of those for which a scan fails.

    Args:
        limits: Severities, which also stand for those above them, "kev", "malware", "any" and "stop". Malware fails
            with every limit but "stop": that is for a policy to say.
    """
    if not set(limits) - {STOP}:
        return False
    severity = SEVERITIES.index(finding.severity)
    return (
        finding.severity == "malware"
        or "any" in limits
        or ("kev" in limits and finding.kev)
        or any(severity >= SEVERITIES.index(limit) for limit in limits if limit in SEVERITIES)
    )
