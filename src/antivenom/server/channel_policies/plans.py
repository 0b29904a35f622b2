"""What a policy would change, as pages and the API show it."""

from __future__ import annotations

from antivenom.server.publications.counts import RecordCounts
from antivenom.server.publications.reasons import ReasonView
from antivenom.server.web.rows import Row


class PlannedRecord(Row, frozen=True):
    """A record that a policy would withhold or release, with the reasons."""

    subdir: str
    fn: str
    name: str
    version: str
    build: str
    reasons: list[ReasonView]


class RulePlan(Row, frozen=True):
    """How many records a rule would withhold or release."""

    withheld: int
    released: int


class PlanCounts(Row, frozen=True):
    """How many records a policy would withhold and release, and the counts of all records after that."""

    withheld: int
    released: int
    after: RecordCounts


class PolicyPlan(Row, frozen=True):
    """What a policy would withhold and release; the lists end at 20,000 records each, the counts are exact."""

    withheld: list[PlannedRecord]
    released: list[PlannedRecord]
    by_rule: dict[str, RulePlan]
    counts: PlanCounts
