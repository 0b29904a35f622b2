"""Computing in children: results, errors and progress come back; a dead child is said so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from antivenom.core.errors import DigestMismatchError, InvalidInputError, UnavailableError, UpstreamError
from antivenom.server.adapters.cpu import CpuPool


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
    assert await pool.run(count, 100, on_progress=lambda *news: seen.append(news)) == 100
    deadline = time.monotonic() + 5
    while len(seen) < 100 and time.monotonic() < deadline:
        import asyncio

        await asyncio.sleep(0.01)
    assert seen == [("counting", number) for number in range(100)]


async def test_child_that_dies_is_an_error_and_the_next_call_works(pool: CpuPool):
    with pytest.raises(UnavailableError, match="want of memory"):
        await pool.run(kill_itself)
    assert await pool.run(abs, -1) == 1


def test_child_dies_with_its_parent(tmp_path: Path):
    code = (
        "import asyncio, os, sys, time\n"
        "from antivenom.server.adapters.cpu import CpuPool\n"
        "async def main():\n"
        "    pool = CpuPool(1)\n"
        "    print(await pool.run(os.getpid), flush=True)\n"
        "    await pool.run(time.sleep, 60)\n"
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
    deadline = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
