"""Limits sign-ins: how many may fail, and how many passwords are verified at once. Each web process counts its own.

A try counts when it begins: of sixty guesses at once, all but ten are refused. Ten failures close a name for the
address that they came from and for no other, so nobody locks somebody else out by guessing; a name that is guessed at
from many addresses closes after a hundred.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from antivenom.core.errors import UnauthenticatedError, UnavailableError

FAILURES_MAX: Final = 10  # of a name from one address
ADDRESS_FAILURES_MAX: Final = 30  # of an address, whatever the names
NAME_FAILURES_MAX: Final = 100  # of a name, whatever the addresses
WINDOW = timedelta(minutes=15)
KEYS_MAX = 10_000  # trying many names must not fill the memory
VERIFIED_AT_ONCE: Final = 2  # a verification takes a core and 64 MiB for a tenth of a second
WAITING_MAX: Final = 6  # each holds a connection to the database meanwhile


class SignInThrottle:
    """Tries of the last quarter of an hour that have not succeeded."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, deque[datetime]] = OrderedDict()

    def begin(self, name: str, address: str, now: datetime) -> None:
        """Count one more try, if another is allowed.

        Raises:
            UnauthenticatedError: Too many have failed.
        """
        limits = self._limits(name, address)
        for key, most in limits.items():
            tries = self._tries.get(key)
            while tries and now - tries[0] > WINDOW:
                tries.popleft()
            if tries and len(tries) >= most:
                minutes = max(1, round((WINDOW - (now - tries[0])).total_seconds() / 60))
                raise UnauthenticatedError(
                    "too many failed sign-ins", hint=f"try again in {minutes} min", retry_after_s=minutes * 60
                )
        for key in limits:
            self._tries.setdefault(key, deque()).append(now)
            self._tries.move_to_end(key)
        while len(self._tries) > KEYS_MAX:
            self._tries.popitem(last=False)

    def succeed(self, name: str, address: str) -> None:
        """Forget what was tried for this name from this address; of the other counts, this try alone."""
        pair, *others = self._limits(name, address)
        self._tries.pop(pair, None)
        for key in others:
            if tries := self._tries.get(key):
                tries.pop()

    def clear(self) -> None:
        self._tries.clear()

    @staticmethod
    def _limits(name: str, address: str) -> dict[str, int]:
        """The counts that a try belongs to, with their limits; the pair of name and address first."""
        folded = name[:64].lower()
        limits = {f"pair:{address} {folded}": FAILURES_MAX, f"name:{folded}": NAME_FAILURES_MAX}
        return limits | ({f"address:{address}": ADDRESS_FAILURES_MAX} if address else {})


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


SIGN_INS = SignInThrottle()
SLOTS = VerificationSlots()
