"""Tar archives as streams: their files one after another, nothing written anywhere, every length bounded.

Names are only for people and for telling data files from others; links, devices and folders are passed over. Python's
`tarfile` is not used: it reads a header of whatever length it says into memory.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

BLOCK_BYTES = 512
HEADER_MAX_BYTES = 1 << 20  # of a long name or of extended headers; real ones have a few hundred bytes
SKIP_BYTES = 256 * 1024
REGULAR, LONG_NAME, LONG_LINK, EXTENDED, GLOBAL, SPARSE = b"0\0007", b"L", b"K", b"x", b"g", b"S"


class TarError(Exception):
    """The archive cannot be read; the text says why."""


def is_tar(head: bytes) -> bool:
    """Whether a file that begins so is a tar archive: its first block has the sum that it says."""
    return len(head) >= BLOCK_BYTES and _has_sum(head[:BLOCK_BYTES])


def tar_files(source: BinaryIO) -> Iterator[tuple[str, io.RawIOBase]]:
    """(name, bytes) of every regular file, in the order of the archive; each is read before the next is asked for.

    Raises:
        TarError: Damaged, truncated, or made to be hostile.
    """
    name, extended = "", dict[str, str]()
    while True:
        block = _take(source, BLOCK_BYTES)
        if block == bytes(BLOCK_BYTES):
            return
        if not _has_sum(block):
            raise TarError("a header of the archive is damaged")
        kind, size = block[156:157], _number(block[124:136])
        if kind in (LONG_NAME, LONG_LINK, EXTENDED, GLOBAL):
            text = _take_header(source, size)
            if kind == LONG_NAME:
                name = text.split(b"\0", 1)[0].decode("utf-8", "replace")
            elif kind == EXTENDED:
                extended = _records(text)
            continue
        if "size" in extended:
            size = _decimal(extended["size"])
        if kind == SPARSE or any(key.startswith("GNU.sparse") for key in extended):
            raise TarError("a file is stored with holes; pack it without --sparse")
        body = _Body(source, size)
        if kind in REGULAR:
            yield extended.get("path") or name or _name(block), body
        body.skip_rest()
        name, extended = "", {}


class _Body(io.RawIOBase):
    """One file of the archive."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source, self._left, self._padding = source, size, -size % BLOCK_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        chunk = self._source.read(min(len(view), self._left)) if self._left else b""
        if self._left and not chunk:
            raise EOFError("the archive ends in the middle of a file")
        view[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)

    def skip_rest(self) -> None:
        """Go on to the next header."""
        left = self._left + self._padding
        while left:
            chunk = self._source.read(min(left, SKIP_BYTES))
            if not chunk:
                raise TarError("it ends in the middle of a file")
            left -= len(chunk)
        self._left = self._padding = 0


def _take(source: BinaryIO, count: int) -> bytes:
    found = source.read(count)
    if len(found) < count:
        raise TarError("it ends without the mark of its end")
    return found


def _take_header(source: BinaryIO, size: int) -> bytes:
    if size > HEADER_MAX_BYTES:
        raise TarError(f"a header of {size:,} bytes is longer than any real one")
    return _take(source, size + (-size % BLOCK_BYTES))[:size]


def _has_sum(block: bytes) -> bool:
    try:
        said = int(block[148:156].strip(b" \0") or b"-", 8)
    except ValueError:
        return False
    return said == sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")


def _number(field: bytes) -> int:
    """A size: octal digits, or (its first bit set) the bytes of a number."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise TarError("a header of the archive is damaged") from None


def _name(block: bytes) -> str:
    parts = [block[:100].split(b"\0", 1)[0]]
    if block[257:263] == b"ustar\0":
        parts.insert(0, block[345:500].split(b"\0", 1)[0])
    return b"/".join(part for part in parts if part).decode("utf-8", "replace")


def _records(text: bytes) -> dict[str, str]:
    """The records `length key=value` of an extended header."""
    found: dict[str, str] = {}
    while text:
        length, space, _ = text.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length[:10]) <= len(text):
            raise TarError("an extended header of the archive is damaged")
        key, _, value = text[len(length) + 1 : int(length)].removesuffix(b"\n").partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        text = text[int(length) :]
    return found


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise TarError("an extended header of the archive is damaged")
    return int(text)
