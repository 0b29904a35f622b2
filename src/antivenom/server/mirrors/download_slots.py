"""How many downloads of one upstream run at once. One that nobody waits for gives way to one that somebody wants.

A client who leaves costs nothing more than what is idle: the download goes on in the background, so that the next who
asks finds the file, until its slot is wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from antivenom.server.mirrors.downloads import Download

DOWNLOADS_PER_UPSTREAM: Final = 16


@dataclass(slots=True, eq=False)
class _Upstream:
    """`running`: those that hold a slot, the oldest first. `waiting`: those that want one."""

    running: dict[Download, Callable[[], object]] = field(default_factory=dict)
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    reserved: int = 0
    """Slots that were handed on, and not yet taken up."""


class DownloadSlots:
    """The slots of one process, by upstream."""

    def __init__(self) -> None:
        self._upstreams: dict[str, _Upstream] = {}

    @asynccontextmanager
    async def one(self, upstream: str, download: Download, give_up: Callable[[], object]) -> AsyncIterator[None]:
        """Hold a slot of the upstream while the block runs.

        Args:
            give_up: Cancels the block; called when another wants the slot and nobody waits for this download.
        """
        slots = self._upstreams.setdefault(upstream, _Upstream())
        try:
            if len(slots.running) + slots.reserved >= DOWNLOADS_PER_UPSTREAM or slots.waiting:
                await self._wait(slots)
            slots.running[download] = give_up
            try:
                yield
            finally:
                slots.running.pop(download, None)
                self._hand_on(slots)
        finally:
            if not slots.running and not slots.waiting and not slots.reserved:
                self._upstreams.pop(upstream, None)

    def note_left(self, upstream: str) -> None:
        """Somebody left a download of that upstream: its slot may be wanted by another."""
        slots = self._upstreams.get(upstream)
        if slots is not None and slots.waiting:
            self._make_room(slots)

    async def _wait(self, slots: _Upstream) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        slots.waiting.append(turn)
        self._make_room(slots)
        try:
            await turn
            slots.reserved -= 1
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                slots.reserved -= 1
                self._hand_on(slots)
            else:
                with contextlib.suppress(ValueError):  # passed over meanwhile
                    slots.waiting.remove(turn)
            raise

    def _make_room(self, slots: _Upstream) -> None:
        for download, give_up in list(slots.running.items()):
            if download.is_abandoned:
                slots.running[download] = _given_up  # once is enough: it takes a moment to end
                give_up()
                return

    def _hand_on(self, slots: _Upstream) -> None:
        if len(slots.running) + slots.reserved >= DOWNLOADS_PER_UPSTREAM:
            return
        while slots.waiting:
            turn = slots.waiting.popleft()
            if not turn.done():  # else who waited is being cancelled, and has not noticed yet
                slots.reserved += 1
                turn.set_result(None)
                return


def _given_up() -> None:
    """What is done to a download that was given up already."""
