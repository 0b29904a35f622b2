"""Unpack whatever a feed comes in: zip, tar, gzip, zstd, bzip2, xz, JSON, JSON lines, a table.

The first bytes of a file decide what it is; its name is only for people. Everything streams: at most one entry (or one
JSON document) is in memory. Every unpacking is bounded, so that a bomb is refused long before it hurts.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
import zstandard

from antivenom.core.errors import InvalidInputError
from antivenom.core.feeds.entry import EntryError
from antivenom.core.feeds.tar import BLOCK_BYTES, TarError, is_tar, tar_files

UNPACKED_MAX_BYTES = 16 * 2**30  # of one feed, all members together
RATIO_FREE_BYTES = 64 * 2**20  # below this much unpacked data no ratio is looked at
RATIO_MAX = 250  # unpacked : packed; real advisory files reach 25
DOCUMENT_MAX_BYTES = 400 * 2**20  # one JSON document; the largest NVD year has 180 MB
LINE_MAX_BYTES = 16 * 2**20  # one line of JSON lines or of a table
MEMBERS_MAX = 2_000_000  # of one zip or tar
NESTING_MAX = 2  # a zip in a zip: the CVE list's releases
ZSTD_WINDOW_MAX_BYTES = 128 * 2**20
CHUNK_BYTES = 256 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

DATA_SUFFIXES = (
    ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt",
    ".gz", ".zst", ".bz2", ".xz", ".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tzst",
)  # fmt: skip
UNPACK_ERRORS = (
    zipfile.BadZipFile,
    zstandard.ZstdError,
    zlib.error,
    lzma.LZMAError,
    TarError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,  # zipfile: encrypted member
)

_json, _space = json.JSONDecoder(), re.compile(r"\s*")

OpenScratch = Callable[[], BinaryIO]


class UnreadableFileError(InvalidInputError):
    """The file as a whole cannot be trusted: damaged, truncated, a bomb. Nothing of it is used."""


@dataclass(slots=True)
class Budget:
    """How much may still be unpacked, over all members of one feed."""

    packed_bytes: int
    unpacked_bytes: int = 0

    def spend(self, count: int) -> None:
        """Count unpacked bytes.

        Raises:
            InvalidInputError: More came out than any real feed holds.
        """
        self.unpacked_bytes += count
        too_dense = self.unpacked_bytes > RATIO_FREE_BYTES and self.unpacked_bytes > RATIO_MAX * max(
            1, self.packed_bytes
        )
        if too_dense or self.unpacked_bytes > UNPACKED_MAX_BYTES:
            raise UnreadableFileError(
                f"refused: {self.packed_bytes:,} packed bytes unpack to more than {self.unpacked_bytes:,} bytes",
                hint="this is how a decompression bomb looks; check where the file comes from",
            )


class BoundedStream(io.RawIOBase):
    """A reader that spends from the budget and reports "truncated" when its source ends too early."""

    def __init__(self, source: Any, name: str, budget: Budget | None) -> None:
        self._source, self._name, self._budget = source, name, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view):  # unpackers answer short reads; filling up makes what can be peeked at dependable
            try:
                chunk = self._source.read(len(view) - filled)
            except UNPACK_ERRORS as error:
                raise damaged(self._name, error) from None
            if not chunk:
                break
            view[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
        if self._budget is not None:
            self._budget.spend(filled)
        return filled


@dataclass(slots=True)
class Member:
    """One unpacked file of a feed: its name inside, and its bytes as a stream."""

    name: str
    stream: io.BufferedReader

    def head(self) -> bytes:
        return self.stream.peek(CHUNK_BYTES)[:CHUNK_BYTES]


def _buffered(source: Any) -> io.BufferedReader:
    return io.BufferedReader(source, CHUNK_BYTES)


def damaged(name: str, error: BaseException) -> UnreadableFileError:
    """The refusal of a file that could not be unpacked, with the unpacker's reason."""
    return UnreadableFileError(
        f"{name} is damaged or truncated: {str(error) or type(error).__name__}",
        hint="fetch it again; nothing was changed",
    )


def members(file: BinaryIO, name: str, packed_bytes: int, scratch: OpenScratch) -> Iterator[Member]:
    """The unpacked data files of one packed (or plain) file: itself, a zip's sorted by name, a tar's as they come.

    Args:
        packed_bytes: The size of the file; what comes out of it is bounded by it.
        scratch: Opens an empty seekable file; a zip inside a zip is written there, for its directory is at its end.

    Raises:
        UnreadableFileError: Damaged, truncated, encrypted or a decompression bomb.
    """
    yield from _unpack(file, name, Budget(packed_bytes), 0, scratch)


