"""Reading one subdir's index by the best way that works: shards, else `repodata.json.zst`, else `repodata.json`.

What conda, mamba and rattler do too: one bad way (an error, a page of HTML, a wrong hash, garbage) leads to the next.
What failed is a warning of the subdir; the sync fails only when no way is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from msgspec.structs import replace

from antivenom.core.errors import OutboundRefusedError, UpstreamError
from antivenom.core.source.ingest import Ingested, ShardPlan
from antivenom.server.context import READ_MAX_S, Resources
from antivenom.server.mirrors import ingesting
from antivenom.server.mirrors.stored_names import StoredNames
from antivenom.server.mirrors.subdir_state import SubdirState, selection_key, storable
from antivenom.server.mirrors.upstream import MONOLITHS, REPODATA, SHARD_INDEX, IndexFile, OnProgress, UpstreamChannel

SHARDS_BY_MONOLITH = 500  # more changed names than this and the whole index is the cheaper way
REREAD_WHOLE_AFTER_S = 86_400  # names bound to upstream shards by a whole index are checked against a fresh one daily
SET_ASIDE_SHOWN = 200
OLDER_TOLD_S = 900  # files of one run of an indexer differ by less
OLDER_LARGE_BYTES = 64 << 20  # a repodata.json beyond this is not fetched for being newer by less than that


class Reading(NamedTuple):
    """What was read of a subdir; `ingested` None: nothing changed."""

    state: SubdirState
    ingested: Ingested | None


@dataclass(slots=True)
class _Attempt:
    """One try to read a subdir. `errors` by file, in the order of the ways; `notes`: what went wrong but was used."""

    subdir: str
    known: SubdirState
    conditional: SubdirState
    errors: list[UpstreamError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    last_resort: Reading | None = None
    outdated: IndexFile | Reading | None = None


class IndexReader:
    """Reads the subdirs of one upstream for one sync."""

    def __init__(
        self,
        resources: Resources,
        names: StoredNames,
        upstream: UpstreamChannel,
        *,
        url: str,
        specs: tuple[str, ...],
        asked: tuple[str, ...],
        by_shards: bool,
        whole: frozenset[str] = frozenset(),
        now_ms: int,
        progress: OnProgress,
    ) -> None:
        self._resources, self._names, self._upstream, self._url = resources, names, upstream, url
        self._whole, self._asked, self._selected = whole, asked, selection_key(specs)
        self._specs, self._by_shards, self._now_ms, self._progress = specs, by_shards, now_ms, progress

    async def read(self, subdir: str, known: SubdirState) -> Reading | Literal["missing"]:
        """The subdir's records as its upstream lists them now.

        Raises:
            UpstreamError: No way to the index works; what was published before stays.
        """
        is_stale = known.bound_at_ms > 0 and self._now_ms - known.bound_at_ms > REREAD_WHOLE_AFTER_S * 1000
        is_other = known.selected != self._selected
        attempt = _Attempt(subdir, known, SubdirState() if is_stale or is_other else known)
        reading = await self._read_first(attempt) or attempt.last_resort or await self._read_outdated(attempt)
        if reading is None:
            if attempt.errors:
                raise attempt.errors[-1]
            return "missing"
        told = [storable(text) for text in (*attempt.notes, *(error.message for error in attempt.errors))]
        return reading._replace(state=replace(reading.state, warnings=tuple(dict.fromkeys(told))))

    async def make_empty(self, subdir: str) -> str:
        """The blob key of a source map without records."""
        async with self._names.storing() as keys:
            ingested: Ingested = await self._resources.cpu.run(ingesting.make_empty, self._resources.blobs.url, subdir)
            keys.append(ingested.source)
        return ingested.source

    async def _read_first(self, attempt: _Attempt) -> Reading | None:
        """By the first way that works and has records that can be read; None when there is none."""
        is_sharded = self._by_shards and attempt.subdir not in self._whole
        for name in (SHARD_INDEX, *MONOLITHS) if is_sharded else MONOLITHS:
            try:
                reading = await self._read_by(name, attempt)
            except OutboundRefusedError:
                raise
            except UpstreamError as error:
                attempt.errors.append(error)
                continue
            if reading is not None and not _is_all_set_aside(reading):
                return reading
            attempt.last_resort = attempt.last_resort or reading
        return None

    async def _read_by(self, name: str, attempt: _Attempt) -> Reading | None:
        """By one index file; None when the upstream has it not, or a newer one."""
        found = await self._upstream.fetch_file(attempt.subdir, name, attempt.conditional, self._progress)
        if found == "missing":
            return None
        if name == MONOLITHS[0] and await self._is_outdated(attempt, found):
            attempt.outdated = found or Reading(attempt.known, None)
            return None
        if found is None:
            return Reading(attempt.known, None)
        if name == SHARD_INDEX:
            return await self._take_shards(attempt, found)
        return await self._take_whole(attempt, found)

    async def _read_outdated(self, attempt: _Attempt) -> Reading | None:
        """By the compressed index that is older than the one that cannot be read."""
        found = attempt.outdated
        return await self._take_whole(attempt, found) if isinstance(found, IndexFile) else found

    async def _is_outdated(self, attempt: _Attempt, found: IndexFile | None) -> bool:
        """Whether the upstream goes on writing repodata.json but not its compressed form."""
        state = attempt.known if found is None else found.state
        newer = await self._upstream.find_newer_json(attempt.subdir, state.last_modified)
        if newer is None or (newer.by_s < OLDER_TOLD_S and newer.size_bytes > OLDER_LARGE_BYTES):
            return False
        if newer.by_s >= OLDER_TOLD_S:
            hours = round(newer.by_s / 3600, 1)
            attempt.notes.append(
                f"{attempt.subdir}/{MONOLITHS[0]} is {hours:g} h older than {REPODATA}, which was read"
            )
        return True

    async def _take_whole(
        self, attempt: _Attempt, found: IndexFile, keys: Mapping[str, bytes] | None = None
    ) -> Reading:
        self._progress(f"read {attempt.subdir}", 0, 0)
        store, request = self._resources.blobs.url, self._request(attempt)
        with self._adding_address(attempt.subdir, found):
            ingested = await self._ingest(ingesting.ingest_whole, store, request, str(found.path), keys)
        found.path.unlink(missing_ok=True)
        return self._reading(attempt, found.state, ingested)

    async def _take_shards(self, attempt: _Attempt, found: IndexFile) -> Reading:
        self._progress(f"read {attempt.subdir}", 0, 0)
        store, request = self._resources.blobs.url, self._request(attempt)
        with self._adding_address(attempt.subdir, found):
            plan: ShardPlan = await self._resources.cpu.run(
                ingesting.plan_sharded, store, request, str(found.path), cpu_s=READ_MAX_S
            )
        if len(plan.changed) > SHARDS_BY_MONOLITH and (bound := await self._bind_whole(attempt, found, plan)):
            return bound
        wanted = {name: bytes.fromhex(digest) for name, digest in plan.changed.items()}
        shards = await self._upstream.fetch_shards(attempt.subdir, plan.shards_base_url, wanted, self._progress)
        by_hex = {plan.changed[name]: data for name, data in shards.items()}
        with self._adding_address(attempt.subdir, found):
            ingested = await self._ingest(ingesting.ingest_sharded, store, request, str(found.path), by_hex)
        state = replace(found.state, bound_at_ms=attempt.known.bound_at_ms)
        return self._reading(attempt, state, ingested)

    async def _bind_whole(self, attempt: _Attempt, index: IndexFile, plan: ShardPlan) -> Reading | None:
        """By the whole index, if the shard index was the same before and after: then both speak of one state."""
        for name in MONOLITHS:
            try:
                whole = await self._upstream.fetch_file(attempt.subdir, name, SubdirState(), self._progress)
                if not isinstance(whole, IndexFile):
                    continue
                again = await self._upstream.fetch_file(attempt.subdir, SHARD_INDEX, index.state, self._progress)
                if again is not None:
                    return None
                reading = await self._take_whole(attempt, whole, dict(plan.keys))
            except OutboundRefusedError:
                raise
            except UpstreamError as error:
                attempt.notes.append(error.message)
                continue
            return reading._replace(state=replace(reading.state, **_identity(index.state), bound_at_ms=self._now_ms))
        return None

    async def _ingest(self, ingest: Callable[..., Ingested], *arguments: object) -> Ingested:
        """What `ingest` makes in a child process; its source map is named when this returns."""
        async with self._names.storing() as keys:
            ingested = await self._resources.cpu.run(ingest, *arguments, cpu_s=READ_MAX_S)
            keys.append(ingested.source)
        return ingested

    def _request(self, attempt: _Attempt) -> ingesting.IngestRequest:
        return ingesting.IngestRequest(
            subdir=attempt.subdir,
            now_ms=self._now_ms,
            previous=attempt.known.source or None,
            specs=self._specs,
            asked=self._asked,
        )

    def _reading(self, attempt: _Attempt, state: SubdirState, ingested: Ingested) -> Reading:
        base_url = attempt.known.base_url if ingested.base_url is None else ingested.base_url
        return Reading(
            replace(
                state,
                source=ingested.source,
                base_url=base_url,
                records=ingested.records,
                set_aside=ingested.set_aside_count,
                set_aside_examples=tuple(
                    (storable(fn), storable(why)) for fn, why in ingested.set_aside[:SET_ASIDE_SHOWN]
                ),
                noted=ingested.notes_count,
                note_examples=tuple((storable(fn), storable(note)) for fn, note in ingested.notes[:SET_ASIDE_SHOWN]),
                selected=self._selected,
            ),
            ingested,
        )

    @contextmanager
    def _adding_address(self, subdir: str, found: IndexFile) -> Iterator[None]:
        """Puts the file's address, which core does not know, before what core says of it."""
        try:
            yield
        except UpstreamError as error:
            message = f"{self._url}/{subdir}/{found.state.file}: {error.message}"
            raise UpstreamError(message, permanent=error.permanent, hint=error.hint) from error


def _identity(state: SubdirState) -> dict[str, str | None]:
    """Which file a state speaks of."""
    return {"file": state.file, "etag": state.etag, "last_modified": state.last_modified, "sha256": state.sha256}


def _is_all_set_aside(reading: Reading) -> bool:
    return reading.ingested is not None and not reading.state.records and reading.state.set_aside > 0
