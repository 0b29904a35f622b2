"""One download and its readers: what they get, when, and what they never get."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antivenom.core.errors import DigestMismatchError, StorageError, UpstreamError
from antivenom.server.adapters.http_answers import Stream
from antivenom.server.mirrors import downloads
from antivenom.server.mirrors.downloads import Download, ExpectedFile

DATA = os.urandom(3_000_000)
SMALL = DATA[:5000]


class Source:
    """An upstream in memory; `gate` lets a test decide when the next chunk comes."""

    def __init__(self, data: bytes, *, status: int = 200, declared: int | None = None, cut: int | None = None) -> None:
        self.data, self.status, self.cut = data, status, cut
        self.headers = {"content-length": str(len(data) if declared is None else declared)}
        self.opened = 0
        self.gate: asyncio.Semaphore | None = None
        self.failures: list[Exception] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stream]:
        self.opened += 1
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        yield Stream(self.status, self.headers, "http://upstream/f", self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        for position in range(0, len(self.data) if self.cut is None else self.cut, 100_000):
            await (self.gate.acquire() if self.gate else asyncio.sleep(0))
            yield self.data[position : position + 100_000]
        if self.cut is not None:
            raise UpstreamError("the answer broke off")


@pytest.fixture
def kept() -> list[bytes]:
    return []


def begin(
    source: Source, folder: Path, kept: list[bytes], *, data: bytes = DATA, size: int | None = None, **digests: str
) -> tuple[Download, asyncio.Task[None]]:
    async def keep(path: Path) -> None:
        kept.append(path.read_bytes())

    digests = digests or {"sha256": hashlib.sha256(data).hexdigest()}
    expected = ExpectedFile(
        "f.conda",
        sha256=digests.get("sha256", ""),
        md5=digests.get("md5", ""),
        size=len(data) if size is None else size,
    )
    download = Download(expected, source.open, keep, folder)
    return download, asyncio.create_task(download.run())


async def collect(download: Download, start: int = 0, length: int = -1) -> bytes:
    return b"".join([chunk async for chunk in download.read(start, length)])


async def exhaust(reader: AsyncIterator[bytes]) -> None:
    async for _ in reader:
        pass


async def drain(download: Download, into: bytearray) -> None:
    async for chunk in download.read(0, -1):
        into += chunk


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PAUSE_S", 0.0)


@pytest.mark.parametrize("data", [DATA, SMALL])
async def test_many_readers_get_the_whole_of_one_download(tmp_path: Path, kept: list[bytes], data: bytes) -> None:
    source = Source(data)
    download, task = begin(source, tmp_path, kept, data=data)
    bodies = await asyncio.gather(*(collect(download) for _ in range(5)), collect(download, 10, 20))
    await task
    assert bodies == [data] * 5 + [data[10:30]]
    assert (source.opened, kept) == (1, [data])
    assert list(tmp_path.iterdir()) == []


async def test_bytes_reach_a_reader_before_the_download_ends(tmp_path: Path, kept: list[bytes]) -> None:
    source = Source(DATA)
    source.gate = asyncio.Semaphore(5)
    download, task = begin(source, tmp_path, kept)
    reader = download.read(0, -1)
    first = await anext(reader)
    assert DATA.startswith(first)
    assert not task.done()
    for _ in range(30):
        source.gate.release()
    assert first + b"".join([chunk async for chunk in reader]) == DATA


async def test_no_reader_ever_holds_a_whole_file_with_a_wrong_digest(tmp_path: Path, kept: list[bytes]) -> None:
    download, task = begin(Source(DATA), tmp_path, kept, data=DATA, sha256="0" * 64)
    got = bytearray()
    with pytest.raises(DigestMismatchError):
        await drain(download, got)
    with pytest.raises(DigestMismatchError):
        await task
    assert 0 < len(got) < len(DATA)
    assert kept == []
    assert list(tmp_path.iterdir()) == []


async def test_of_a_small_wrong_file_no_byte_is_given(tmp_path: Path, kept: list[bytes]) -> None:
    download, task = begin(Source(SMALL), tmp_path, kept, data=SMALL, sha256="0" * 64)
    with pytest.raises(DigestMismatchError):
        await anext(download.read(0, -1))
    await asyncio.gather(task, return_exceptions=True)
    assert kept == []


async def test_md5_verifies_where_the_index_has_no_sha256(tmp_path: Path, kept: list[bytes]) -> None:
    download, task = begin(Source(SMALL), tmp_path, kept, data=SMALL, md5=hashlib.md5(SMALL).hexdigest())
    assert await collect(download) == SMALL
    await task
    download, task = begin(Source(SMALL), tmp_path, kept, data=SMALL, md5="0" * 32)
    with pytest.raises(UpstreamError, match="md5"):
        await task
    assert kept == [SMALL]


def test_a_file_without_any_digest_is_refused() -> None:
    with pytest.raises(UpstreamError, match="no digest"):
        ExpectedFile("f.conda", sha256="", md5="", size=1)


@pytest.mark.parametrize("size", [len(SMALL) - 1, len(SMALL) + 1])
async def test_a_file_of_another_size_is_refused(tmp_path: Path, kept: list[bytes], size: int) -> None:
    _, task = begin(Source(SMALL), tmp_path, kept, data=SMALL, size=size)
    with pytest.raises(UpstreamError, match="bytes"):
        await task
    assert kept == []


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (403, 1), (500, 3), (503, 3)])
async def test_an_upstream_error_is_told_and_tried_again_when_it_may_pass(
    tmp_path: Path, kept: list[bytes], status: int, attempts: int
) -> None:
    source = Source(SMALL, status=status)
    download, task = begin(source, tmp_path, kept, data=SMALL)
    with pytest.raises(UpstreamError, match=str(status)):
        await collect(download)
    await asyncio.gather(task, return_exceptions=True)
    assert source.opened == attempts


async def test_a_passing_failure_goes_unnoticed(tmp_path: Path, kept: list[bytes]) -> None:
    source = Source(SMALL)
    source.failures = [UpstreamError("the connection was refused"), UpstreamError("the answer broke off")]
    download, task = begin(source, tmp_path, kept, data=SMALL)
    assert await collect(download) == SMALL
    await task
    assert source.opened == 3


async def test_a_download_that_broke_off_after_bytes_were_given_is_not_begun_again(
    tmp_path: Path, kept: list[bytes]
) -> None:
    source = Source(DATA, cut=1_500_000)
    source.gate = asyncio.Semaphore(12)
    download, task = begin(source, tmp_path, kept)
    reader = download.read(0, -1)
    await anext(reader)
    source.gate.release()
    for _ in range(20):
        source.gate.release()
    with pytest.raises(UpstreamError):
        await exhaust(reader)
    await asyncio.gather(task, return_exceptions=True)
    assert source.opened == 1
    assert kept == []


async def test_a_reader_that_leaves_does_not_end_the_download(tmp_path: Path, kept: list[bytes]) -> None:
    source = Source(DATA)
    source.gate = asyncio.Semaphore(5)
    download, task = begin(source, tmp_path, kept)
    leaver, stayer = download.read(0, -1), asyncio.create_task(collect(download))
    await anext(leaver)
    await leaver.aclose()  # type: ignore[attr-defined]
    for _ in range(30):
        source.gate.release()
    assert await stayer == DATA
    await task
    assert kept == [DATA]


async def test_a_reader_of_an_upstream_that_says_nothing_is_told_to_come_again(
    tmp_path: Path, kept: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "FIRST_BYTE_S", 0.05)
    source = Source(SMALL)
    source.gate = asyncio.Semaphore(0)
    download, task = begin(source, tmp_path, kept, data=SMALL)
    with pytest.raises(UpstreamError, match="sent nothing") as caught:
        await collect(download)
    assert caught.value.data["timed_out"] is True
    assert not task.done()
    source.gate.release()
    await task
    assert kept == [SMALL]


async def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path, kept: list[bytes]) -> None:
    (tmp_path / "file").write_text("")
    _, task = begin(Source(SMALL), tmp_path / "file", kept, data=SMALL)
    with pytest.raises(StorageError, match="cannot write"):
        await task


async def test_a_full_disk_is_a_clear_error(tmp_path: Path, kept: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads.os, "pwrite", full)
    download, task = begin(Source(SMALL), tmp_path, kept, data=SMALL)
    with pytest.raises(StorageError, match="No space left"):
        await collect(download)
    await asyncio.gather(task, return_exceptions=True)
    assert list(tmp_path.iterdir()) == []
