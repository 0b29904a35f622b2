"""The numbers of a publication."""

from __future__ import annotations

from antivenom.core.publication.publication_map import Counts


def test_a_sum_adds_everything_and_tells_the_worst_severity_first() -> None:
    one = Counts(records=3, withheld=1, by_severity={"low": 1, "critical": 2}, by_rule={"b": 1})
    two = Counts(records=2, withheld=2, by_severity={"malware": 1, "unknown": 4, "low": 1}, by_rule={"a": 1, "b": 1})
    total = Counts.sum([one, two])
    assert (total.records, total.withheld, total.by_rule) == (5, 3, {"b": 2, "a": 1})
    assert list(total.by_severity.items()) == [("malware", 1), ("critical", 2), ("low", 2), ("unknown", 4)]
