"""Shows in what a fetched artifact's own metadata differs from the channel's index."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from antivenom.core.conda.artifact_index import ArtifactIndex, describe_mismatch, list_differences
from antivenom.server.catalog.contents import PublicationContents
from antivenom.server.catalog.rows import ArtifactDifference, ArtifactSays, RecordDecision
from antivenom.server.context import Context
from antivenom.server.publications.queries import find_artifact_indexes


async def add_artifact_words(
    ctx: Context, contents: PublicationContents, rows: list[RecordDecision]
) -> list[RecordDecision]:
    """The rows, with what each one's artifact says otherwise."""
    said = await find_artifact_indexes(ctx.session, [bytes.fromhex(row.sha256) for row in rows if row.sha256])
    if not said:
        return rows
    return await asyncio.to_thread(_add, contents, rows, said)


def _add(
    contents: PublicationContents, rows: list[RecordDecision], said: Mapping[bytes, ArtifactIndex]
) -> list[RecordDecision]:
    listed: dict[tuple[str, str], Mapping[str, dict[str, Any]]] = {}  # records of a name in a subdir, read once
    found = []
    for row in rows:
        index = said.get(bytes.fromhex(row.sha256)) if row.sha256 else None
        if index is not None:
            key = row.subdir, row.name
            if key not in listed:
                listed[key] = contents.maps[row.subdir].listed_records(row.name)
            row = _with_words(row, listed[key].get(row.fn, {}), index)
        found.append(row)
    return found


def _with_words(row: RecordDecision, record: Mapping[str, Any], said: ArtifactIndex) -> RecordDecision:
    refused = describe_mismatch(said, name=row.name, version=row.version, build=row.build, subdir=row.subdir)
    differences = [
        ArtifactDifference(found.field, list(found.index), list(found.artifact))
        for found in list_differences(said, record)
    ]
    if not refused and not differences:
        return row
    return msgspec.structs.replace(row, artifact=ArtifactSays(refused, differences))
