"""What artifacts say about themselves is read as if an enemy had made them: in a child, within a budget, once."""

from __future__ import annotations

import asyncio
import io
import tarfile
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from sqlalchemy import text

from antivenom.core.conda.artifacts import ArtifactInfo
from antivenom.core.errors import TooExpensiveError, UnavailableError
from antivenom.server.adapters.cpu import CpuPool
from antivenom.server.context import LOCAL, Resources
from antivenom.server.mirrors import archives
from tests.e2e.upstream_channel import Package, write_upstream
from tests.server.asking import Asker
from tests.server.mirrors.conftest import Person
from tests.upstreams import UpstreamServer
from tests.waiting import until

KEY = f"artifact/ab/{'ab' * 32}"


def with_many_members(count: int) -> bytes:
    """A small .conda whose info part has so many empty members."""
    header = tarfile.TarInfo("info/x").tobuf()
    info = zstandard.compress(header * count + bytes(1024))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("info-x-1.0-0.tar.zst", info)
    return out.getvalue()


async def unreadable(resources: Resources) -> list[str]:
    async with resources.context(LOCAL) as ctx:
        return list(
            await ctx.session.scalars(text("SELECT data->>'reason' FROM event WHERE kind = 'artifact.unreadable'"))
        )


@pytest.fixture
def read(resources: Resources, tmp_path: Path) -> Callable[..., Awaitable[ArtifactInfo]]:
    """Read an archive that was fetched for the channel `main`."""
    path, reader = tmp_path / "fetched", archives.ArchiveReader(resources)

    async def read_it(data: bytes) -> ArtifactInfo:
        path.write_bytes(data)
        return await reader.read(path, upstream="http://h", channel="main", fn="x-1.0-0.conda", key=KEY)

    return read_it


async def test_archive_beyond_its_budget_is_noted_once_and_not_read_again(
    resources: Resources, read: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(archives, "READ_MAX_S", 0.05)
    assert await read(with_many_members(200_000)) == ArtifactInfo()
    assert await unreadable(resources) == ["it takes more than 0.05 seconds of computing"]
    resources.archives = None  # type: ignore[assignment]  # nobody is asked any more
    assert await read(b"whatever") == ArtifactInfo()
    assert len(await unreadable(resources)) == 1


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def run(self, *_: Any, **__: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnavailableError("the process died twice"), "the process died twice"),
        (MemoryError(), "it takes too much memory"),
    ],
)
async def test_archive_that_ends_its_reader_is_noted(resources: Resources, read: Any, error: Exception, reason: str):
    resources.archives = Failing(error)  # type: ignore[assignment]
    assert await read(b"") == ArtifactInfo()
    assert await unreadable(resources) == [reason]


async def test_damaged_archive_is_noted_with_what_is_wrong(resources: Resources, read: Any):
    assert await read(b"no archive") == ArtifactInfo()
    assert await unreadable(resources) == ["x-1.0-0.conda: it is not a zip archive"]


class HeldBombs:
    """Children that read bombs until the test says so, and everything else as it is."""

    def __init__(self, real: CpuPool) -> None:
        self.real, self.reading, self.go_on = real, 0, asyncio.Event()

    async def run(self, function: Any, path: str, fn: str, **options: Any) -> Any:
        if not fn.startswith("bomb"):
            return await self.real.run(function, path, fn, **options)
        self.reading += 1
        await self.go_on.wait()
        raise TooExpensiveError("it takes too long")


async def test_archives_that_take_for_ever_hold_up_neither_files_nor_other_upstreams(
    person: Person, upstream: UpstreamServer, ask: Asker, tmp_path: Path
):
    bombs = [Package(f"bomb{at}", "1.0") for at in range(12)]
    files = write_upstream(upstream.folder, bombs, shards=False)
    await person.mirror("main", upstream, subdirs=["linux-64"])
    with UpstreamServer(tmp_path / "honest") as honest:
        good = write_upstream(honest.folder, [Package("good", "1.0")], shards=False)
        await person.mirror("other", honest, subdirs=["linux-64"])
        held = person.resources.archives = HeldBombs(person.resources.archives)  # type: ignore[assignment]
        asking = [asyncio.create_task(ask(f"/conda/main/noarch/{bomb.fn}")) for bomb in bombs]
        await until(lambda: held.reading == 1 and sum(f"noarch/{bomb.fn}" in upstream.asked for bomb in bombs) == 12)
        for path in ("repodata.json", "current_repodata.json", "repodata_shards.msgpack.zst"):
            assert (await ask(f"/conda/main/noarch/{path}")).status == 200
            assert (await ask(f"/conda/other/noarch/{path}")).status == 200
        assert (await ask("/conda/other/noarch/good-1.0-0.conda")).body == good["good-1.0-0.conda"]
        assert held.reading == 1
        held.go_on.set()
        assert [(await task).body for task in asking] == [files[bomb.fn] for bomb in bombs]
        assert await unreadable(person.resources) == ["it takes too long"] * 12
