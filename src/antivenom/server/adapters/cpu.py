"""Heavy computing in other processes, so that the event loop keeps answering.

Children are spawned (never forked: the parent has threads), started on first use and killed with their parent. Each
runs one call at a time, so whatever ends a child (its budget, the kernel, a client who left) ends that call alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from antivenom.core.errors import SIMPLER_POLICY, TooExpensiveError, UnavailableError
from antivenom.server.adapters.processes import die_with_parent

P = ParamSpec("P")
T = TypeVar("T")
OnProgress = Callable[..., None]

PROGRESS_DRAIN_S = 2.0  # how long the last progress may arrive after the result
NOTE_BYTES = 200
EXIT_PATIENCE_S = 1.0
STATM = "/proc/self/statm"
log = logging.getLogger(__name__)

_progress: Connection | None = None
_note: Any = None


def _start_child(parent: int, progress: Connection, note: Any, memory_bytes: int | None) -> None:
    global _progress, _note
    _progress, _note = progress, note
    die_with_parent(parent, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; the parent decides
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    os.nice(5)  # answering requests comes first


def _call(
    task: int,
    function: Callable[..., T],
    args: tuple[Any, ...],
    options: dict[str, Any],
    wants_progress: bool,
    cpu_s: float | None,
) -> T:
    note_work("")
    if cpu_s is not None:
        signal.setitimer(signal.ITIMER_PROF, cpu_s)  # its signal ends the child, also in the midst of foreign code
    try:
        if not wants_progress:
            return function(*args, **options)
        return function(*args, **options, on_progress=lambda *report: _report(task, report))
    finally:
        if cpu_s is not None:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if wants_progress:
            _report(task, None)


def _report(task: int, report: tuple[Any, ...] | None) -> None:
    if _progress is not None:
        _progress.send((task, report))


def note_work(what: str) -> None:
    """Say what is being computed, for the case that it ends this child."""
    if _note is not None:
        _note.value = what.encode("utf-8", "replace")[: NOTE_BYTES - 1]


@contextlib.contextmanager
def without_cycles() -> Iterator[None]:
    """Switch the search for reference cycles off: work that makes none takes a tenth less time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def bounded_memory(more_bytes: int) -> Iterator[None]:
    """Let the block map that much more memory than the process has now; beyond it Python raises MemoryError.

    For children that run one call at a time; the limit is the whole process'. Other systems than Linux do not say how
    much is mapped: there the block has no bound.
    """
    if not os.path.exists(STATM):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _mapped_bytes() + more_bytes
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *limits]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _mapped_bytes() -> int:
    """What the process maps: the first number that Linux tells."""
    with open(STATM, "rb") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


