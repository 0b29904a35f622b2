"""Laws of ages: a plain reading of decision 12, over any series of syncs and whatever an upstream says."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.core.conda.upstream_records import seed_indexed
from antivenom.core.source.ingest import ingest_monolith
from antivenom.core.source.source_map import load_source, read_facts
from tests.core.index_samples import NOW_MS, MemoryBlobs, document, record

HOUR_MS = 3_600_000
CLAIMS = (0, 1, 1_500_000_000, 1_500_000_000_000, NOW_MS - 1, NOW_MS + HOUR_MS, NOW_MS * 2)


class Listed(NamedTuple):
    """A record as an upstream lists it: which bytes stand under its file name, and what it says of its age."""

    bytes_number: int
    indexed: int
    timestamp: int


listings = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.sampled_from(("1.0", "2.0"))),
    st.builds(Listed, st.integers(0, 2), st.sampled_from(CLAIMS), st.sampled_from(CLAIMS)),
)


@settings(deadline=None)
@given(st.lists(listings, min_size=1, max_size=6))
def test_ages_are_those_of_the_definition(syncs: list[dict[tuple[str, str], Listed]]) -> None:
    blobs, source = MemoryBlobs(), ""
    first_seen: dict[tuple[str, str, int], int] = {}
    last_bytes: dict[str, int] = {}
    for number, listed in enumerate(syncs):
        now_ms = NOW_MS + number * HOUR_MS
        records = [
            record(
                name, version, sha256=f"{ord(name):02x}{version[0]}{of.bytes_number}" * 16, md5="ab" * 16,
                indexed_timestamp=of.indexed, timestamp=of.timestamp,
            )
            for (name, version), of in listed.items()
        ]  # fmt: skip
        ingested = ingest_monolith(blobs, document(*records), subdir="noarch", now_ms=now_ms, previous=source or None)
        source = ingested.source
        expected, replaced = {}, set()
        for (name, version), of in listed.items():
            fn, key = f"{name}-{version}-0.conda", (name, version, of.bytes_number)
            if key not in first_seen:
                seeded = seed_indexed(of.indexed, of.timestamp, now_ms)
                first_seen[key] = now_ms if number else seeded
            expected[fn] = first_seen[key]
            if last_bytes.get(fn, of.bytes_number) != of.bytes_number:
                replaced.add(fn)
            last_bytes[fn] = of.bytes_number
        buckets = load_source(blobs, source).buckets
        facts = [facts for bucket in buckets for facts in read_facts(blobs, bucket)]
        found = {fn: ms for of in facts for fn, ms in zip(of.fns, of.indexed, strict=True)}
        assert found == expected
        assert all(ms <= now_ms for ms in found.values())
        assert set(ingested.replaced) == replaced
