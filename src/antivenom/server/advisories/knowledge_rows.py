"""Rows of knowledge as layers: the built-in ones, those of feeds, and corrections, which go before all of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import delete, select

from antivenom.core.feeds.entry import KnowledgeEntry
from antivenom.core.matching.knowledge import Knowledge, assemble
from antivenom.knowledge import entries
from antivenom.server.advisories import storing
from antivenom.server.advisories.feed_state import PendingChanges
from antivenom.server.advisories.models import CORRECTIONS_ID, KnowledgeRow
from antivenom.server.advisories.syncing import publish_knowledge
from antivenom.server.context import Context

_decode = msgspec.msgpack.Decoder(KnowledgeEntry).decode


async def assemble_knowledge(
    ctx: Context, *, corrections: Sequence[KnowledgeEntry] | None = None, more: Sequence[KnowledgeEntry] = ()
) -> Knowledge:
    """What counts by the rows that are stored now; a compiled index may still be of earlier ones.

    Args:
        corrections: Instead of the corrections that are applied.
        more: Goes before all others.
    """
    rows = await ctx.session.execute(
        select(KnowledgeRow.feed_id, KnowledgeRow.body).order_by(KnowledgeRow.feed_id, KnowledgeRow.id)
    )
    stored = [(feed_id, _decode(body)) for feed_id, body in rows]
    of_feeds = [entry for feed_id, entry in stored if feed_id != CORRECTIONS_ID]
    applied = [entry for feed_id, entry in stored if feed_id == CORRECTIONS_ID]
    layers = (entries(), of_feeds, applied if corrections is None else corrections, more)
    return assemble([(entry.id, entry.fact) for entry in layer] for layer in layers)


async def replace_corrections(ctx: Context, corrections: Sequence[KnowledgeEntry], cause: str) -> int:
    """Put these rows in place of all corrections; of rows with one id the last counts. Everything is compiled anew.

    Returns:
        The new knowledge revision; the caller records an event that `findings.await_feeds` listens to.
    """
    await storing.lock_knowledge(ctx.session)
    await ctx.session.execute(delete(KnowledgeRow).where(KnowledgeRow.feed_id == CORRECTIONS_ID))
    by_id = {entry.id: entry for entry in corrections}
    ctx.session.add_all(
        KnowledgeRow(feed_id=CORRECTIONS_ID, id=row_id, body=msgspec.msgpack.encode(entry))
        for row_id, entry in by_id.items()
    )
    await ctx.session.flush()
    return await publish_knowledge(ctx, cause, PendingChanges(everything=True))
