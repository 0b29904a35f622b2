"""Heavy computing in other processes, so that the event loop keeps answering.

Children are spawned (never forked: the parent has threads), started on first use and killed with their parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ParamSpec, TypeVar

from antivenom.core.errors import UnavailableError
from antivenom.server.adapters.processes import die_with_parent

P = ParamSpec("P")
T = TypeVar("T")
OnProgress = Callable[..., None]

PROGRESS_DRAIN_S = 2.0  # how long the last progress may arrive after the result
log = logging.getLogger(__name__)

_progress_queue: Any = None


def _start_child(parent: int, queue: Any) -> None:
    global _progress_queue
    _progress_queue = queue
    die_with_parent(parent, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; the parent decides
    os.nice(5)  # answering requests comes first


def _call(
    task: int, function: Callable[..., T], args: tuple[Any, ...], options: dict[str, Any], wants_progress: bool
) -> T:
    if not wants_progress:
        return function(*args, **options)
    try:
        return function(*args, **options, on_progress=lambda *report: _progress_queue.put((task, report)))
    finally:
        _progress_queue.put((task, None))


@contextlib.contextmanager
def without_cycles() -> Iterator[None]:
    """Switch the search for reference cycles off: work that makes none takes a tenth less time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class CpuPool:
    """Runs picklable module-level functions in `workers` child processes."""

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._executor: ProcessPoolExecutor | None = None
        self._queue: Any = None
        self._listeners: dict[int, tuple[asyncio.AbstractEventLoop, OnProgress, asyncio.Event]] = {}
        self._tasks = itertools.count(1)

    def _open(self) -> ProcessPoolExecutor:
        if self._executor is None:
            spawn = multiprocessing.get_context("spawn")
            self._queue = spawn.SimpleQueue()
            self._executor = ProcessPoolExecutor(
                self._workers, mp_context=spawn, initializer=_start_child, initargs=(os.getpid(), self._queue)
            )
            threading.Thread(target=self._forward_progress, args=(self._queue,), daemon=True).start()
        return self._executor

    def _forward_progress(self, queue: Any) -> None:
        with contextlib.suppress(EOFError, OSError):
            while (message := queue.get()) is not None:
                task, report = message
                listener = self._listeners.get(task)
                if listener is not None:
                    loop, on_progress, ended = listener
                    with contextlib.suppress(RuntimeError):  # its loop is closed
                        loop.call_soon_threadsafe(*((ended.set,) if report is None else (on_progress, *report)))

    async def run(
        self, function: Callable[..., T], *args: Any, on_progress: OnProgress | None = None, **options: Any
    ) -> T:
        """What `function(*args, **options)` returns or raises, computed in a child process.

        With `on_progress`, the function gets an `on_progress` of its own; what it is called with arrives here.

        A child that dies is replaced and the work begun again, once: functions given here may run twice.

        Raises:
            UnavailableError: Two children died of it (most often: out of memory).
        """
        try:
            return await self._run(function, args, options, on_progress)
        except BrokenProcessPool:
            log.warning("the process that ran %s died; another begins it again", function.__name__)
        try:
            return await self._run(function, args, options, on_progress)
        except BrokenProcessPool:
            raise UnavailableError(
                f"the process that ran {function.__name__} died twice, most likely for want of memory",
                hint="give the server more memory, or lower ANTIVENOM_CPU_WORKERS",
            ) from None

    async def _run(
        self,
        function: Callable[..., T],
        args: tuple[Any, ...],
        options: dict[str, Any],
        on_progress: OnProgress | None,
    ) -> T:
        task = next(self._tasks)
        ended = asyncio.Event()
        if on_progress is not None:
            self._listeners[task] = (asyncio.get_running_loop(), on_progress, ended)
        executor = self._open()
        try:
            future = executor.submit(_call, task, function, args, options, on_progress is not None)
            result = await asyncio.wrap_future(future)
            if on_progress is not None:  # progress arrives by another pipe than the result
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), PROGRESS_DRAIN_S)
            return result
        except BrokenProcessPool:
            if self._executor is executor:
                self._discard()
            raise
        finally:
            self._listeners.pop(task, None)

    def _discard(self) -> None:
        if self._executor is not None:
            children = list((self._executor._processes or {}).values())
            self._executor.shutdown(wait=False, cancel_futures=True)
            for child in children:
                child.kill()
            self._queue.put(None)
            self._executor = None

    async def close(self) -> None:
        """Stop the children at once and drop what they compute."""
        self._discard()
