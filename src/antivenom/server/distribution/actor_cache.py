"""Identifies who asks for a channel file, and caches the actor of recently used credentials."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from antivenom.core.errors import UnauthenticatedError
from antivenom.core.rights import Level
from antivenom.server.context import Actor, Resources
from antivenom.server.members.authentication import authenticate

KEEP_S = 30.0  # LISTEN forgets a revoked token at once; this is the limit when the listener is down
KEEP_REFUSED_S = 5.0
KEPT = 10_000
KEPT_MAX_BYTES = 1_000  # of credentials that are kept: anybody may send 64 KiB of wrong ones again and again

Credentials = tuple[bytes, bytes]
"""(token from `/t/<token>/` or b"", value of the Authorization header or b"")."""


class ActorCache:
    """Caches the actor of credentials. A hit costs one dictionary look-up."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._known: OrderedDict[Credentials, tuple[Actor | None, float]] = OrderedDict()
        self._asking: dict[Credentials, asyncio.Task[Actor | None]] = {}
        self._generation = 0

    def cached(self, credentials: Credentials) -> Actor | None:
        """The actor if it is cached; None otherwise, and for wrong credentials."""
        known = self._known.get(credentials)
        return known[0] if known is not None and known[1] > time.monotonic() else None

    async def identify(self, credentials: Credentials) -> Actor | None:
        """The actor; None for wrong credentials. Checks equal credentials only once at a time (hashing is slow)."""
        known = self._known.get(credentials)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        task = self._asking.get(credentials)
        if task is None:
            task = asyncio.create_task(self._ask(credentials))
            self._asking[credentials] = task
            task.add_done_callback(lambda _: self._asking.pop(credentials, None))
        return await asyncio.shield(task)

    async def _ask(self, credentials: Credentials) -> Actor | None:
        generation = self._generation
        actor = await self._authenticate(*(part.decode("latin-1") or None for part in credentials))
        is_short = sum(map(len, credentials)) <= KEPT_MAX_BYTES
        if is_short and generation == self._generation:  # otherwise a token was revoked meanwhile
            keep_s = KEEP_S if actor is not None else KEEP_REFUSED_S
            self._known[credentials] = (actor, time.monotonic() + keep_s)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return actor

    async def _authenticate(self, token: str | None, authorization: str | None) -> Actor | None:
        try:
            return await authenticate(self._resources, token=token, authorization=authorization)
        except UnauthenticatedError:
            return None

    def forget_all(self) -> None:
        """Empty the cache: a token was revoked, somebody's rights changed, or a notification was missed."""
        self._generation += 1
        self._known.clear()
        self._asking.clear()


def may_read(actor: Actor | None, channel: str) -> bool:
    """Whether the actor may read a channel that is not public. Two look-ups: every answer from the cache asks."""
    return actor is not None and actor.rights.level("channels", channel) >= Level.read
