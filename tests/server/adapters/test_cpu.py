"""Computing in children: results, errors and progress come back; a dead child is said so."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from antivenom.core.errors import (
    DigestMismatchError,
    InvalidInputError,
    TooExpensiveError,
    UnavailableError,
    UpstreamError,
)
from antivenom.server.adapters import cpu
from antivenom.server.adapters.cpu import CpuPool
from antivenom.server.adapters.cpu_meter import CpuMeter
from tests.processes import is_alive
from tests.waiting import until, wait_until


@pytest.fixture
async def pool() -> AsyncIterator[CpuPool]:
    opened = CpuPool(1)
    yield opened
    await opened.close()


def raise_input_error() -> None:
    raise InvalidInputError("line 3 is wrong", hint="look there", line=3, column=7)


def raise_digest_error() -> None:
    raise DigestMismatchError("x.conda", expected="aa", actual="bb")


def raise_upstream_error() -> None:
    raise UpstreamError("gone", permanent=True)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count(to: int, *, on_progress: Callable[[str, int], None]) -> int:
    for number in range(to):
        on_progress("counting", number)
    return to


async def test_result_comes_from_another_process(pool: CpuPool):
    assert await pool.run(os.getpid) != os.getpid()
    assert await pool.run(divmod, 17, 5) == (3, 2)


async def test_our_errors_arrive_as_they_were_raised(pool: CpuPool):
    with pytest.raises(InvalidInputError) as raised:
        await pool.run(raise_input_error)
    assert (raised.value.message, raised.value.hint, raised.value.data) == (
        "line 3 is wrong",
        "look there",
        {"line": 3, "column": 7},
    )
    with pytest.raises(DigestMismatchError) as mismatch:
        await pool.run(raise_digest_error)
    assert mismatch.value.data == {"expected": "aa", "actual": "bb"}
    with pytest.raises(UpstreamError) as upstream:
        await pool.run(raise_upstream_error)
    assert upstream.value.permanent


async def test_progress_arrives_in_order(pool: CpuPool):
    seen: list[tuple[str, int]] = []
    is_last = asyncio.Event()

    def note(*news: Any) -> None:
        seen.append(news)
        if len(seen) == 100:
            is_last.set()

    assert await pool.run(count, 100, on_progress=note) == 100
    await is_last.wait()
    assert seen == [("counting", number) for number in range(100)]


async def test_child_that_dies_is_an_error_and_the_next_call_works(pool: CpuPool):
    with pytest.raises(UnavailableError, match="want of memory"):
        await pool.run(kill_itself)
    assert await pool.run(abs, -1) == 1


def kill_itself_once(mark: str) -> int:
    """Dies the first time it is called with this mark, which is a path."""
    try:
        with open(mark, "x"):
            kill_itself()
    except FileExistsError:
        return 7
    raise AssertionError("unreachable")


async def test_work_of_a_child_that_dies_is_begun_again(pool: CpuPool, tmp_path: Path):
    assert await pool.run(kill_itself_once, str(tmp_path / "mark")) == 7


def test_child_dies_with_its_parent(tmp_path: Path):
    code = (
        "import asyncio, os, signal\n"
        "from antivenom.server.adapters.cpu import CpuPool\n"
        "async def main():\n"
        "    pool = CpuPool(1)\n"
        "    print(await pool.run(os.getpid), flush=True)\n"
        "    await pool.run(signal.pause)\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_alive(child))


def compute_for_ever() -> None:
    while True:
        pass


async def test_call_beyond_its_budget_of_cpu_is_ended_and_the_next_one_works(pool: CpuPool):
    with pytest.raises(TooExpensiveError, match=r"more than 0\.05 seconds"):
        await pool.run(compute_for_ever, cpu_s=0.05)
    assert await pool.run(abs, -1, cpu_s=5.0) == 1


async def test_budget_of_one_call_is_not_that_of_the_next(pool: CpuPool):
    left_s, _ = await pool.run(signal.getitimer, signal.ITIMER_PROF, cpu_s=3600.0)
    assert left_s > 0
    assert await pool.run(signal.getitimer, signal.ITIMER_PROF) == (0.0, 0.0)


def evaluate_under_a_meter(rule: str, allocate: bool) -> None:
    meter = CpuMeter(0.05)
    meter("harmless", lambda: None)
    meter(rule, (lambda: os.abort()) if allocate else compute_for_ever)


@pytest.mark.parametrize("allocate", [False, True], ids=["time", "memory"])
async def test_expression_that_costs_too_much_is_ended_and_its_rule_named(pool: CpuPool, allocate: bool):
    """Foreign code aborts the process when it gets no memory."""
    with pytest.raises(TooExpensiveError, match=r"rule three-loops costs too much: .* 0\.05 s of CPU"):
        await pool.run(evaluate_under_a_meter, "three-loops", allocate)


def take_memory_under_a_meter(size_bytes: int) -> int:
    return len(CpuMeter(60.0)("greedy", lambda: bytearray(size_bytes)))


async def test_expression_gets_no_more_memory_than_the_meter_allows(pool: CpuPool):
    assert await pool.run(take_memory_under_a_meter, 1 << 20) == 1 << 20
    with pytest.raises(MemoryError):
        await pool.run(take_memory_under_a_meter, 2 << 30)


async def test_cancelled_call_ends_its_child_and_frees_its_place(pool: CpuPool, tmp_path: Path):
    mark = tmp_path / "pid"
    running = asyncio.create_task(pool.run(note_pid_and_wait, str(mark)))
    pid = int(await until(lambda: mark.exists() and mark.read_text()))
    waiting = asyncio.create_task(pool.run(os.getpid))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await waiting not in (pid, os.getpid())
    wait_until(lambda: not is_alive(pid))


def note_pid_and_wait(mark: str) -> None:
    Path(mark).write_text(str(os.getpid()))
    signal.pause()


def report_more_than_a_pipe_holds(*, on_progress: Callable[[bytes], None]) -> None:
    while True:
        on_progress(bytes(1 << 20))


async def test_child_is_ended_in_the_midst_of_reporting(monkeypatch: pytest.MonkeyPatch):
    """What it held then (a lock, half a message) holds up nobody, least of all the event loop."""
    is_reporting, go_on = threading.Event(), threading.Event()

    def hear(self: CpuPool, message: object) -> None:
        is_reporting.set()
        go_on.wait()

    monkeypatch.setattr(CpuPool, "_hear", hear)
    pool = CpuPool(1)
    running = asyncio.create_task(pool.run(report_more_than_a_pipe_holds, on_progress=lambda report: None))
    await until(is_reporting.is_set)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await pool.run(abs, -1) == 1
    threads = threading.active_count()
    go_on.set()
    await until(lambda: threading.active_count() < threads)  # who listened to the child has ended too
    await pool.close()


async def test_nothing_else_waits_while_it_is_found_out_how_a_child_ended(
    pool: CpuPool, monkeypatch: pytest.MonkeyPatch
):
    is_asked, go_on = threading.Event(), threading.Event()

    def find_out(process: Any) -> int | None:
        is_asked.set()
        go_on.wait()
        return exit_code(process)

    exit_code = cpu._exit_code
    monkeypatch.setattr(cpu, "_exit_code", find_out)
    running = asyncio.create_task(pool.run(compute_for_ever, cpu_s=0.05))
    await until(is_asked.is_set)
    go_on.set()
    with pytest.raises(TooExpensiveError):
        await running


async def test_who_waits_for_a_child_may_leave_and_too_many_may_not_wait(tmp_path: Path):
    pool = CpuPool(1, waiting_max=1)
    mark = tmp_path / "pid"
    running = asyncio.create_task(pool.run(note_pid_and_wait, str(mark)))
    await until(mark.exists)
    waiting = asyncio.create_task(pool.run(abs, -2))
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="too many"):
        await pool.run(abs, -3)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    waiting = asyncio.create_task(pool.run(abs, -4))
    await asyncio.sleep(0)
    running.cancel()
    assert await waiting == 4
    await pool.close()


async def test_child_is_not_lost_when_who_waits_leaves_as_his_turn_comes():
    """Found by the soak: whoever let go of the child failed, and so did who left."""
    pool = CpuPool(1)
    async with pool._one_child() as child:
        leaving, staying = (asyncio.create_task(pool.run(abs, number)) for number in (-1, -2))
        await asyncio.sleep(0)
        leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await staying == 2
    assert pool._free == [child]
    await pool.close()


async def test_child_that_dies_ends_no_other_call(tmp_path: Path):
    pool = CpuPool(2)
    mark = tmp_path / "pid"
    running = asyncio.create_task(pool.run(note_pid_and_wait, str(mark)))
    await until(mark.exists)
    with pytest.raises(UnavailableError, match="died twice"):
        await pool.run(kill_itself)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await pool.close()


def test_code_that_another_thread_was_told_is_waited_for():
    """Of two threads that wait for one process, one is told its code, and the other sees none until it is written."""

    class Ended:
        looks = 0

        def join(self, timeout: float) -> None: ...

        @property
        def exitcode(self) -> int | None:
            self.looks += 1
            return -signal.SIGPROF if self.looks > 3 else None

    assert cpu._exit_code(Ended()) == -signal.SIGPROF
