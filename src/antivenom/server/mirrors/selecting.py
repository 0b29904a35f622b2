"""What a subset mirror takes besides what its specs match: the dependencies, and which of them nothing meets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import replace

from antivenom.core.errors import OutboundRefusedError, UpstreamError
from antivenom.core.source.document_records import ClosedSelection
from antivenom.server.context import READ_MAX_S, Resources
from antivenom.server.mirrors import ingesting
from antivenom.server.mirrors.subdir_state import Selection, SubdirState, SubdirStates, storable
from antivenom.server.mirrors.upstream import MONOLITHS, SHARD_INDEX, IndexFile, OnProgress, UpstreamChannel

UNMET_SHOWN = 50


class Selected(NamedTuple):
    """The selection, and the subdirs that are read by their whole index, as it was."""

    selection: Selection
    whole: frozenset[str]


async def select_dependencies(
    resources: Resources,
    upstream: UpstreamChannel,
    specs: tuple[str, ...],
    subdirs: list[str],
    known: SubdirStates,
    previous: Selection,
    progress: OnProgress,
) -> Selected:
    """The specs with all that their records need, from the whole index of each subdir, or from its shards if it has
    only these.

    What it downloads is kept for the ingest.

    Raises:
        UpstreamError: An index is none, or a shard cannot be had.
    """
    whole: dict[str, Path] = {}
    sharded: dict[str, Path] = {}
    unchanged: dict[str, tuple[str, ...]] = {}
    for subdir in subdirs:
        state = known.get(subdir, SubdirState())
        for names, found_of in ((MONOLITHS, whole), ((SHARD_INDEX,), sharded)):
            conditional = state if state.file in names else SubdirState()
            found = await _keep_document(upstream, subdir, names, conditional, progress)
            if found is None:
                unchanged[subdir] = names
            elif found != "missing":
                found_of[subdir] = found.path
            if found != "missing":
                break
    read_whole = frozenset((*whole, *(subdir for subdir, names in unchanged.items() if names == MONOLITHS)))
    if not whole and not sharded and previous.asked == specs:
        return Selected(previous, read_whole)
    for names, found_of in ((MONOLITHS, whole), ((SHARD_INDEX,), sharded)):
        again = [subdir for subdir, of in unchanged.items() if of == names]
        found_of |= await _keep_documents(upstream, again, names, progress)
    closing = _Closing(resources, upstream, specs, progress)
    try:
        closed = await closing.close(whole, sharded)
    except UpstreamError:  # one of them is none; its plain form may be one
        whole |= await _keep_documents(upstream, subdirs, MONOLITHS[1:], progress)
        closed = await closing.close(whole, sharded)
    return Selected(replace(previous, asked=specs, specs=closed), read_whole)


class _Closing:
    """Looks up dependencies; fetches the shards that it comes to need, a round for each step of dependencies."""

    def __init__(
        self, resources: Resources, upstream: UpstreamChannel, specs: tuple[str, ...], progress: OnProgress
    ) -> None:
        self._resources, self._upstream, self._specs, self._progress = resources, upstream, specs, progress
        self._shards: dict[str, dict[str, bytes]] = {}

    async def close(self, whole: dict[str, Path], sharded: dict[str, Path]) -> tuple[str, ...]:
        paths = {subdir: str(path) for subdir, path in whole.items()}
        indexes = {subdir: str(path) for subdir, path in sharded.items()}
        while True:
            self._progress("look for dependencies", 0, 0)
            closed: ClosedSelection = await self._resources.cpu.run(
                ingesting.close_documents, list(self._specs), paths, indexes, self._shards, cpu_s=READ_MAX_S
            )
            if not closed.lacking:
                return tuple(closed.specs)
            for subdir, lacking in closed.lacking.items():
                found = await self._upstream.fetch_shards(
                    subdir, lacking.base_url, lacking.keys, self._progress, keep=True
                )
                by_hex = {lacking.keys[name].hex(): data for name, data in found.items()}
                self._shards.setdefault(subdir, {}).update(by_hex)


async def _keep_documents(
    upstream: UpstreamChannel, subdirs: list[str], names: tuple[str, ...], progress: OnProgress
) -> dict[str, Path]:
    documents = {}
    for subdir in subdirs:
        found = await _keep_document(upstream, subdir, names, SubdirState(), progress)
        if isinstance(found, IndexFile):
            documents[subdir] = found.path
    return documents


async def _keep_document(
    upstream: UpstreamChannel, subdir: str, names: tuple[str, ...], state: SubdirState, progress: OnProgress
) -> IndexFile | Literal["missing"] | None:
    """The subdir's whole index, by the first way that works; "missing" when none does: the ingest says why."""
    for name in names:
        try:
            found = await upstream.keep_file(subdir, name, state, progress)
        except OutboundRefusedError:
            raise
        except UpstreamError:
            continue
        if found != "missing":
            return found
    return "missing"


async def find_unmet(resources: Resources, states: SubdirStates, specs: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Texts about the first specs and dependencies that nothing of a mirror meets, and how many there are in all."""
    sources = {subdir: state.source for subdir, state in states.items() if state.source}
    idle, unmet = await resources.cpu.run(ingesting.list_unmet_of, resources.blobs.url, sources, list(specs))
    texts = [f"{text} (asked for by the mirror: is the name right?)" for text in idle]
    texts += [f"{need.text} (needed by {need.subdir}/{need.fn})" for need in unmet]
    return tuple(map(storable, texts[:UNMET_SHOWN])), len(texts)
