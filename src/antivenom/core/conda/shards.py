"""Shards and shard indexes of CEP 16: zstd-compressed msgpack, named by the sha256 of the compressed bytes.

Source: CEP 16 (layout, digests as bytes), CEP 47 (indexed_timestamp).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import zstandard
from msgspec import Raw

from antivenom.core.errors import DigestMismatchError, UpstreamError

_encode = msgspec.msgpack.Encoder().encode


class Shard(msgspec.Struct, kw_only=True):
    """A shard: records by file name as raw msgpack (`decode_record` reads one), digests in them as bytes."""

    packages: dict[str, Raw] = {}
    packages_conda: dict[str, Raw] = msgspec.field(name="packages.conda", default_factory=dict)
    removed: list[str] = []


class IndexInfo(msgspec.Struct, kw_only=True):
    """The `info` of a shard index. Both addresses are relative to the index or absolute."""

    subdir: str = ""
    base_url: str = ""
    shards_base_url: str = ""
    created_at: str | None = None


class ShardIndex(msgspec.Struct, kw_only=True):
    """A shard index: name → sha256 of the shard's compressed bytes."""

    info: IndexInfo
    shards: dict[str, bytes]
    version: int = 1


class _UpstreamIndex(msgspec.Struct, kw_only=True):
    """A shard index as upstreams write it: older rattler wrote each digest as an array of 32 numbers."""

    info: IndexInfo
    shards: dict[str, bytes | list[int]]
    version: int = 1


_shard_decoder = msgspec.msgpack.Decoder(Shard)
decode_record = msgspec.msgpack.Decoder(dict[str, Any]).decode
_index_decoder = msgspec.msgpack.Decoder(_UpstreamIndex)


def decompress_bounded(data: bytes, limit_bytes: int, subject: str) -> bytes | bytearray:
    """Decompress zstd data (one frame or several) that may be hostile.

    Raises:
        UpstreamError: Not zstd, cut short, or more than `limit_bytes`.
    """
    try:
        size = zstandard.frame_content_size(data)
        if size > limit_bytes:
            raise _too_large(subject, limit_bytes)
        if size > 0:
            try:
                return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
            except zstandard.ZstdError:
                if len(data) < 4:
                    raise
        out = bytearray()
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            while chunk := reader.read(1 << 20):
                out += chunk
                if len(out) > limit_bytes:
                    raise _too_large(subject, limit_bytes)
    except zstandard.ZstdError as error:
        raise UpstreamError(f"{subject} is not readable zstd data: {error}") from None
    if not _is_complete(data):
        raise UpstreamError(f"{subject} is cut short", hint="the upstream stopped sending; the next sync tries again")
    return out


def _is_complete(data: bytes) -> bool:
    """Whether the last frame of `data` is complete, which the streaming reader does not check."""
    rest = data
    while rest:
        frame = zstandard.ZstdDecompressor().decompressobj()
        for start in range(0, len(rest), 1 << 16):
            try:
                frame.decompress(rest[start : start + (1 << 16)])
            except zstandard.ZstdError:
                return False
            if frame.eof:
                rest = frame.unused_data + rest[start + (1 << 16) :]
                break
        else:
            return False
    return True


def _too_large(subject: str, limit_bytes: int) -> UpstreamError:
    return UpstreamError(
        f"{subject} is larger than {limit_bytes >> 20} MiB", permanent=True
    )  # fmt: skip


def read_index(data: bytes, limit_bytes: int) -> ShardIndex:
    """Decode an upstream's shard index.

    Raises:
        UpstreamError: Not a shard index.
    """
    text = decompress_bounded(data, limit_bytes, "the shard index")
    try:
        index = _index_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"the shard index has the wrong shape: {error}", permanent=True) from None
    keys = {name: key if isinstance(key, bytes) else _bytes_of(key) for name, key in index.shards.items()}
    wrong = next((name for name, key in keys.items() if len(key) != 32), None)
    if wrong is not None:
        raise UpstreamError(f"the shard index names no sha256 for {wrong!r:.80}", permanent=True)
    return ShardIndex(info=index.info, shards=keys, version=index.version)


def _bytes_of(numbers: list[int]) -> bytes:
    try:
        return bytes(numbers)
    except ValueError:
        return b""


def read_shard(data: bytes, key: bytes, name: str, limit_bytes: int) -> Shard:
    """Verify and decode an upstream's shard.

    Raises:
        DigestMismatchError: The bytes are not the ones that the index names.
        UpstreamError: Not a shard.
    """
    actual = hashlib.sha256(data)
    if actual.digest() != key:
        raise DigestMismatchError(f"the shard of {name}", expected=key.hex(), actual=actual.hexdigest())
    text = decompress_bounded(data, limit_bytes, f"the shard of {name}")
    try:
        return _shard_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"the shard of {name} has the wrong shape: {error}", permanent=True) from None


def compressor() -> zstandard.ZstdCompressor:
    """The compressor of shards: a third of the time of level 1 and 0.4 % more bytes (measured; half is digests)."""
    return zstandard.ZstdCompressor(level=-1)


def encode_shard(packages: Mapping[str, Any] | Raw, conda: Mapping[str, Any] | Raw, removed: Collection[str]) -> bytes:
    """The uncompressed msgpack of a shard."""
    return _encode({"packages": packages, "packages.conda": conda, "removed": removed})


def filter_shard(data: bytes, withheld: Collection[str], compress: zstandard.ZstdCompressor) -> bytes:
    """The shard without the records named in `withheld`. Records pass as raw bytes."""
    shard = _shard_decoder.decode(zstandard.ZstdDecompressor().decompress(data))
    packages = {fn: raw for fn, raw in shard.packages.items() if fn not in withheld}
    conda = {fn: raw for fn, raw in shard.packages_conda.items() if fn not in withheld}
    return compress.compress(encode_shard(packages, conda, shard.removed))


def shard_records(data: bytes) -> dict[str, dict[str, Any]]:
    """All records of one of our own shards by file name; digests as bytes."""
    shard = _shard_decoder.decode(zstandard.ZstdDecompressor().decompress(data))
    return {fn: decode_record(raw) for fn, raw in (*shard.packages.items(), *shard.packages_conda.items())}


def encode_index(subdir: str, keys: Mapping[str, bytes], created_at: str) -> bytes:
    """Our own shard index: addresses relative to the subdir, so that it serves at any mount point."""
    info = {"subdir": subdir, "base_url": "./", "shards_base_url": "./shards/", "created_at": created_at}
    document = {"version": 1, "info": info, "shards": keys}
    return zstandard.ZstdCompressor(level=3).compress(_encode(document))
