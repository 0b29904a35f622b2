"""What stored artifacts state about their own vulnerabilities, tied to the records of a channel by digest."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from antivenom.core.conda.record_fields import timestamp_ms
from antivenom.core.conda.shards import decode_record, read_shard
from antivenom.core.matching.advisories import Assessment
from antivenom.core.matching.build_statements import (
    BuildWord,
    Curated,
    apply_statements,
    built_before_ms,
    list_set_aside,
)
from antivenom.core.publishing.channel_findings import ComponentIgnored
from antivenom.core.publishing.request import Assess
from antivenom.core.source.packs import IndexBlobs, read
from antivenom.core.source.source_map import Component, SourceMap, load_source

SHARD_MAX_BYTES = 256 << 20


class StoredBuildStatements(msgspec.Struct, frozen=True):
    """One artifact's statements. `statuses`: msgpack of {vulnerability id: Curated}."""

    fn: str
    sha256: bytes
    statuses: bytes


class AssessedBuilds(NamedTuple):
    """The assessments of artifacts that state something, by "subdir/fn"; and what their statements set aside."""

    assessments: dict[str, Assessment]
    set_aside: list[ComponentIgnored]


def assess_builds(
    blobs: IndexBlobs,
    sources: Mapping[str, str],
    statements: Iterable[StoredBuildStatements],
    assess: Assess,
    author: str,
) -> AssessedBuilds:
    """The assessments of records whose artifact states something about itself. `author`: who built them."""
    found = AssessedBuilds({}, [])
    wanted = list(statements)
    if not wanted:
        return found
    for subdir, key in sources.items():
        source = load_source(blobs, key)
        locations = source.shards.to_list()
        for stated in wanted:
            record = _find_record(blobs, source, locations, stated.fn)
            if record is None or record.get("sha256") != stated.sha256:
                continue
            component = Component(str(record.get("name", "")), str(record.get("version", "")), _purls(record))
            (assessment,) = assess([component])
            if assessment is not None:
                word = BuildWord(decode_statuses(stated.statuses), author, _built_ms(record))
                found.assessments[f"{subdir}/{stated.fn}"] = apply_statements(assessment, word)
                if aside := list_set_aside(assessment, word, stated.fn):
                    found.set_aside.append(ComponentIgnored(*component, aside))
    return found


def author_of(channel: str, upstream: str) -> str:
    """Who built a channel's artifacts, in words."""
    return upstream or f"channel {channel}"


def decode_statuses(statuses: bytes) -> dict[str, Curated]:
    """What an artifact states, by vulnerability id, from its stored form."""
    return msgspec.msgpack.decode(statuses, type=dict[str, Curated])


def _built_ms(record: Mapping[str, Any]) -> int:
    return built_before_ms(timestamp_ms(record.get("timestamp")), timestamp_ms(record.get("indexed_timestamp")))


def _find_record(blobs: IndexBlobs, source: SourceMap, locations: list[Any], fn: str) -> dict[str, Any] | None:
    name = source.name_of(fn)
    position = bisect_left(source.names, name)
    if position == len(source.names) or source.names[position] != name:
        return None
    data = read(blobs, locations[position])
    shard = read_shard(data, source.shard_key(position), name, SHARD_MAX_BYTES)
    raw = shard.packages_conda.get(fn) or shard.packages.get(fn)
    return None if raw is None else decode_record(raw)


def _purls(record: Mapping[str, Any]) -> tuple[str, ...]:
    purls = record.get("purls")
    return tuple(p for p in purls if isinstance(p, str)) if isinstance(purls, list) else ()
