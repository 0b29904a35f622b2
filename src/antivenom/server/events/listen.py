"""Listening to events as they are committed, in any process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec
import psycopg
from sqlalchemy.engine import URL

from antivenom.server.events.jobs import EventNotice
from antivenom.server.events.service import NOTIFY_CHANNEL

log = logging.getLogger("antivenom.events")
RECONNECT_S = 1.0
OnEvent = Callable[[EventNotice], None]
LISTENING = EventNotice("listening", "")
"""Comes after each connection: events may have been missed."""


async def listen(url: URL, on_event: OnEvent) -> None:
    """Call `on_event` for every event, and with LISTENING after each connection, until cancelled."""
    text = url.set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                text, autocommit=True, application_name="antivenom listen"
            ) as connection:
                await connection.execute(f"LISTEN {NOTIFY_CHANNEL}")
                on_event(LISTENING)
                async for notice in connection.notifies():
                    on_event(msgspec.json.decode(notice.payload, type=EventNotice))
        except (psycopg.Error, OSError) as error:
            log.info("lost the connection that listens to events, trying again: %s", str(error).partition("\n")[0])
        await asyncio.sleep(RECONNECT_S)
