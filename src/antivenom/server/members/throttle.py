"""Limits sign-ins: how many may fail, counted for all processes together, and how many passwords one verifies at once.

A try counts when it begins: of sixty guesses at once, all but ten are refused. Ten failures close a name for the
address that they came from and for no other, so nobody locks somebody else out by guessing; a name that is guessed at
from many addresses closes after a hundred.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute

from antivenom.core.errors import UnauthenticatedError, UnavailableError
from antivenom.server.context import Resources
from antivenom.server.events.rate_limits import RateLimits

WINDOW_MIN: Final = 15
FAILURES_MAX: Final = 10  # of a name from one address
ADDRESS_FAILURES_MAX: Final = 30  # of an address, whatever the names
NAME_FAILURES_MAX: Final = 100  # of a name, whatever the addresses
VERIFIED_AT_ONCE: Final = 2  # a verification takes a core and 64 MiB for a tenth of a second
WAITING_MAX: Final = 6  # each holds a connection to the database meanwhile

_PAIR = RateLimitItemPerMinute(FAILURES_MAX, WINDOW_MIN, "sign-in pair")
_ADDRESS = RateLimitItemPerMinute(ADDRESS_FAILURES_MAX, WINDOW_MIN, "sign-in address")
_NAME = RateLimitItemPerMinute(NAME_FAILURES_MAX, WINDOW_MIN, "sign-in name")


class SignInThrottle:
    """Tries of the current quarter of an hour that have not succeeded."""

    def __init__(self, resources: Resources) -> None:
        self._counts = RateLimits(resources.engine)

    async def begin(self, name: str, address: str) -> None:
        """Count one more try, if another is allowed.

        One that a narrower limit refuses counts for no wider one: else guesses from one address would close a name.

        Raises:
            UnauthenticatedError: Too many have failed.
        """
        for limit, *identity in self._limits(name, address):
            if refused := await self._counts.count(limit, *identity):
                raise UnauthenticatedError(
                    "too many failed sign-ins", hint=refused.hint, retry_after_s=refused.retry_after_s
                )

    async def succeed(self, name: str, address: str) -> None:
        """Forget what was tried for this name from this address; of the other counts, this try alone."""
        (pair, *identity), *others = self._limits(name, address)
        await self._counts.forget(pair, *identity)
        for limit, *who in others:
            await self._counts.take_back(limit, *who)

    @staticmethod
    def _limits(name: str, address: str) -> list[tuple[RateLimitItem, str] | tuple[RateLimitItem, str, str]]:
        """The limits that a try falls under, the narrowest first, and whom each counts."""
        folded = name[:64].lower()
        of_address: list[tuple[RateLimitItem, str]] = [(_ADDRESS, address)] if address else []
        return [(_PAIR, address, folded), *of_address, (_NAME, folded)]


class VerificationSlots:
    """How many passwords are verified at once in this process; whoever finds too many waiting is refused."""

    def __init__(self) -> None:
        self._free = VERIFIED_AT_ONCE
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a slot while the block runs.

        Raises:
            UnavailableError: Too many wait already.
        """
        if self._free:
            self._free -= 1
        else:
            if len(self._waiting) >= WAITING_MAX:
                raise UnavailableError("too many sign-ins at once", hint="try again in some seconds")
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._hand_on()
                else:
                    self._waiting.remove(turn)
                raise
        try:
            yield
        finally:
            self._hand_on()

    def _hand_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._free += 1


SLOTS = VerificationSlots()
