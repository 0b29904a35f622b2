"""What artifacts state, tied to a channel's records."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from antivenom.core.matching.advisories import Assessment, Finding
from antivenom.server.publications.build_statements import StoredBuildStatements, assess_builds
from tests.core.index_samples import MemoryBlobs, channel, fn_of, record

BUILT_S = round(datetime(2024, 6, 1, tzinfo=UTC).timestamp())
FINDING = Finding(
    ("CVE-2024-0001",), "critical", 9.8, False, None, 90.0, (), "reported", "exact", (), "2024-01-01T00:00:00Z"
)


def test_a_build_of_which_the_upstream_gives_seconds_was_built_then() -> None:
    """CEP 34 allows both: taken for milliseconds, a build of today would be one of 1970, and clear nothing."""
    blobs = MemoryBlobs()
    entry = record("alpha", timestamp=BUILT_S)
    sources = channel(blobs, noarch=[entry])
    stated = StoredBuildStatements(
        fn_of(entry), bytes.fromhex(entry["sha256"]), msgspec.msgpack.encode({"CVE-2024-0001": ["cleared", ""]})
    )
    found = Assessment(True, "", (FINDING,))
    builds = assess_builds(blobs, sources, [stated], lambda components: [found for _ in components], "somebody")
    [assessment] = builds.assessments.values()
    assert [f.status for f in assessment.findings] == ["cleared"]
