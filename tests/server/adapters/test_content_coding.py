"""Content-Encoding is undone bounded: what a few bytes unpack to is never held whole."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from antivenom.core.errors import UpstreamError
from antivenom.server.adapters.content_coding import codings_of, decode_chunks, plain_test

ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


async def decode(data: bytes, coding: str, *, piece: int = 1 << 16, max_bytes: int = 1 << 30, path: str = "x") -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), piece):
            yield data[start : start + piece]

    parts = decode_chunks(chunks(), coding, max_bytes=max_bytes, is_plain=plain_test(path), subject="it")
    return b"".join([part async for part in parts])


@given(st.binary(max_size=5000), st.sampled_from(sorted(ENCODE)), st.integers(1, 700))
async def test_what_was_encoded_comes_out_however_it_is_cut(data: bytes, coding: str, piece: int) -> None:
    assert await decode(ENCODE[coding](data), coding, piece=piece) == data


@pytest.mark.parametrize("coding", ENCODE)
async def test_a_bomb_is_refused_before_it_unfolds(coding: str) -> None:
    bomb = ENCODE[coding](bytes(64 << 20))
    with pytest.raises(UpstreamError, match="larger than the 1000000 bytes"):
        await decode(bomb, coding, max_bytes=1_000_000)


@pytest.mark.parametrize("coding", ENCODE)
async def test_what_is_cut_short_is_told(coding: str) -> None:
    data = ENCODE[coding](bytes(range(256)) * 40)
    with pytest.raises(UpstreamError, match="cut short"):
        await decode(data[:-9], coding)


@pytest.mark.parametrize("coding", ENCODE)
async def test_what_is_not_so_encoded_is_told(coding: str) -> None:
    with pytest.raises(UpstreamError, match=f"is not the {coding} that its Content-Encoding says|cut short"):
        await decode(b"\x07plain text that nobody encoded" * 9, coding)


@pytest.mark.parametrize(("path", "coding"), [("a.json.zst", "zstd"), ("a.tar.gz", "gzip"), ("a.tar.gz", "x-gzip")])
async def test_a_file_that_is_itself_what_its_server_says_stays_as_it_is(path: str, coding: str) -> None:
    data = ENCODE[coding.removeprefix("x-")](b"hello" * 20)
    assert await decode(data, coding, path=path) == data


def test_codings_are_undone_from_the_outermost() -> None:
    assert codings_of("gzip, x-bzip2, BR ,identity") == ["br", "gzip"]
    with pytest.raises(UpstreamError, match="4 codings"):
        codings_of("gzip,gzip,gzip,gzip")
