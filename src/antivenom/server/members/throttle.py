"""Limits failed sign-ins. In memory: each web process counts its own."""

from __future__ import annotations

from collections import OrderedDict, deque
from datetime import datetime, timedelta

from antivenom.core.errors import UnauthenticatedError

FAILURES_MAX = 10
WINDOW = timedelta(minutes=15)
KEYS_MAX = 10_000  # trying many names must not fill the memory


class SignInThrottle:
    """Failures of the last quarter of an hour, by name and by address."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[datetime]] = OrderedDict()

    def check(self, name: str, address: str, now: datetime) -> None:
        """Return if another try is allowed.

        Raises:
            UnauthenticatedError: There were too many failures.
        """
        for key in self._keys(name, address):
            failures = self._failures.get(key)
            while failures and now - failures[0] > WINDOW:
                failures.popleft()
            if failures and len(failures) >= FAILURES_MAX:
                minutes = max(1, round((WINDOW - (now - failures[0])).total_seconds() / 60))
                raise UnauthenticatedError(
                    "too many failed sign-ins", hint=f"try again in {minutes} min", retry_after_s=minutes * 60
                )

    def count_failure(self, name: str, address: str, now: datetime) -> None:
        for key in self._keys(name, address):
            self._failures.setdefault(key, deque(maxlen=FAILURES_MAX)).append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > KEYS_MAX:
            self._failures.popitem(last=False)

    def forget(self, name: str, address: str) -> None:
        for key in self._keys(name, address):
            self._failures.pop(key, None)

    def clear(self) -> None:
        self._failures.clear()

    @staticmethod
    def _keys(name: str, address: str) -> list[str]:
        return [f"name:{name[:64].lower()}", *([f"address:{address}"] if address else [])]


SIGN_INS = SignInThrottle()
