"""What an upstream publishes beside its records: `channeldata.json`, and each subdir's `run_exports.json` and
`patch_instructions.json`.

They are kept as they came, as blobs that the mirror's state and the publications name. No sync fails for them: what
cannot be had or read stays as it was, and the mirror says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from antivenom.core.errors import LostBlobError, TooExpensiveError, UnavailableError, UpstreamError
from antivenom.core.publication import upstream_documents
from antivenom.server.context import READ_MAX_S, Resources
from antivenom.server.events.lost_blobs import tell_lost
from antivenom.server.mirrors.service import SUBDIR, SUBDIR_MAX_CHARACTERS
from antivenom.server.mirrors.stored_names import StoredNames
from antivenom.server.mirrors.subdir_state import SubdirState, UpstreamFile, storable
from antivenom.server.mirrors.upstream import UpstreamChannel
from antivenom.server.publications.models import UpstreamDocuments

log = logging.getLogger(__name__)

FILE_MAX_BYTES = upstream_documents.DOCUMENT_MAX_BYTES
LARGE_BYTES = 4 << 20  # files beyond this are asked for once a day (conda-forge: tens of megabytes, always new)
AGAIN_AFTER_MS = 86_400_000
SUBDIRS_MAX = 200
CHANNELDATA = (upstream_documents.CHANNELDATA,)
RUN_EXPORTS = (f"{upstream_documents.RUN_EXPORTS}.zst", upstream_documents.RUN_EXPORTS)
PATCH_INSTRUCTIONS = (upstream_documents.PATCH_INSTRUCTIONS,)


class Refreshed(NamedTuple):
    """A file as it is known now, and what was wrong with the upstream's; "" if nothing was."""

    file: UpstreamFile
    warning: str = ""


async def refresh_subdir(
    resources: Resources,
    names: StoredNames,
    upstream: UpstreamChannel,
    subdir: str,
    known: SubdirState,
    state: SubdirState,
    now_ms: int,
) -> SubdirState:
    """The state of a subdir with the files that are beside its records now; `known` is what the last sync left."""
    if not state.source or state.missing:
        return state
    exports = await refresh_file(resources, names, upstream, subdir, RUN_EXPORTS, known.run_exports, now_ms)
    patches = await refresh_file(
        resources, names, upstream, subdir, PATCH_INSTRUCTIONS, known.patch_instructions, now_ms
    )
    told = [refreshed.warning for refreshed in (exports, patches) if refreshed.warning]
    warnings = tuple(dict.fromkeys((*state.warnings, *told)))
    return replace(state, run_exports=exports.file, patch_instructions=patches.file, warnings=warnings)


async def refresh_file(
    resources: Resources,
    names: StoredNames,
    upstream: UpstreamChannel,
    folder: str,
    files: tuple[str, ...],
    known: UpstreamFile,
    now_ms: int,
) -> Refreshed:
    """The first of some files that the upstream has in a folder ("" is the channel's), checked and stored.

    The answer is `known` when nothing changed, or when what the upstream has cannot be read; its `key` is "" when the
    upstream has none.
    """
    known = await _without_lost(resources, known)
    if known.size_bytes > LARGE_BYTES and 0 <= now_ms - known.checked_at_ms < AGAIN_AFTER_MS:
        return Refreshed(known)
    for name in files:
        path = f"{folder}/{name}" if folder else name
        try:
            found = await upstream.fetch_other(path, known if known.name == name else UpstreamFile(), FILE_MAX_BYTES)
            if found is None:
                return Refreshed(replace(known, checked_at_ms=now_ms))
            if found != "missing":
                await resources.cpu.run(check_file, str(found.path), name, cpu_s=READ_MAX_S)
                key = f"upstream/{found.file.sha256[:2]}/{found.file.sha256}"
                async with names.storing() as keys:
                    await resources.blobs.put_file(key, found.path, move=True)
                    keys.append(key)
                return Refreshed(replace(found.file, key=key, checked_at_ms=now_ms))
        except (UpstreamError, TooExpensiveError, UnavailableError) as error:
            log.info("%s is not read: %s", path, error.message)
            return Refreshed(known, storable(f"{path} is not read: {error.message}"))
    return Refreshed(UpstreamFile(checked_at_ms=now_ms))


def check_file(path: str, name: str) -> None:
    """Check that a file is what its name says; runs in a child process.

    Raises:
        UpstreamError: It is not.
    """
    upstream_documents.READERS[name.removesuffix(".zst")](Path(path).read_bytes())


def list_documents(states: Mapping[str, SubdirState], channeldata: UpstreamFile) -> UpstreamDocuments:
    """The blobs of everything that the upstream publishes beside its records."""
    present = {subdir: state for subdir, state in states.items() if state.source}
    return UpstreamDocuments(
        {subdir: state.run_exports.key for subdir, state in present.items() if state.run_exports.key},
        {subdir: state.patch_instructions.key for subdir, state in present.items() if state.patch_instructions.key},
        channeldata.key,
    )


async def _without_lost(resources: Resources, known: UpstreamFile) -> UpstreamFile:
    """The file as known; as never fetched when its blob is missing or damaged."""
    if known.key:
        try:
            await resources.blobs.check_opened(known.key)
        except LostBlobError as error:
            await tell_lost(resources, error)
            return UpstreamFile()
    return known


async def read_listed_subdirs(resources: Resources, channeldata: UpstreamFile) -> list[str]:
    """The subdirs that a channeldata.json names; none if there is no such file or it cannot be read."""
    if not channeldata.key:
        return []
    data = await resources.blobs.get(channeldata.key)
    try:
        document = await asyncio.to_thread(upstream_documents.read_channeldata, data)
    except UpstreamError:
        return []
    names = [name for name in document.list_subdirs() if SUBDIR.fullmatch(name) and len(name) <= SUBDIR_MAX_CHARACTERS]
    return list(dict.fromkeys(names))[:SUBDIRS_MAX]
