"""Documents for clients that are derived from publication maps, and from what the upstream publishes beside records.

Each is named by what it is made of: what did not change is not made again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec
import zstandard

from antivenom.core.errors import InvalidInputError
from antivenom.core.publication.channeldata import derive_channeldata
from antivenom.core.publication.current_repodata import derive_current
from antivenom.core.publication.patch_instructions import derive_patch_instructions
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.run_exports import derive_run_exports, iterate_run_exports
from antivenom.core.publication.upstream_documents import (
    CHANNELDATA,
    PATCH_INSTRUCTIONS,
    UpstreamRunExports,
    read_channeldata,
    read_patch_instructions,
    read_run_exports,
)
from antivenom.core.source.packs import IndexBlobs

CURRENT, RUN_EXPORTS = "current_repodata.json.zst", "run_exports.json.zst"
SUBDIR_FILES = (CURRENT, RUN_EXPORTS, PATCH_INSTRUCTIONS)
FORMAT = 2  # raise it when a document changes, or the store serves old ones
LEVEL = 6


class SubdirKeys(msgspec.Struct, frozen=True):
    """What the documents of one subdir are made of: keys of its publication map and of the upstream's files.

    "" stands for a file that the upstream has not.
    """

    index: str
    run_exports: str = ""
    patch_instructions: str = ""


class ChannelKeys(msgspec.Struct, frozen=True):
    """What the documents of a channel are made of."""

    subdirs: tuple[SubdirKeys, ...]
    channeldata: str = ""


def derived_keys(channel: ChannelKeys) -> set[str]:
    """The blobs of all documents that may have been derived from a publication."""
    alone = (ChannelKeys((subdir,)) for subdir in channel.subdirs)
    return {document_key(CHANNELDATA, channel), *(document_key(fn, one) for one in alone for fn in SUBDIR_FILES)}


def document_key(fn: str, channel: ChannelKeys) -> str:
    """The key of a document: a digest of what it is made of, whatever the order of subdirs."""
    parts = [str(FORMAT), fn]
    if fn == CURRENT:
        parts += sorted(subdir.index for subdir in channel.subdirs)
    elif fn == PATCH_INSTRUCTIONS:
        parts += sorted(f"{subdir.index} {subdir.patch_instructions}" for subdir in channel.subdirs)
    else:
        parts += sorted(f"{subdir.index} {subdir.run_exports}" for subdir in channel.subdirs)
    if fn == CHANNELDATA:
        parts.append(channel.channeldata)
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"derived/{digest}"


POINTER_BYTES_MAX = 200
_POINTER = re.compile(rb"document/[0-9a-f]{64}")


def read_pointer(data: bytes) -> str | None:
    """The key of the document that a derived blob names; None when it does not look like one that names any."""
    return data.decode() if _POINTER.fullmatch(data) else None


def derive_document(blobs: IndexBlobs, fn: str, channel: ChannelKeys) -> bytes:
    """The document with the file name `fn`, of one subdir or of a whole channel.

    Raises:
        InvalidInputError: No document of that name is derived.
    """
    maps = [PublicationIndex.open(blobs, subdir.index) for subdir in channel.subdirs]
    if fn == CHANNELDATA:
        return _derive_channeldata(blobs, maps, channel)
    (subdir,), (published,) = channel.subdirs, maps
    if fn == CURRENT:
        return _compress(derive_current(blobs, published))
    if fn == RUN_EXPORTS:
        return _compress(derive_run_exports(blobs, published, _read_run_exports(blobs, subdir)))
    if fn == PATCH_INSTRUCTIONS and subdir.patch_instructions:
        upstream = read_patch_instructions(blobs.get(subdir.patch_instructions))
        return derive_patch_instructions(blobs, published, upstream)
    raise InvalidInputError(f"{fn!r} is not a derived document")


def _derive_channeldata(blobs: IndexBlobs, maps: Sequence[PublicationIndex], channel: ChannelKeys) -> bytes:
    upstream = read_channeldata(blobs.get(channel.channeldata)) if channel.channeldata else None
    subdirs = (
        (published.subdir, iterate_run_exports(blobs, published, _read_run_exports(blobs, subdir)))
        for published, subdir in sorted(zip(maps, channel.subdirs, strict=True), key=lambda pair: pair[0].subdir)
    )
    return derive_channeldata(subdirs, upstream)


def _read_run_exports(blobs: IndexBlobs, subdir: SubdirKeys) -> UpstreamRunExports | None:
    return read_run_exports(blobs.get(subdir.run_exports)) if subdir.run_exports else None


def _compress(text: bytes) -> bytes:
    return zstandard.compress(text, LEVEL)
