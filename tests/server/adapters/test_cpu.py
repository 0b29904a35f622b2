"""Computing in children: results, errors and progress come back; a dead child is said so."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from antivenom.core.errors import DigestMismatchError, InvalidInputError, UnavailableError, UpstreamError
from antivenom.server.adapters.cpu import CpuPool
from tests.processes import is_alive
from tests.waiting import wait_until


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