def _unpack(file: BinaryIO, name: str, budget: Budget, depth: int, scratch: OpenScratch) -> Iterator[Member]:
    buffered = file if isinstance(file, io.BufferedReader) else _buffered(file)
    head = buffered.peek(BLOCK_BYTES)
    magic = head[:8]
    if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        if depth >= NESTING_MAX:
            raise UnreadableFileError(f"{name} is packed more than {NESTING_MAX} times", hint="unpack it first")
        yield from _zip_members(buffered, name, budget, depth, scratch)
    elif unpacker := _unpacker(magic):
        with unpacker(buffered) as source:
            bounded = BoundedStream(source, name, budget)
            inner = name.rsplit(".", 1)[0] if "." in name else name
            stream = _buffered(bounded)
            inside = stream.peek(BLOCK_BYTES)
            if is_tar(inside):  # a packed tar is packed once
                yield from _unpack(stream, inner, budget, depth, scratch)
            elif depth < NESTING_MAX and (_unpacker(inside[:8]) or inside[:2] == b"PK"):
                yield from _unpack(stream, inner, budget, depth + 1, scratch)
            else:
                yield Member(inner, stream)
    elif is_tar(head):
        if depth >= NESTING_MAX:
            raise UnreadableFileError(f"{name} is packed more than {NESTING_MAX} times", hint="unpack it first")
        yield from _tar_members(buffered, name, budget, depth, scratch)
    else:
        yield Member(name, _buffered(BoundedStream(buffered, name, None)))


@contextmanager
def _open_zstd(source: BinaryIO) -> Iterator[BinaryIO]:
    reader = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX_BYTES)
    yield _WholeFrames(reader, source)  # type: ignore[misc]


