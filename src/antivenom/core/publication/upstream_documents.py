"""Reads what an upstream publishes beside its records: run exports, patch instructions and channeldata.

Each may be compressed. What one of them says of one package or file is kept as it came and looked at when it is needed.

Source: CEP 12, CEP 38; conda-index 0.13 (patch instructions).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from antivenom.core.conda.shards import decompress_bounded
from antivenom.core.errors import UpstreamError

T = TypeVar("T")

DOCUMENT_MAX_BYTES = 512_000_000
RUN_EXPORTS, PATCH_INSTRUCTIONS, CHANNELDATA = "run_exports.json", "patch_instructions.json", "channeldata.json"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ODD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class UpstreamRunExports(msgspec.Struct):
    """An upstream's `run_exports.json`: entries by file name, as they came."""

    packages: dict[str, Raw] = {}
    packages_conda: dict[str, Raw] = msgspec.field(name="packages.conda", default_factory=dict)

    def find(self, fn: str) -> Raw | None:
        """The entry of a file name."""
        return (self.packages_conda if fn.endswith(".conda") else self.packages).get(fn)


class PatchInstructions(msgspec.Struct):
    """An upstream's `patch_instructions.json`: changes by file name, as they came."""

    packages: dict[str, Raw] = {}
    packages_conda: dict[str, Raw] = msgspec.field(name="packages.conda", default_factory=dict)
    patch_instructions_version: int = 1
    remove: list[str] = []
    revoke: list[str] = []


class UpstreamChanneldata(msgspec.Struct):
    """An upstream's `channeldata.json`: entries by package name, as they came; and the subdirs, whatever they are."""

    packages: dict[str, Raw] = {}
    subdirs: Raw = Raw(b"[]")

    def find(self, name: str) -> dict[str, Any]:
        """The entry of a name; empty when there is none that can be read."""
        entry = self.packages.get(name)
        try:
            return _decode_entry(entry) if entry is not None else {}
        except _ODD:
            return {}

    def list_subdirs(self) -> list[str]:
        """The subdirs that it names; none when they cannot be read."""
        try:
            return _decode_names(self.subdirs)
        except _ODD:
            return []


_decode_entry = msgspec.json.Decoder(dict[str, Any]).decode
_decode_names = msgspec.json.Decoder(list[str]).decode


def read_run_exports(data: bytes) -> UpstreamRunExports:
    """An upstream's `run_exports.json`.

    Raises:
        UpstreamError: It is not such a document.
    """
    return _read(data, RUN_EXPORTS, UpstreamRunExports)


def read_patch_instructions(data: bytes) -> PatchInstructions:
    """An upstream's `patch_instructions.json`.

    Raises:
        UpstreamError: It is not such a document.
    """
    return _read(data, PATCH_INSTRUCTIONS, PatchInstructions)


def read_channeldata(data: bytes) -> UpstreamChanneldata:
    """An upstream's `channeldata.json`.

    Raises:
        UpstreamError: It is not such a document.
    """
    return _read(data, CHANNELDATA, UpstreamChanneldata)


def _read(data: bytes, fn: str, document: type[T]) -> T:
    text = decompress_bounded(data, DOCUMENT_MAX_BYTES, fn) if data.startswith(_ZSTD_MAGIC) else data
    try:
        return msgspec.json.decode(text, type=document)
    except _ODD as error:
        raise UpstreamError(f"{fn} has the wrong shape: {error}", permanent=True) from None


READERS: Mapping[str, Callable[[bytes], object]] = {
    RUN_EXPORTS: read_run_exports,
    PATCH_INSTRUCTIONS: read_patch_instructions,
    CHANNELDATA: read_channeldata,
}
"""By file name."""
