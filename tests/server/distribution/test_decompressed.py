"""Plain documents read from their compressed blobs: whole, in parts, in memory or as a stream."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import zstandard

from antivenom.server.distribution import client_documents
from antivenom.server.distribution.client_documents import decompressed
from antivenom.server.web.answers import JSON, ZSTD, Content, FilePart

TEXT = random.Random(7).randbytes(10_000)


def in_blocks() -> bytes:
    """One frame of many blocks, each decompressed as soon as it has come."""
    compressor = zstandard.ZstdCompressor().compressobj(size=len(TEXT))
    blocks = [
        compressor.compress(TEXT[at : at + 100]) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        for at in range(0, len(TEXT), 100)
    ]
    return b"".join([*blocks, compressor.flush()])


SIZED = in_blocks()


def unsized() -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(TEXT) + compressor.flush()


def content(data: bytes, folder: Path | None = None) -> Content:
    if folder is None:
        return Content(b'"e"', ZSTD, b"public", len(data), body=data, last_modified=b"then")
    (folder / "blob").write_bytes(data)
    return Content(b'"e"', ZSTD, b"public", len(data), file=FilePart(folder / "blob", 0, len(data)))


@pytest.mark.parametrize(("small", "in_memory"), [(len(TEXT), True), (len(TEXT) - 1, False), (0, False)])
async def test_a_document_is_kept_in_memory_up_to_a_size_and_its_size_is_known_before(
    small: int, in_memory: bool
) -> None:
    made = await decompressed(content(SIZED), etag=b'"j"', content_type=JSON, small_bytes=small)
    assert (made.body == TEXT, made.body is not None) == (in_memory, in_memory)
    assert (made.size, made.etag, made.content_type, made.cache_control) == (len(TEXT), b'"j"', JSON, b"public")
    assert made.last_modified == b"then"


async def test_a_document_whose_size_nobody_wrote_down_is_sent_without_one() -> None:
    made = await decompressed(content(unsized()), etag=b'"j"', content_type=JSON, small_bytes=1 << 20)
    assert (made.body, made.size) == (None, None)
    assert made.read is not None
    assert b"".join([chunk async for chunk in made.read(0, -1)]) == TEXT


@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize("part", [
    (0, -1), (0, len(TEXT)), (0, 1), (1, 1), (99, 2), (150, 700), (100, 100), (100, -1), (len(TEXT) - 1, 1), (len(TEXT), -1), (3, 0), (5, 99_999),
])  # fmt: skip
async def test_any_part_of_a_stream_is_that_part_of_the_text(
    part: tuple[int, int], from_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_documents, "WINDOW_BYTES", 256)  # so that the text comes in several chunks
    source = content(SIZED, tmp_path if from_file else None)
    made = await decompressed(source, etag=b'"j"', content_type=JSON, small_bytes=0)
    assert made.read is not None
    start, length = part
    expected = TEXT[start:] if length < 0 else TEXT[start : start + length]
    assert b"".join([chunk async for chunk in made.read(start, length)]) == expected
