"""Shows in what a fetched artifact's own metadata differs from the channel's index."""

from __future__ import annotations

import asyncio

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
    return await asyncio.to_thread(
        lambda: [_with_words(row, contents, said.get(bytes.fromhex(row.sha256))) for row in rows]
    )


def _with_words(row: RecordDecision, contents: PublicationContents, said: ArtifactIndex | None) -> RecordDecision:
    if said is None:
        return row
    refused = describe_mismatch(said, name=row.name, version=row.version, build=row.build, subdir=row.subdir)
    record = contents.maps[row.subdir].record(row.name, row.fn) or {}
    differences = [
        ArtifactDifference(found.field, list(found.index), list(found.artifact))
        for found in list_differences(said, record)
    ]
    if not refused and not differences:
        return row
    return msgspec.structs.replace(row, artifact=ArtifactSays(refused, differences))
