"""Hearing of events as they are committed, in any process."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy.engine import URL

from antivenom.server.events.service import NOTIFY_CHANNEL

log = logging.getLogger("antivenom.events")
RECONNECT_S = 1.0
OnEvent = Callable[[dict[str, Any]], None]


async def listen(url: URL, on_event: OnEvent) -> None:
    """Call `on_event({"kind", "subject"})` for every event until cancelled.

    After each (re)connection it is called with `{"kind": "listening", "subject": ""}`: some may have been missed.
    """
    text = url.set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                text, autocommit=True, application_name="antivenom listen"
            ) as connection:
                await connection.execute(f"LISTEN {NOTIFY_CHANNEL}")
                on_event({"kind": "listening", "subject": ""})
                async for notice in connection.notifies():
                    on_event(json.loads(notice.payload))
        except (psycopg.Error, OSError) as error:
            log.info("lost the connection that hears of events, trying again: %s", str(error).partition("\n")[0])
        await asyncio.sleep(RECONNECT_S)
