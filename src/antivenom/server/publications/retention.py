"""Deletes blobs that only long superseded publications need. The served publication and its sources always stay.

Source: CEP 16 (shards stay for at least a week after they left the index: clients may still use an older one).
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from antivenom.core.errors import NotFoundError, UnavailableError
from antivenom.core.publication.client_documents import derived_keys
from antivenom.core.publication.publication_index import referenced_keys
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.channels.models import Channel
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.publications import queries
from antivenom.server.publications.blob_guard import blobs_for_deletion
from antivenom.server.publications.models import Publication

KEEP_FOR = timedelta(days=14)
KEEP_AT_LEAST = 10  # publications of each channel, whatever their age


async def collect_channel(resources: Resources, channel_id: int) -> int:
    """Delete blobs that only a channel's dropped publications need. Returns how many were deleted.

    Blobs are shared by channels: nothing is deleted while any channel is being synced or published.

    Raises:
        UnavailableError: Somebody is; try again in a while.
    """
    async with blobs_for_deletion(resources) as is_alone:
        if not is_alone:
            raise UnavailableError("blobs are in use by a sync or a publication", hint="it is tried again")
        return await _collect_channel(resources, channel_id)


async def _collect_channel(resources: Resources, channel_id: int) -> int:
    async with resources.context(SYSTEM) as ctx:
        retained, dropped = [], []
        for channel in await queries.published_channels(ctx.session):
            keep, drop = divide(await queries.list_retained(ctx.session, channel.id), channel, ctx.now - KEEP_FOR)
            retained += keep
            if channel.id == channel_id:
                dropped = drop
            else:
                retained += drop
        for publication in dropped:
            publication.collected_at = ctx.now
    if not dropped:
        return 0
    needed = await asyncio.to_thread(_keys_of_all, resources, retained)
    unneeded = await asyncio.to_thread(_keys_of_all, resources, dropped) - needed
    for key in unneeded:
        await resources.blobs.delete(key)
    return len(unneeded)


def divide(
    publications: list[Publication], channel: Channel, before: datetime
) -> tuple[list[Publication], list[Publication]]:
    """Divide a channel's publications (newest first) into kept and dropped ones.

    Keeps the current one, the newest ten, and those made since `before`.
    """
    keep: list[Publication] = []
    drop: list[Publication] = []
    for position, publication in enumerate(publications):
        if publication.collected_at is not None:
            continue
        old = publication.created_at < before
        kept = position < KEEP_AT_LEAST or publication.id == channel.publication_id or not old
        (keep if kept else drop).append(publication)
    return keep, drop


def _keys_of_all(resources: Resources, publications: list[Publication]) -> set[str]:
    blobs = StoreBlobs(resources.blobs)
    return {key for publication in publications for key in _keys(blobs, publication)}


def _keys(blobs: StoreBlobs, publication: Publication) -> set[str]:
    keys = derived_keys(subdir.index for subdir in publication.subdirs.values())
    keys |= {publication.findings_key} if publication.findings_key else set()
    for subdir in publication.subdirs.values():
        keys |= {subdir.source, subdir.index, subdir.monolith}
        try:
            keys |= referenced_keys(blobs, subdir.source) | referenced_keys(blobs, subdir.index)
        except NotFoundError:
            continue  # deleted before
    return keys
