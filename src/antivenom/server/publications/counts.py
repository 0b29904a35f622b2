"""The numbers of a publication, as its row stores them and the API answers them.

Fields have defaults: rows of earlier releases may lack some.
"""

from __future__ import annotations

import msgspec

from antivenom.core.publication.publication_map import Counts
from antivenom.server.web.rows import Row


class RecordCounts(Row, frozen=True):
    """Records by what became of them.

    `by_rule` and `by_gate` count withheld and warned records, `by_severity` all records by their worst active finding,
    `withheld_by_severity` those that are withheld.
    """

    records: int = 0
    kept: int = 0
    withheld: int = 0
    warned: int = 0
    excepted: int = 0
    by_rule: dict[str, int] = {}
    by_gate: dict[str, int] = {}
    by_severity: dict[str, int] = {}
    withheld_by_severity: dict[str, int] = {}

    @classmethod
    def of(cls, counts: Counts) -> RecordCounts:
        """The engine's counts."""
        return RecordCounts(**msgspec.structs.asdict(counts))


class PublicationCounts(RecordCounts, frozen=True):
    """The records of a publication, and what is known of their vulnerabilities.

    `vulnerabilities` counts distinct ones by severity, `exploited` those that are exploited; `unassessed_names` counts
    packages with something that is not assessed.
    """

    vulnerable_components: int = 0
    vulnerabilities: dict[str, int] = {}
    exploited: int = 0
    unassessed_names: int = 0
