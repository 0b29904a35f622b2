"""What a subset mirror takes besides what its specs match: the dependencies, and which of them nothing meets."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import replace

from antivenom.core.errors import OutboundRefusedError, UpstreamError
from antivenom.server.context import Resources
from antivenom.server.mirrors import ingesting
from antivenom.server.mirrors.subdir_state import Selection, SubdirState, SubdirStates, storable
from antivenom.server.mirrors.upstream import MONOLITHS, IndexFile, OnProgress, UpstreamChannel

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
    """The specs with all that their records need, from the whole index of each subdir.

    What it downloads is kept for the ingest. The records of a subdir that has shards only are not looked into: they are
    taken when others need them, and bring nothing.

    Raises:
        UpstreamError: An index is none.
    """
    documents: dict[str, Path] = {}
    unchanged: list[str] = []
    for subdir in subdirs:
        state = known.get(subdir, SubdirState())
        conditional = state if state.file in MONOLITHS else SubdirState()
        found = await _keep_document(upstream, subdir, MONOLITHS, conditional, progress)
        if found is None:
            unchanged.append(subdir)
        elif found != "missing":
            documents[subdir] = found.path
    whole = frozenset((*documents, *unchanged))
    if not documents and previous.asked == specs:
        return Selected(previous, whole)
    documents |= await _keep_documents(upstream, unchanged, MONOLITHS, progress)
    try:
        closed = await _close(resources, specs, documents, progress)
    except UpstreamError:  # one of them is none; its plain form may be one
        documents |= await _keep_documents(upstream, subdirs, MONOLITHS[1:], progress)
        closed = await _close(resources, specs, documents, progress)
    return Selected(replace(previous, asked=specs, specs=closed), whole)


async def _close(
    resources: Resources, specs: tuple[str, ...], documents: dict[str, Path], progress: OnProgress
) -> tuple[str, ...]:
    progress("look for dependencies", 0, 0)
    paths = {subdir: str(path) for subdir, path in documents.items()}
    return tuple(await resources.cpu.run(ingesting.close_documents, list(specs), paths))


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


async def find_unmet(resources: Resources, states: SubdirStates) -> tuple[tuple[str, ...], int]:
    """Texts about the first dependencies that nothing of a mirror meets, and how many there are in all."""
    sources = {subdir: state.source for subdir, state in states.items() if state.source}
    unmet = await resources.cpu.run(ingesting.list_unmet_of, resources.blobs.url, sources)
    texts = tuple(storable(f"{need.text} (needed by {need.subdir}/{need.fn})") for need in unmet[:UNMET_SHOWN])
    return texts, len(unmet)
