"""kill -9 at every step of a sync: the old publication is served or the new one, never a mix; the next ends well."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer, make_record, write_channel

STEPS_MAX = 200
CRASHING = Path(__file__).with_name("crashing.py")


@contextlib.asynccontextmanager
async def crashing_syncs(person: Person, mirror_id: int) -> AsyncIterator[Callable[[int], Awaitable[int]]]:
    """A function that runs a sync which is killed at a step, and answers its exit code."""
    settings = person.resources.settings
    environ = os.environ | {
        "ANTIVENOM_HOME": str(settings.home),
        "ANTIVENOM_DATABASE_URL": settings.database_url,
        "ANTIVENOM_BLOB_URL": settings.blob_location,
        "ANTIVENOM_OUTBOUND_ALLOW": "127.0.0.1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CRASHING), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environ
    )
    assert process.stdin is not None
    assert process.stdout is not None
    reader, writer = process.stdout, process.stdin

    async def run(step: int) -> int:
        writer.write(f"{mirror_id} {step}\n".encode())
        return int(await reader.readline())

    try:
        yield run
    finally:
        writer.close()
        await process.wait()


async def test_a_sync_that_is_killed_at_any_step_leaves_the_old_publication_or_the_new_one(
    person: Person, upstream: UpstreamServer
) -> None:
    old = [make_record("alpha", "1.0"), make_record("beta", "1.0"), make_record("gamma", "1.0")]
    new = [make_record("alpha", "2.0"), make_record("beta", "2.0"), make_record("gamma", "1.0")]
    write_channel(upstream.folder, {"linux-64": old})
    mirror = await person.mirror("main", upstream, subdirs=["linux-64"])
    before = await person.kept("main")
    write_channel(upstream.folder, {"linux-64": new})
    expected = {"alpha-2.0-h0_0.conda", "beta-2.0-h0_0.conda", "gamma-1.0-h0_0.conda"}
    seen: list[bool] = []
    async with crashing_syncs(person, mirror.id) as run_until:
        for step in range(1, STEPS_MAX):
            code = await run_until(step)
            served = await person.kept("main")
            assert served in (before, expected), f"a mix is served after a crash at step {step}"
            seen.append(served == expected)
            if code == 0:
                break
            assert code == -signal.SIGKILL
    assert code == 0, "the sync never came to its end"
    assert seen[0] is False, "the first step came after the publication: the test crashes nowhere"
    assert seen == sorted(seen), "an older publication came back"
    assert seen[-1] is True
    assert len(seen) > 6
    assert (await person.look("main")).state == "ok"
