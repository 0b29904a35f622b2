"""What an upstream publishes beside its records: `channeldata.json` and each subdir's `run_exports.json`.

They are kept as they came, as blobs that the mirror's state names. Nothing of a sync depends on them: what cannot be
had stays as it was.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
from msgspec.structs import replace

from antivenom.core.conda.shards import decompress_bounded
from antivenom.core.errors import UpstreamError
from antivenom.server.context import Resources
from antivenom.server.mirrors.service import SUBDIR, SUBDIR_MAX_CHARACTERS
from antivenom.server.mirrors.subdir_state import UpstreamFile
from antivenom.server.mirrors.upstream import UpstreamChannel

log = logging.getLogger(__name__)

FILE_MAX_BYTES = 512_000_000
LARGE_BYTES = 4 << 20  # files beyond this are asked for once a day (conda-forge: tens of megabytes, always new)
AGAIN_AFTER_MS = 86_400_000
SUBDIRS_MAX = 200
CHANNELDATA = ("channeldata.json",)
RUN_EXPORTS = ("run_exports.json.zst", "run_exports.json")


class _Channeldata(msgspec.Struct):
    subdirs: list[str] = []


async def refresh_file(
    resources: Resources,
    upstream: UpstreamChannel,
    folder: str,
    names: tuple[str, ...],
    known: UpstreamFile,
    now_ms: int,
) -> UpstreamFile:
    """The first of some files that the upstream has in a folder ("" is the channel's), stored.

    The answer is `known` when nothing changed; its `key` is "" when the upstream has none.
    """
    if known.size_bytes > LARGE_BYTES and 0 <= now_ms - known.checked_at_ms < AGAIN_AFTER_MS:
        return known
    for name in names:
        path = f"{folder}/{name}" if folder else name
        try:
            found = await upstream.fetch_other(path, known if known.name == name else UpstreamFile(), FILE_MAX_BYTES)
        except UpstreamError as error:
            log.info("%s is not read: %s", path, error.message)
            return known
        if found is None:
            return replace(known, checked_at_ms=now_ms)
        if found != "missing":
            key = f"upstream/{found.file.sha256[:2]}/{found.file.sha256}"
            await resources.blobs.put_file(key, found.path, move=True)
            return replace(found.file, key=key, checked_at_ms=now_ms)
    return UpstreamFile(checked_at_ms=now_ms)


async def read_listed_subdirs(resources: Resources, channeldata: UpstreamFile) -> list[str]:
    """The subdirs that a channeldata.json names; none if there is no such file or it cannot be read."""
    if not channeldata.key:
        return []
    data = await resources.blobs.get(channeldata.key)
    try:
        document = await asyncio.to_thread(msgspec.json.decode, data, type=_Channeldata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    names = [name for name in document.subdirs if SUBDIR.fullmatch(name) and len(name) <= SUBDIR_MAX_CHARACTERS]
    return list(dict.fromkeys(names))[:SUBDIRS_MAX]


async def read_upstream_file(resources: Resources, file: UpstreamFile) -> bytes:
    """The content of a stored file, unpacked; empty when the upstream has none.

    Raises:
        UpstreamError: It is compressed and cannot be unpacked.
    """
    if not file.key:
        return b""
    data: bytes = await resources.blobs.get(file.key)
    return bytes(decompress_bounded(data, FILE_MAX_BYTES, file.name)) if file.name.endswith(".zst") else data