class _WholeFrames:
    """zstd frames one after another; a stream that ends inside a frame is truncated (stream_reader does not notice)."""

    def __init__(self, decompressor: zstandard.ZstdDecompressor, source: BinaryIO) -> None:
        self._decompressor, self._source = decompressor, source
        self._frame = decompressor.decompressobj()
        self._pending = b""
        self._out = bytearray()
        self._started = False

    def read(self, size: int) -> bytes:
        while not self._out:
            packed = self._pending or self._source.read(CHUNK_BYTES // 4)
            self._pending = b""
            if not packed:
                if self._started and not self._frame.eof:
                    raise EOFError("the compressed data ends in the middle")
                return b""
            if self._frame.eof:
                self._frame = self._decompressor.decompressobj()
            self._started = True
            self._out += self._frame.decompress(packed)
            if self._frame.eof:
                self._pending = self._frame.unused_data
        found = bytes(self._out[:size])
        del self._out[:size]
        return found


def _unpacker(magic: bytes):  # type: ignore[no-untyped-def]
    if magic.startswith(b"\x1f\x8b"):
        return lambda source: gzip.GzipFile(fileobj=source, mode="rb")
    if magic.startswith(b"\x28\xb5\x2f\xfd") or (magic[1:4] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50):
        return _open_zstd
    if magic.startswith(b"BZh"):
        return lambda source: bz2.BZ2File(source)
    if magic.startswith(b"\xfd7zXZ\x00"):
        return lambda source: lzma.LZMAFile(source)
    return None


def _zip_members(file: BinaryIO, name: str, budget: Budget, depth: int, scratch: OpenScratch) -> Iterator[Member]:
    if not file.seekable():  # a zip in a zip: its directory stands at its end
        with scratch() as whole:
            while chunk := file.read(CHUNK_BYTES):
                whole.write(chunk)
            whole.seek(0)
            yield from _zip_members(whole, name, budget, depth, scratch)
        return
    try:
        archive = zipfile.ZipFile(file)
        infos = sorted((i for i in archive.infolist() if not i.is_dir()), key=lambda i: i.filename)
    except UNPACK_ERRORS as error:
        raise damaged(name, error) from None
    if len(infos) > MEMBERS_MAX:
        raise UnreadableFileError(f"{name} has more than {MEMBERS_MAX:,} members", hint="split it")
    for info in infos:
        if not is_data_file(info.filename):
            continue
        try:
            opened = archive.open(info)
        except UNPACK_ERRORS as error:
            raise damaged(f"{name}: {info.filename}", error) from None
        with opened:
            stream = _buffered(BoundedStream(opened, f"{name}: {info.filename}", budget))
            yield from _unpack(stream, info.filename, budget, depth + 1, scratch)


def _tar_members(file: BinaryIO, name: str, budget: Budget, depth: int, scratch: OpenScratch) -> Iterator[Member]:
    try:
        for count, (path, body) in enumerate(tar_files(file), start=1):
            if count > MEMBERS_MAX:
                raise UnreadableFileError(f"{name} has more than {MEMBERS_MAX:,} members", hint="split it")
            if is_data_file(path):
                stream = _buffered(BoundedStream(body, f"{name}: {path}", None))  # what packs the archive is bounded
                yield from _unpack(stream, path, budget, depth + 1, scratch)
    except TarError as error:
        raise damaged(name, error) from None


def is_data_file(path: str) -> bool:
    """Whether a file of an archive or folder is read: its name ends so, and neither it nor a folder is hidden."""
    parts = path.replace("\\", "/").split("/")
    return path.lower().endswith(DATA_SUFFIXES) and not any(p.startswith(".") and p.strip(".") for p in parts)


def lines(member: Member) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line without its end); a line past `LINE_MAX_BYTES` comes out empty, its rest unread.

    Raises:
        InvalidInputError: The member is damaged or truncated.
    """
    number = 0
    while line := member.stream.readline(LINE_MAX_BYTES + 1):
        number += 1
        if len(line) > LINE_MAX_BYTES:
            while not line.endswith(b"\n") and (line := member.stream.readline(CHUNK_BYTES)):
                pass
            yield number, TOO_LONG
            continue
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        yield number, line.rstrip(b"\r\n")


TOO_LONG = b"\0too long"


def entries(member: Member, wrappers: tuple[str, ...] = ()) -> Iterator[tuple[str, msgspec.Raw | bytes | EntryError]]:
    """(label, JSON text) of every entry: the lines of JSON lines, the items of an array, or the one object.

    An object that has one of `wrappers` (such as "vulnerabilities") holding an array stands for the array's items.

    Raises:
        InvalidInputError: A JSON document that is broken or too large: nothing of it can be trusted.
    """
    if _is_json_lines(member):
        for number, line in lines(member):
            if line is TOO_LONG:
                yield f"{member.name} line {number}", EntryError(f"is longer than {LINE_MAX_BYTES:,} bytes")
            elif line.strip():
                yield f"{member.name} line {number}", line
        return
    document = member.stream.read(DOCUMENT_MAX_BYTES + 1)
    if len(document) > DOCUMENT_MAX_BYTES:
        raise InvalidInputError(
            f"{member.name} is one JSON text of more than {DOCUMENT_MAX_BYTES:,} bytes", hint="split it"
        )
    document = document.removeprefix(BYTE_ORDER_MARK).strip()
    if not document:
        return
    items = _items(document, wrappers, member.name)
    if items is None:
        yield member.name, document
        return
    for position, raw in enumerate(items, start=1):
        yield f"{member.name} entry {position}", raw


def _items(document: bytes, wrappers: tuple[str, ...], name: str) -> list[msgspec.Raw] | None:
    try:
        if document.startswith(b"["):
            return msgspec.json.decode(document, type=list[msgspec.Raw])
        outer = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
        for wrapper in wrappers:
            if wrapper in outer and bytes(memoryview(outer[wrapper])[:1]) == b"[":
                return msgspec.json.decode(outer[wrapper], type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if (texts := _one_after_another(document)) is not None:
            return texts
        raise InvalidInputError(
            f"{name} is not JSON: {error}", hint="is it whole, and the right file? Nothing was changed"
        ) from None
    except RecursionError:
        raise InvalidInputError(
            f"{name} is nested too deeply", hint="no feed looks like this; nothing was changed"
        ) from None
    return None


def _one_after_another(document: bytes) -> list[msgspec.Raw] | None:
    """The JSON texts of a file that has several (`cat *.json`); None when it is something else."""
    found: list[msgspec.Raw] = []
    place = 0
    try:
        text = document.decode()
        while place < len(text):
            _, end = _json.raw_decode(text, place)
            found.append(msgspec.Raw(text[place:end].encode()))
            place = _space.match(text, end).end()  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return None
    return found


def _is_json_lines(member: Member) -> bool:
    """Whether the first line is a whole JSON object and something follows it."""
    head = member.head().removeprefix(BYTE_ORDER_MARK)
    first, newline, rest = head.partition(b"\n")
    if not newline:
        # One line longer than what can be peeked at: lines if the file says so, otherwise one document.
        return len(head) >= CHUNK_BYTES and member.name.lower().endswith((".jsonl", ".ndjson"))
    if not first.strip() and rest.strip():
        return False
    try:
        msgspec.json.decode(first.strip(), type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return first.lstrip()[:1] not in b"[{" or first.rstrip()[-1:] == b"}"
    return bool(rest.strip()) or len(head) >= CHUNK_BYTES
