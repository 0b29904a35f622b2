"""Reads metadata out of an artifact, however hostile it is, without unpacking it.

Only regular files of `info/` are read, by their exact names, into memory and within bounds. Nothing is written, so
paths and links inside the archive have no effect.

Source: CEP 34 and 35 (.conda: a zip with `info-*.tar.zst`; .tar.bz2: one tar), PKWARE APPNOTE 4.3.14-16.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from typing import IO, BinaryIO

import msgspec
import zstandard

from antivenom.core.conda.artifact_index import ArtifactIndex, parse_artifact_index
from antivenom.core.errors import InvalidInputError

DOCUMENT_MAX_BYTES = 1 << 20  # one JSON document of info/
INFO_MAX_BYTES = 256 << 20  # decompressed info part of a .conda; the largest real ones have some ten MB
TAR_MAX_BYTES = 2 << 30  # decompressed .tar.bz2, read no further than info/ needs
MEMBERS_MAX = 500_000
HEADER_MAX_BYTES = 1 << 20  # pax and GNU long-name headers
ZIP_MEMBERS_MAX = 64
ZIP_DIRECTORY_MAX_BYTES = 1 << 20
WINDOW_MAX_BYTES = 1 << 27  # zstd --long=27, what conda's own reader takes

SECURITY = "info/security.json"
INDEX = "info/index.json"
_WANTED = (SECURITY, INDEX)


class ArtifactInfo(msgspec.Struct, frozen=True):
    """What an artifact says about itself; None for what it does not say. `security` is the document as it stands."""

    security: bytes | None = None
    index: ArtifactIndex | None = None


def read_artifact_info(file: BinaryIO, fn: str) -> ArtifactInfo:
    """What an artifact's `info/` says about it.

    Args:
        file: Seekable, positioned anywhere.
        fn: The artifact's file name; its suffix decides the format.

    Raises:
        InvalidInputError: Not such an archive, damaged, or larger inside than any honest one.
    """
    file.seek(0)
    try:
        found = _read_conda(file) if fn.endswith(".conda") else _read_tar_bz2(file)
    except InvalidInputError as error:
        raise InvalidInputError(f"{fn}: {error.message}") from None
    except _DAMAGE as error:
        raise InvalidInputError(f"{fn} cannot be read: {type(error).__name__}: {str(error)[:200]}") from None
    return ArtifactInfo(found.get(SECURITY), parse_artifact_index(found[INDEX]) if INDEX in found else None)


_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zstandard.ZstdError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    OverflowError,
    RecursionError,
    KeyError,
    IndexError,
)
"""What Python's archive readers raise for damaged input; zipfile raises RuntimeError for an encrypted member."""


def _read_conda(file: BinaryIO) -> dict[str, bytes]:
    _check_zip_directory(file)
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.startswith("info-") and name.endswith(".tar.zst")]
        if not names:
            raise InvalidInputError("it has no info-*.tar.zst")
        decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX_BYTES)
        with archive.open(names[0]) as member, decompressor.stream_reader(member, read_across_frames=True) as stream:
            return _read_tar(_Bounded(stream, INFO_MAX_BYTES))


def _read_tar_bz2(file: BinaryIO) -> dict[str, bytes]:
    with bz2.BZ2File(file) as stream:
        return _read_tar(_Bounded(stream, TAR_MAX_BYTES))


def _read_tar(stream: _Bounded) -> dict[str, bytes]:
    """The wanted members. Stops where `info/` ends when the archive begins with it, as archives of conda-build do."""
    found: dict[str, bytes] = {}
    seen_info = False
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedTarInfo) as archive:
        for count, member in enumerate(archive, 1):
            name = member.name.removeprefix("./")
            if count > MEMBERS_MAX:
                raise InvalidInputError(f"it has more than {MEMBERS_MAX} members")
            if name in _WANTED and name not in found and member.isreg():
                found[name] = _read_member(archive, member)
            seen_info |= name.startswith("info/")
            if len(found) == len(_WANTED) or (seen_info and not name.startswith("info")):
                break
            archive.members.clear()  # type: ignore[attr-defined]  # a stream is never asked again for what is past
    return found


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > DOCUMENT_MAX_BYTES or member.sparse is not None:
        raise InvalidInputError(f"its {member.name} is larger than {DOCUMENT_MAX_BYTES} bytes")
    content = archive.extractfile(member)
    data = content.read() if content is not None else b""
    if len(data) != member.size:
        raise InvalidInputError(f"its {member.name} is cut off")
    return data


class _BoundedTarInfo(tarfile.TarInfo):
    """Bounds extended headers, which tarfile reads whole into memory and whose stated size it believes."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if not self.isreg() and self.type not in _PLAIN_TYPES and self.size > HEADER_MAX_BYTES:
            raise tarfile.ReadError(f"an extended header of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


_PLAIN_TYPES = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)


class _Bounded(io.RawIOBase):
    """A stream that raises when it gives more than `max_bytes`."""

    def __init__(self, stream: IO[bytes], max_bytes: int) -> None:
        self._stream = stream
        self._left = max_bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size if size >= 0 else 1 << 16)
        self._left -= len(data)
        if self._left < 0:
            raise InvalidInputError("it is larger inside than any honest package")
        return data


def _check_zip_directory(file: BinaryIO) -> None:
    """Refuse a central directory that is too large: zipfile reads it whole, whatever its size.

    Raises:
        InvalidInputError: No end of central directory, too many members, or too large a directory.
    """
    end = file.seek(0, io.SEEK_END)
    start = max(0, end - 65_557)  # the record, and the longest comment behind it
    file.seek(start)
    tail = file.read(end - start)
    position = tail.rfind(b"PK\x05\x06")
    if position < 0 or len(tail) - position < 22:
        raise InvalidInputError("it is not a zip archive")
    members, size = struct.unpack_from("<HI", tail, position + 10)
    if members == 0xFFFF or size == 0xFFFFFFFF:
        members, size = _read_zip64_end(file, tail, position)
    file.seek(0)
    if members > ZIP_MEMBERS_MAX or size > ZIP_DIRECTORY_MAX_BYTES:
        raise InvalidInputError(f"its zip directory has {members} members in {size} bytes")


def _read_zip64_end(file: BinaryIO, tail: bytes, position: int) -> tuple[int, int]:
    """Members and directory size of a zip64 archive."""
    if position < 20 or tail[position - 20 : position - 16] != b"PK\x06\x07":
        raise InvalidInputError("its zip64 locator is missing")
    (offset,) = struct.unpack_from("<Q", tail, position - 12)
    file.seek(offset)
    record = file.read(56)
    if len(record) < 56 or not record.startswith(b"PK\x06\x06"):
        raise InvalidInputError("its zip64 record is missing")
    members, size = struct.unpack_from("<QQ", record, 32)
    return members, size