class _Child:
    """One child process, started by the first call and again by the next call after it ended."""

    def __init__(self, memory_bytes: int | None, on_message: Callable[[Any], None]) -> None:
        self._memory_bytes, self._on_message = memory_bytes, on_message
        self._executor: ProcessPoolExecutor | None = None
        self._note: Any = None

    def submit(self, *call: Any) -> asyncio.Future[Any]:
        if self._executor is not None:
            return asyncio.wrap_future(self._executor.submit(_call, *call))
        spawn = multiprocessing.get_context("spawn")
        progress, write_end = spawn.Pipe(duplex=False)
        self._note = spawn.Array("c", NOTE_BYTES, lock=False)
        self._executor = ProcessPoolExecutor(
            1,
            mp_context=spawn,
            initializer=_start_child,
            initargs=(os.getpid(), write_end, self._note, self._memory_bytes),
        )
        with write_end:  # the child has its own; so the pipe ends with the child, however that ends
            running = self._executor.submit(_call, *call)
        threading.Thread(target=self._forward, args=(progress,), daemon=True).start()
        return asyncio.wrap_future(running)

    def _forward(self, progress: Connection) -> None:
        with progress, contextlib.suppress(EOFError, OSError):
            while True:
                self._on_message(progress.recv())

    def _take_processes(self) -> list[Any]:
        """Its process, of which this is no longer the child."""
        executor, self._executor = self._executor, None
        if executor is None:
            return []
        processes = list((executor._processes or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        return processes

    def end(self) -> None:
        """Kill it."""
        for process in self._take_processes():
            process.kill()

    async def ended(self) -> tuple[int | None, str]:
        """The exit code of a child that ended by itself, and what it said it was computing."""
        processes, note = self._take_processes(), self._note.value.decode("utf-8", "replace")
        try:
            return (await asyncio.to_thread(_exit_code, processes[0]) if processes else None), note
        finally:
            for process in processes:
                process.kill()


def _exit_code(process: Any) -> int | None:
    """The code of a process that has ended.

    The executor's thread waits for it too. When that thread is told the code, `exitcode` is None here until it has
    written it down.
    """
    process.join(EXIT_PATIENCE_S)
    until = time.monotonic() + EXIT_PATIENCE_S
    while (code := process.exitcode) is None and time.monotonic() < until:
        time.sleep(0.001)
    return None if code is None else int(code)


class CpuPool:
    """Runs picklable module-level functions in `workers` child processes.

    Args:
        memory_bytes: What a child may map into memory; None is all there is.
        waiting_max: How many calls may wait for a child; None is any number.
    """

    def __init__(self, workers: int = 1, *, memory_bytes: int | None = None, waiting_max: int | None = None) -> None:
        self._children = [_Child(memory_bytes, self._hear) for _ in range(workers)]
        self._free = list(self._children)
        self._waiting: deque[asyncio.Future[_Child]] = deque()
        self._waiting_max = waiting_max
        self._listeners: dict[int, tuple[asyncio.AbstractEventLoop, OnProgress, asyncio.Event]] = {}
        self._tasks = itertools.count(1)

    def _hear(self, message: tuple[int, tuple[Any, ...] | None]) -> None:
        """Pass progress on to the event loop of whoever waits for it; runs in a thread."""
        task, report = message
        listener = self._listeners.get(task)
        if listener is not None:
            loop, on_progress, ended = listener
            with contextlib.suppress(RuntimeError):  # its loop is closed
                loop.call_soon_threadsafe(*((ended.set,) if report is None else (on_progress, *report)))

    async def run(
        self,
        function: Callable[..., T],
        *args: Any,
        on_progress: OnProgress | None = None,
        cpu_s: float | None = None,
        **options: Any,
    ) -> T:
        """What `function(*args, **options)` returns or raises, computed in a child process.

        With `on_progress`, the function gets an `on_progress` of its own; what it is called with arrives here.

        A child that dies is replaced and the work begun again, once: functions given here may run twice. A call that
        is cancelled ends its child.

        Args:
            cpu_s: Seconds of CPU that it may take; None is any number.

        Raises:
            TooExpensiveError: It took more than `cpu_s`, or more than a CpuMeter in it allows.
            UnavailableError: Two children died of it (most often: out of memory), or too many calls wait.
        """
        for is_last in (False, True):
            async with self._one_child() as child:
                try:
                    return await self._run(child, function, args, options, on_progress, cpu_s)
                except BrokenProcessPool:
                    code, note = await child.ended()
                    if code == -signal.SIGPROF:
                        raise TooExpensiveError(f"it takes more than {cpu_s:g} seconds of computing") from None
                    if note and code in (-signal.SIGVTALRM, -signal.SIGABRT):
                        raise TooExpensiveError(note, hint=SIMPLER_POLICY) from None  # a CpuMeter's
                except asyncio.CancelledError:
                    child.end()
                    raise
            if not is_last:
                log.warning("the process that ran %s died; another begins it again", function.__name__)
        raise UnavailableError(
            f"the process that ran {function.__name__} died twice, most likely for want of memory",
            hint="give the server more memory, or lower ANTIVENOM_CPU_WORKERS",
        )

    @asynccontextmanager
    async def _one_child(self) -> AsyncIterator[_Child]:
        """A child of one's own while the block runs; who comes first gets one first."""
        if self._free:
            child = self._free.pop()
        else:
            if self._waiting_max is not None and len(self._waiting) >= self._waiting_max:
                raise UnavailableError("too many such requests at once", hint="try again in some seconds")
            turn: asyncio.Future[_Child] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                child = await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._hand_on(turn.result())
                else:
                    with contextlib.suppress(ValueError):  # its turn came while it was leaving, and went to the next
                        self._waiting.remove(turn)
                raise
        try:
            yield child
        finally:
            self._hand_on(child)

    def _hand_on(self, child: _Child) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # who waited for it may be leaving
                turn.set_result(child)
                return
        self._free.append(child)

    async def _run(
        self,
        child: _Child,
        function: Callable[..., T],
        args: tuple[Any, ...],
        options: dict[str, Any],
        on_progress: OnProgress | None,
        cpu_s: float | None,
    ) -> T:
        task = next(self._tasks)
        ended = asyncio.Event()
        if on_progress is not None:
            self._listeners[task] = (asyncio.get_running_loop(), on_progress, ended)
        try:
            result: T = await child.submit(task, function, args, options, on_progress is not None, cpu_s)
            if on_progress is not None:  # progress arrives by another pipe than the result
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), PROGRESS_DRAIN_S)
            return result
        finally:
            self._listeners.pop(task, None)

    async def close(self) -> None:
        """Stop the children at once and drop what they compute."""
        for child in self._children:
            child.end()
