"""How much the expressions of a policy may cost, all evaluations of one piece of work together.

An expression runs in foreign code that nothing can interrupt but the end of its process. So whoever evaluates one does
it in a child (cpu.py), which a timer of its own CPU time, or a failed allocation, ends; the parent says what it was at.
"""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from antivenom.core.errors import SIMPLER_POLICY, TooExpensiveError
from antivenom.server.adapters.cpu import note_work

MEMORY_BYTES = 1 << 30
LOOK_AT_MEMORY_EVERY = 1000  # evaluations: asking the kernel costs half as much as one
T = TypeVar("T")


class CpuMeter:
    """Runs pieces of work until they have taken `budget_s` seconds of CPU; a longer one ends the process."""

    def __init__(self, budget_s: float) -> None:
        self._budget_s = self._left_s = budget_s
        self._noted = ""
        self._calls = 0
        self._limits = resource.getrlimit(resource.RLIMIT_AS)
        self._most_bytes = 0

    @property
    def spent_s(self) -> float:
        """The CPU that was taken so far."""
        return self._budget_s - self._left_s

    def __call__(self, what: str, work: Callable[[], T]) -> T:
        """What `work` returns.

        Raises:
            TooExpensiveError: The budget is used up.
        """
        if self._left_s <= 0:
            raise TooExpensiveError(self._describe(what), hint=SIMPLER_POLICY)
        if what != self._noted:
            self._noted = what
            note_work(self._describe(what))
        if self._calls % LOOK_AT_MEMORY_EVERY == 0:
            self._most_bytes = _mapped_bytes() + MEMORY_BYTES
        self._calls += 1
        started = time.process_time()
        self._limit_memory(self._most_bytes)
        signal.setitimer(signal.ITIMER_VIRTUAL, self._left_s)
        try:
            return work()
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            self._limit_memory(self._limits[0])
            self._left_s -= time.process_time() - started

    def _limit_memory(self, most_bytes: int) -> None:
        soft, hard = self._limits
        if soft == resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_AS, (most_bytes, hard))

    def _describe(self, what: str) -> str:
        return (
            f"rule {what} costs too much: the expressions of a policy may take {self._budget_s:g} s of CPU for all"
            f" records together, and {MEMORY_BYTES >> 20} MiB of memory"
        )


def _mapped_bytes() -> int:
    """How much this process has mapped; a generous guess where the kernel does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 4 << 30
