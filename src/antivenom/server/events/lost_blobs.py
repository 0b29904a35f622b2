"""Telling that a stored blob is missing or damaged: an event, on which the room `storage` looks and mends."""

from __future__ import annotations

import logging
import time
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from antivenom.core.errors import LostBlobError
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.events.service import record

log = logging.getLogger(__name__)
AGAIN_AFTER_S: Final = 300.0
KEYS_KEPT: Final = 10_000
SUBJECT: Final = "blob:"

_told: dict[str, float] = {}


async def tell_lost(resources: Resources, error: LostBlobError) -> None:
    """Record `blob.lost` for the blob of an error; by one process at most once in five minutes for each blob.

    A database that does not answer is no reason to fail: the scrub and the next reader find the blob again.
    """
    now = time.monotonic()
    told_key = f"{resources.settings.home}:{error.key}"
    if now - _told.get(told_key, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
        return
    if len(_told) >= KEYS_KEPT:
        _told.clear()
    _told[told_key] = now
    log.warning("%s", error.message)
    try:
        async with resources.context(SYSTEM) as ctx:
            await record(ctx, "blob.lost", subject=f"{SUBJECT}{error.key}", code=error.code)
    except (SQLAlchemyError, OSError) as failure:
        del _told[told_key]
        log.warning("this could not be recorded (%s)", type(failure).__name__)
