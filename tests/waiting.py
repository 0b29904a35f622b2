"""Waiting in tests: only for what stays once it has come, and with no deadline but the test's own timeout.

A state that passes is not waited for. It is held open: an upstream that stops in mid-body, a lock that the test holds,
a pipe that it does not close.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

T = TypeVar("T")
LOOK_EVERY_S = 0.02


def wait_until(look: Callable[[], T]) -> T:
    """The first answer of `look` that is true. What can no longer come, `look` says by raising."""
    while not (seen := look()):
        time.sleep(LOOK_EVERY_S)
    return seen


async def until(look: Callable[[], T | Awaitable[T]]) -> T:
    """The first answer of `look`, awaited where need be, that is true."""
    while not (seen := await _answer(look())):  # noqa: ASYNC110  # most of what is waited for is in another process
        await asyncio.sleep(LOOK_EVERY_S)
    return seen


async def _answer(seen: T | Awaitable[T]) -> T:
    return await seen if inspect.isawaitable(seen) else cast(T, seen)
