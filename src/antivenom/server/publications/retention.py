"""Throwing away what only long superseded publications name. The served publication and its sources always stay.

CEP 16: shards stay for at least a week after they left the index, because clients may hold an older index.
"""

from __future__ import annotations

from datetime import timedelta

from antivenom.core.errors import NotFoundError
from antivenom.core.publication_index import referenced_keys
from antivenom.server.channels.models import Channel
from antivenom.server.context import Resources
from antivenom.server.members.actors import SYSTEM
from antivenom.server.publications import queries
from antivenom.server.publications.build import StoreBlobs
from antivenom.server.publications.models import Publication

KEEP_FOR = timedelta(days=14)
KEEP_AT_LEAST = 10  # publications of a channel, whatever their age


async def collect(resources: Resources) -> int:
    """Delete blobs that no retained publication names; how many were deleted."""
    async with resources.context(SYSTEM) as ctx:
        retained, dropped = [], []
        for channel in await queries.published_channels(ctx.session):
            keep, drop = divide(await queries.list_retained(ctx.session, channel.id), channel, ctx.now - KEEP_FOR)
            retained += keep
            dropped += drop
        if not dropped:
            return 0
        for publication in dropped:
            publication.collected_at = ctx.now
    blobs = StoreBlobs(resources.blobs)
    needed = {key for publication in retained for key in await resources.cpu.run_in_thread(_keys, blobs, publication)}
    unneeded = {key for publication in dropped for key in await resources.cpu.run_in_thread(_keys, blobs, publication)}
    for key in unneeded - needed:
        await resources.blobs.delete(key)
    return len(unneeded - needed)


def divide(
    publications: list[Publication], channel: Channel, before: object
) -> tuple[list[Publication], list[Publication]]:
    """(kept, dropped) of a channel's publications, newest first: the current, the newest ten and the young are kept."""
    keep, drop = [], []
    for position, publication in enumerate(publications):
        if publication.collected_at is not None:
            continue
        old = publication.created_at < before
        kept = position < KEEP_AT_LEAST or publication.id == channel.publication_id or not old
        (keep if kept else drop).append(publication)
    return keep, drop


def _keys(blobs: StoreBlobs, publication: Publication) -> set[str]:
    keys = {publication.findings_key} if publication.findings_key else set()
    for entry in publication.subdirs.values():
        keys |= {entry["source"], entry["index"], entry["monolith"]}
        try:
            keys |= referenced_keys(blobs, entry["source"]) | referenced_keys(blobs, entry["index"])
        except NotFoundError:
            continue  # collected before
    return keys
