"""Blobs as contents: in memory when small, a file of a folder, ranges of an object; damage is noticed before the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from antivenom.core.errors import DamagedBlobError, MissingBlobError
from antivenom.core.source.packs import content_key
from antivenom.server.adapters.blobs import FolderStore
from antivenom.server.web import blob_content
from antivenom.server.web.answers import Content, FilePart
from antivenom.server.web.blob_content import open_blob, read_chunks

SMALL, CHUNK = 100, 64
DATA = bytes(range(256)) * 2
KEY = content_key("document", DATA)


class Bucket(FolderStore):
    """A store whose blobs are no files of this machine. `asked`: the ranges that were read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[tuple[int, int]] = []
        self.lost_bytes = 0

    def local_path(self, key: str) -> Path | None:
        del key
        return None

    async def get_range(self, key: str, offset: int, length: int, *, checked: bool = True) -> bytes:
        self.asked.append((offset, length))
        data = (await super().get(key))[offset : offset + length]
        return data[: len(data) - self.lost_bytes]


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_content, "SMALL_BYTES", SMALL)
    monkeypatch.setattr(blob_content, "OBJECT_CHUNK_BYTES", CHUNK)


async def opened(store: FolderStore, key: str = KEY) -> Content:
    return await open_blob(store, key, etag=b'"e"', content_type=b"text/x", cache_control=b"public")


async def all_of(content: Content, start: int = 0, length: int | None = None) -> bytes:
    assert content.read is not None
    size = content.size if length is None else length
    assert size is not None
    return b"".join([chunk async for chunk in content.read(start, size)])


@pytest.mark.parametrize("kind", [FolderStore, Bucket])
@pytest.mark.parametrize("size", [0, SMALL - 1, SMALL, SMALL + 1, len(DATA)])
async def test_a_blob_up_to_a_size_is_in_memory_and_its_headers_are_those_given(
    kind: type[FolderStore], size: int, tmp_path: Path
) -> None:
    store, data = kind(tmp_path), DATA[:size]
    key = content_key("document", data)
    store.put_sync(key, data)
    content = await opened(store, key)
    assert (content.etag, content.content_type, content.cache_control) == (b'"e"', b"text/x", b"public")
    assert (content.size, content.body) == (size, data if size <= SMALL else None)
    if size > SMALL:
        path = store.local_path(key)
        assert content.file == (FilePart(path, 0, size) if path is not None else None)
        assert (content.read is None) == (path is not None)
    chunks = [chunk async for chunk in read_chunks(content, 7)]
    assert b"".join(chunks) == data
    assert content.file is None or {len(chunk) for chunk in chunks[:-1]} == {7}


@pytest.mark.parametrize(
    ("start", "length"), [(0, len(DATA)), (0, 1), (1, 63), (5, 64), (5, 65), (0, 128), (500, 12), (511, 1)]
)
async def test_any_part_of_an_object_is_read_in_ranges_that_follow_each_other(
    start: int, length: int, tmp_path: Path
) -> None:
    store = Bucket(tmp_path)
    store.put_sync(KEY, DATA)
    content = await opened(store)
    assert await all_of(content, start, length) == DATA[start : start + length]
    assert [offset for offset, _ in store.asked] == list(range(start, start + length, CHUNK))
    assert all(size <= CHUNK for _, size in store.asked)
    assert sum(size for _, size in store.asked) == length


@pytest.mark.parametrize("length", [len(DATA), len(DATA) - 1, CHUNK])
async def test_an_object_that_ends_too_early_breaks_off(length: int, tmp_path: Path) -> None:
    store = Bucket(tmp_path)
    store.put_sync(KEY, DATA)
    content = await opened(store)
    store.lost_bytes = 1
    with pytest.raises(DamagedBlobError):
        await all_of(content, 0, length)


async def test_whoever_gets_the_last_bytes_of_an_object_got_the_right_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Bucket(tmp_path)
    store.put_sync(KEY, DATA)
    content = await opened(store)
    get_range = store.get_range

    async def flipped(key: str, offset: int, length: int, **options: Any) -> bytes:
        data = await get_range(key, offset, length, **options)
        return data if offset else b"\1" + data[1:]

    monkeypatch.setattr(store, "get_range", flipped)
    assert content.read is not None
    got = bytearray()
    with pytest.raises(DamagedBlobError):
        async for chunk in content.read(0, len(DATA)):
            got += chunk
    assert got == b"\1" + DATA[1 : len(DATA) - CHUNK]  # all but the last piece
    assert len(await all_of(content, 0, CHUNK)) == CHUNK  # a part has no digest to compare with


async def test_what_is_not_there_or_damaged_is_not_opened(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(MissingBlobError):
        await opened(store)
    store.put_sync(KEY, DATA)
    path = store.local_path(KEY)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(DATA[:-1] + b"\0")
    with pytest.raises(DamagedBlobError):
        await opened(store)
