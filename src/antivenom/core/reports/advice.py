"""What helps against the findings of one component, in a sentence."""

from __future__ import annotations

from antivenom.core.reports.result import AssessedComponent
from antivenom_client.report import advise


def advise_component(assessed: AssessedComponent) -> str:
    """What helps against a component's findings, and what is known of the way there; "" without findings."""
    return "; ".join((advise(assessed.findings), *assessed.hints)) if assessed.findings else ""
