"""How a publication's row is stored: the names of its fields are read by every later release."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.postgresql.base import PGDialect

from antivenom.server.publications.counts import PublicationCounts
from antivenom.server.publications.models import Publication, SubdirBlobs

DIALECT = PGDialect()
COUNTS = PublicationCounts(
    records=5, kept=3, withheld=2, warned=1, excepted=1, by_rule={"banned": 2}, by_gate={"packages": 2},
    by_severity={"high": 1}, withheld_by_severity={"high": 1}, vulnerable_components=1, vulnerabilities={"high": 1},
    exploited=0, unassessed_names=2,
)  # fmt: skip
STORED_COUNTS = {
    "records": 5, "kept": 3, "withheld": 2, "warned": 1, "excepted": 1, "by_rule": {"banned": 2},
    "by_gate": {"packages": 2}, "by_severity": {"high": 1}, "withheld_by_severity": {"high": 1},
    "vulnerable_components": 1, "vulnerabilities": {"high": 1}, "exploited": 0, "unassessed_names": 2,
}  # fmt: skip
SUBDIRS = {"noarch": SubdirBlobs("index/a", "index/b", "monolith/c", 10, "upstream/d", "upstream/e")}
STORED_SUBDIRS = {
    "noarch": {
        "source": "index/a", "index": "index/b", "monolith": "monolith/c", "monolith_bytes": 10,
        "run_exports": "upstream/d", "patch_instructions": "upstream/e",
    },
}  # fmt: skip


def column(name: str) -> Any:
    return Publication.__table__.c[name].type


def test_counts_and_subdirs_are_stored_under_the_names_of_earlier_releases() -> None:
    assert column("counts").process_bind_param(COUNTS, DIALECT) == STORED_COUNTS
    assert column("subdirs").process_bind_param(SUBDIRS, DIALECT) == STORED_SUBDIRS


def test_what_is_stored_is_read_back() -> None:
    assert column("counts").process_result_value(STORED_COUNTS, DIALECT) == COUNTS
    assert column("subdirs").process_result_value(STORED_SUBDIRS, DIALECT) == SUBDIRS


def test_a_row_of_another_release_is_read_with_fewer_and_with_more_fields() -> None:
    assert column("counts").process_result_value({"records": 5, "kept": 5}, DIALECT) == PublicationCounts(5, 5)
    newer = {"noarch": {"source": "index/a", "index": "index/b", "signature": "d"}}
    assert column("subdirs").process_result_value(newer, DIALECT) == {"noarch": SubdirBlobs("index/a", "index/b")}
