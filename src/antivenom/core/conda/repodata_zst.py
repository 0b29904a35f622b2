"""The monolith `repodata.json.zst`: one zstd frame assembled from pieces that were compressed one by one.

It is one frame because py-rattler stops reading after the first frame of a file, and because python-zstandard's
one-shot `decompress` (conda) needs the content size in the header. It is made of pieces so that a small change
compresses only the changed buckets.

A *block run* is the blocks of a complete frame without its header, with no block marked as last. It begins with blocks
that put the decoder in the state which the piece's encoder assumed:

* repeat offsets 1, 4, 8: one block of blanks and two tiny hand-made blocks whose three sequences copy blanks from 8,
  4 and 1 bytes back (the decoder then remembers 1, 4, 8). Blanks are legal between JSON tokens;
* entropy tables: the first compressed block of a fresh frame never asks to repeat a table, so none can leak;
* window: levels up to 3 never refer back more than 2 MiB, which is the window that the common header declares.

Source: RFC 8878 sections 3.1.1 (frame, blocks), 3.1.1.3.2 (sequences), 3.1.1.5 (repeat offsets).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

import zstandard

from antivenom.core.errors import InvalidInputError

LEVEL = 1  # pieces are about 40 KB: level 3 takes 1.7 times as long and makes real ones 8 % larger (measured)
_MAGIC = b"\x28\xb5\x2f\xfd"
_FRAME_DESCRIPTOR = 0xC0  # 8-byte content size, no single segment, no checksum, no dictionary
_WINDOW_DESCRIPTOR = (21 - 10) << 3  # 2 MiB, the widest window of levels 1 to 3
_RAW, _RLE = 0, 1
_MAX_BLOCK = 128 << 10


def _block_header(kind: int, size: int, *, last: bool = False) -> bytes:
    return (int(last) | kind << 1 | size << 3).to_bytes(3, "little")


def _copy_block(offset_code: int, sequences: int, bits: int) -> bytes:
    """A compressed block without literals; every sequence copies 3 bytes (match code 0). All tables are RLE (0x54)."""
    content = bytes((0x00, sequences, 0x54, 0, offset_code, 0, bits))
    return _block_header(2, len(content)) + content


# Offset value = offset + 3 = (1 << code) + extra bits; the bit stream is read backwards from its highest set bit.
_RESET_OFFSETS = (
    _block_header(_RLE, 8)
    + b" "
    + _copy_block(3, 1, 0b1_011)  # 8 back
    + _copy_block(2, 2, 0b1_11_00)  # 4 back, then 1 back
)
RESET_BLANKS = 8 + 3 * 3


class BlockRun(NamedTuple):
    """Blocks that may follow any others in the monolith's frame, and the number of bytes that they decompress to."""

    blocks: bytes
    content_size: int


def compressor() -> zstandard.ZstdCompressor:
    """The compressor whose frames can become block runs."""
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False, write_content_size=True)


def block_run(frame: bytes, content_size: int) -> BlockRun:
    """Turn one complete frame (made by `compressor`) into a block run.

    Raises:
        InvalidInputError: `frame` has a checksum or a dictionary, or is cut short.
    """
    parameters = zstandard.get_frame_parameters(frame)
    if parameters.has_checksum or parameters.dict_id or parameters.content_size != content_size:
        raise InvalidInputError("this zstd frame cannot become a part of a monolith")
    start = zstandard.frame_header_size(frame)
    blocks = bytearray(frame)
    position, end = start, len(frame)
    while True:
        if position + 3 > end:
            raise InvalidInputError("this zstd frame is cut short")
        header = int.from_bytes(blocks[position : position + 3], "little")
        if header & 1:
            blocks[position] &= 0xFE
            break
        position += 3 + (1 if header >> 1 & 3 == _RLE else header >> 3)
    return BlockRun(_RESET_OFFSETS + bytes(memoryview(blocks)[start:]), RESET_BLANKS + content_size)


def raw_blocks(text: bytes, *, last: bool = False) -> bytes:
    """`text` as uncompressed blocks."""
    chunks = [text[i : i + _MAX_BLOCK] for i in range(0, len(text), _MAX_BLOCK)] or [b""]
    return b"".join(
        _block_header(_RAW, len(chunk), last=last and i == len(chunks) - 1) + chunk for i, chunk in enumerate(chunks)
    )


def read_block_run(blocks: bytes, text_size: int) -> bytes:
    """The text of one block run (`text_size` bytes), without its leading blanks."""
    frame = frame_header(text_size + RESET_BLANKS) + blocks + _block_header(_RAW, 0, last=True)
    return zstandard.ZstdDecompressor().decompress(frame)[RESET_BLANKS:]


def frame_header(content_size: int) -> bytes:
    """The header of the monolith's frame."""
    return _MAGIC + struct.pack("<BBQ", _FRAME_DESCRIPTOR, _WINDOW_DESCRIPTOR, content_size)


class Monolith(NamedTuple):
    """A finished `repodata.json.zst`."""

    data: bytes
    content_size: int


def assemble(parts: Iterable[bytes | BlockRun]) -> Monolith:
    """One frame of `parts`: bytes become uncompressed blocks, block runs keep their blocks."""
    body: list[bytes] = []
    size = 0
    for part in parts:
        if isinstance(part, BlockRun):
            body.append(part.blocks)
            size += part.content_size
        else:
            body.append(raw_blocks(part))
            size += len(part)
    body.append(_block_header(_RAW, 0, last=True))
    data = b"".join((frame_header(size), *body))
    return Monolith(data, size)
