"""Undoing the Content-Encoding of an answer that was asked for without one: bounded, piece by piece.

Source: RFC 9110, section 8.4 (codings and their order), RFC 8878 (zstd), RFC 7932 (br). "deflate" is zlib data by the
RFC and raw deflate by habit: both are read.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

import zstandard

from antivenom.core.errors import UpstreamError

PIECE_BYTES = 1 << 20
ZSTD_FED_BYTES = 1 << 10  # a zstd block of 4 bytes may hold 128 KiB: this much holds 32 MiB at most
HEAD_BYTES = 16
CODINGS_MAX = 3

IsPlain = Callable[[bytes], bool]
"""Whether data that begins with these bytes is what was asked for, so that nothing is left to undo."""


class _Decoder(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def is_whole(self) -> bool: ...


class _Zlib:
    """gzip (of several members, as RFC 1952 allows) and deflate (zlib or raw)."""

    def __init__(self, window_bits: int) -> None:
        self._bits = window_bits
        self._stream = zlib.decompressobj(window_bits)
        self._is_fresh = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._is_fresh and data and self._bits == zlib.MAX_WBITS and (data[0] & 15 != 8 or data[0] >> 4 > 7):
            self._bits = -zlib.MAX_WBITS
            self._stream = zlib.decompressobj(self._bits)
        while data:
            if self._stream.eof:
                if self._bits != 16 + zlib.MAX_WBITS or not data.startswith(b"\x1f\x8b"):
                    return  # padding behind the last member
                self._stream = zlib.decompressobj(self._bits)
            self._is_fresh = False
            yield self._stream.decompress(data, PIECE_BYTES)
            data = self._stream.unconsumed_tail or self._stream.unused_data

    def is_whole(self) -> bool:
        return self._stream.eof


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor().decompressobj(read_across_frames=False)

    def feed(self, data: bytes) -> Iterator[bytes]:
        view = memoryview(data)
        for start in range(0, len(view), ZSTD_FED_BYTES):
            rest = bytes(view[start : start + ZSTD_FED_BYTES])
            while rest:
                if self._stream.eof:
                    self._stream = zstandard.ZstdDecompressor().decompressobj(read_across_frames=False)
                yield self._stream.decompress(rest)
                rest = self._stream.unused_data if self._stream.eof else b""

    def is_whole(self) -> bool:
        return self._stream.eof


class _Brotli:
    def __init__(self, brotli: Any) -> None:
        self._stream = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._stream.process(data, output_buffer_limit=PIECE_BYTES)
        while not self._stream.can_accept_more_data():
            yield self._stream.process(b"", output_buffer_limit=PIECE_BYTES)

    def is_whole(self) -> bool:
        return bool(self._stream.is_finished())


def _open_brotli() -> _Decoder:
    try:
        import brotli  # type: ignore[import-untyped]
    except ImportError:
        raise UpstreamError(
            "is sent with Content-Encoding br although it was asked for without; br cannot be read here",
            permanent=True,
            hint="install the Python package brotli, or let the upstream send files as they are",
        ) from None
    return _Brotli(brotli)


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "zstd": _Zstd,
    "br": _open_brotli,
}


def codings_of(header: str) -> list[str]:
    """The codings to undo, the outermost first.

    Names that are no codings of HTTP are left out: Apache says `x-bzip2` of each file that is one, and means the file.

    Raises:
        UpstreamError: More codings than anybody applies.
    """
    named = [coding.strip().lower() for coding in header.split(",")]
    codings = [coding for coding in reversed(named) if coding in _DECODERS]
    if len(codings) > CODINGS_MAX:
        raise UpstreamError(f"is sent with {len(codings)} codings, one in another", permanent=True)
    return codings


_MAGIC = {
    ".zst": b"\x28\xb5\x2f\xfd",
    ".gz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".zip": b"PK",
    ".conda": b"PK",
}  # how a file of such a name begins when nothing is left to undo


def plain_test(path: str) -> IsPlain:
    """The test for what a file of this name begins with; one of another name has no beginning of its own."""
    magic = next((magic for ending, magic in _MAGIC.items() if path.endswith(ending)), None)
    return (lambda head: head.startswith(magic)) if magic else (lambda _: False)


async def decode_chunks(
    chunks: AsyncIterator[bytes], header: str, *, max_bytes: int, is_plain: IsPlain, subject: str
) -> AsyncIterator[bytes]:
    """The body with its Content-Encoding undone, as far as it needs to be: a file named `.zst` whose server says
    `zstd` of it is that file already.

    Raises:
        UpstreamError: Not what the header says, cut short, or more than `max_bytes`.
    """
    codings = codings_of(header)
    for coding in codings[:-1]:
        chunks = _decode(chunks, coding, lambda _: False, subject)
    for coding in codings[-1:]:
        chunks = _decode(chunks, coding, is_plain, subject)
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise UpstreamError(f"{subject} is larger than the {max_bytes} bytes that are accepted", permanent=True)
        yield chunk


async def _decode(chunks: AsyncIterator[bytes], coding: str, is_plain: IsPlain, subject: str) -> AsyncIterator[bytes]:
    head = b""
    decoder: _Decoder | None = None
    is_decided = False
    try:
        async for chunk in chunks:
            if not is_decided:
                head += chunk
                if len(head) < HEAD_BYTES:
                    continue
                chunk, is_decided = head, True
                decoder = None if is_plain(head) else _DECODERS[coding]()
            if decoder is None:
                yield chunk
                continue
            for piece in decoder.feed(chunk):
                yield piece
        if not is_decided and head:
            decoder = None if is_plain(head) else _DECODERS[coding]()
            for piece in decoder.feed(head) if decoder else (head,):
                yield piece
        if decoder is not None and not decoder.is_whole():
            raise UpstreamError(f"{subject} is cut short", hint="the upstream stopped sending; it will be tried again")
    except (zlib.error, zstandard.ZstdError) as error:
        raise UpstreamError(f"{subject} is not the {coding} that its Content-Encoding says: {error}") from None
    except UpstreamError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("brotli", "_brotli"):
            raise
        raise UpstreamError(f"{subject} is not the br that its Content-Encoding says") from None
