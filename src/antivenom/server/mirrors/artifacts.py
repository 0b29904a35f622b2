"""Artifacts of mirrors: fetched on first request or ahead of it, verified, stored once, streamed while they arrive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from antivenom.core.conda.artifacts import ArtifactInfo
from antivenom.core.errors import (
    AntivenomError,
    DamagedBlobError,
    LostBlobError,
    NotFoundError,
    StorageError,
    UpstreamError,
)
from antivenom.core.policy.compile import Action
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.server.adapters.blob_digests import artifact_key
from antivenom.server.adapters.http import BasicAuth
from antivenom.server.adapters.http_answers import Stream
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.channels.queries import find_channel
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.distribution.channel_files import WantedArtifact
from antivenom.server.events.lost_blobs import tell_lost
from antivenom.server.events.service import record
from antivenom.server.findings import service as findings
from antivenom.server.mirrors import queries
from antivenom.server.mirrors.archives import ArchiveReader
from antivenom.server.mirrors.artifact_identity import IdentityGuard, check_identity
from antivenom.server.mirrors.download_slots import DownloadSlots
from antivenom.server.mirrors.downloads import Download, ExpectedFile
from antivenom.server.mirrors.subdir_state import SubdirState
from antivenom.server.mirrors.upstream_url import artifact_address
from antivenom.server.publications.queries import find_publication
from antivenom.server.web.answers import Content
from antivenom.server.web.blob_content import open_blob

logger = logging.getLogger(__name__)

ARTIFACT_MAX_BYTES = 20_000_000_000
DOWNLOAD_TIMEOUT_S = 4 * 3600.0
FETCHES_AT_ONCE = 8
CONTENT_TYPES = {".conda": b"application/zip", ".tar.bz2": b"application/x-bzip2"}

OnProgress = Callable[[str, int, int], None]


class _Source(NamedTuple):
    """Where a download comes from, and what it becomes."""

    key: str
    url: str
    auth: BasicAuth | None

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc.lower()


class ArtifactStore:
    """The artifacts of mirrors: those that are stored, and the downloads of this process."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._downloads: dict[_Source, tuple[Download, asyncio.Task[None]]] = {}
        self._slots = DownloadSlots()
        self._folder = resources.settings.scratch / "artifacts"
        self._recording: set[asyncio.Task[None]] = set()
        self._identities = IdentityGuard(resources)
        self._archives = ArchiveReader(resources)

    async def finish_recording(self) -> None:
        """Wait until what became of each artifact is in the database."""
        await asyncio.gather(*self._recording)

    async def stop(self) -> None:
        """Cancel the downloads that are under way."""
        tasks = [task for _, task in self._downloads.values()] + list(self._recording)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def open(self, wanted: WantedArtifact) -> Content | None:
        """An artifact's content: stored, or fetched from the channel's upstream when its first byte is read.

        None when it is not stored and is no longer listed. Nothing is fetched for HEAD, nor for a 304.

        Raises:
            UpstreamError: Also while the content is read (ArtifactMismatchError: it calls itself another package).
        """
        expected = expected_of(wanted)
        key, etag = artifact_key(wanted.decision.sha256, wanted.decision.md5), f'"{expected.digest}"'.encode()
        kind = CONTENT_TYPES[".conda" if wanted.decision.fn.endswith(".conda") else ".tar.bz2"]
        await self._identities.check(wanted)
        try:
            return await open_blob(self._resources.blobs, key, etag=etag, content_type=kind, cache_control=b"")
        except LostBlobError as error:
            damaged = error if isinstance(error, DamagedBlobError) else None  # a missing one was perhaps never fetched
        if damaged is not None:
            await tell_lost(self._resources, damaged)
        if not wanted.is_listed:
            if damaged is not None:
                raise damaged
            return None

        async def read(start: int, length: int) -> AsyncIterator[bytes]:
            try:
                download, _ = await self._begin(wanted, expected, key)
            except NotFoundError:
                if damaged is not None:
                    raise damaged from None
                raise
            async for chunk in download.read(start, length):
                yield chunk

        return Content(etag, kind, b"", expected.size or None, read=read)

    async def fetch(self, wanted: WantedArtifact) -> bool:
        """Store an artifact; False when it was stored already.

        Raises:
            UpstreamError: The upstream has no good copy.
            StorageError: It cannot be stored.
        """
        expected = expected_of(wanted)
        key = artifact_key(wanted.decision.sha256, wanted.decision.md5)
        await self._identities.check(wanted)
        size = await self._resources.blobs.size(key)
        if size is not None and size == (expected.size or size):
            return False
        download, task = await self._begin(wanted, expected, key)
        with download.awaited():
            await asyncio.shield(task)
        return True

    async def _begin(
        self, wanted: WantedArtifact, expected: ExpectedFile, key: str
    ) -> tuple[Download, asyncio.Task[None]]:
        """The download of an artifact from the channel's upstream: the one that is under way, or a new one.

        The same file of another upstream is another download: a slow upstream captures nobody else's request.
        """
        source = await self._find_source(wanted, key)
        if source in self._downloads:
            return self._downloads[source]

        async def store(path: Path) -> None:
            await self._store(wanted, expected, key, source.host, path)

        download = Download(expected, self._opener(source, expected), store, self._folder)
        download.on_left = lambda: self._note_left(source)
        task = asyncio.create_task(self._run(download, wanted, source))
        task.add_done_callback(
            lambda done: None if done.cancelled() else done.exception()
        )  # every reader has raised it
        self._downloads[source] = download, task
        return download, task

    def _note_left(self, source: _Source) -> None:
        """Nobody waits for a download any more: it goes on while its slot is wanted by none, and is not begun."""
        download, task = self._downloads.get(source, (None, None))
        if download is not None and task is not None and download.is_abandoned and not download.has_begun:
            self._give_up(source, task)
        self._slots.note_left(source.host)

    def _give_up(self, source: _Source, task: asyncio.Task[None]) -> None:
        self._downloads.pop(source, None)  # at once: who asks now begins anew
        task.cancel()

    async def _run(self, download: Download, wanted: WantedArtifact, source: _Source) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # it runs in one
        try:
            async with self._slots.one(source.host, download, lambda: self._give_up(source, task)):
                await download.run()
        except UpstreamError as error:
            # In a task of its own: whoever asks in between gets a new download, not the one that is over.
            self._record_later(self._record_failure(wanted, error))
            raise
        finally:
            if self._downloads.get(source, (None, None))[1] is task:
                del self._downloads[source]

    def _record_later(self, writing: Coroutine[Any, Any, None]) -> None:
        """Write to the database in a task of its own; `finish_recording` waits for it."""
        task = asyncio.create_task(writing)
        self._recording.add(task)
        task.add_done_callback(self._end_recording)

    def _end_recording(self, task: asyncio.Task[None]) -> None:
        self._recording.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("the outcome of a download could not be recorded (%s)", type(error).__name__)

    async def _find_source(self, wanted: WantedArtifact, key: str) -> _Source:
        async with self._resources.context(SYSTEM) as ctx:
            mirror = await queries.find_mirror(ctx.session, wanted.channel)
        if mirror is None:
            raise NotFoundError(
                f"{wanted.decision.fn} is not stored here, and channel {wanted.channel!r} has no upstream"
            )
        known = mirror.subdir_states.get(wanted.subdir, SubdirState())
        url, auth = artifact_address(
            mirror.upstream, mirror.upstream_auth, wanted.subdir, wanted.decision.fn, base_url=known.base_url
        )
        return _Source(key, url, auth)

    def _opener(self, source: _Source, expected: ExpectedFile) -> Callable[[], AbstractAsyncContextManager[Stream]]:
        most_bytes = expected.size or ARTIFACT_MAX_BYTES
        return lambda: self._resources.outbound.stream(
            source.url, max_bytes=most_bytes, timeout_s=DOWNLOAD_TIMEOUT_S, basic_auth=source.auth
        )

    async def _store(self, wanted: WantedArtifact, expected: ExpectedFile, key: str, host: str, path: Path) -> None:
        info = await self._archives.read(path, upstream=host, channel=wanted.channel, fn=wanted.decision.fn, key=key)
        if info.index is not None:  # before the bytes are there for others, who may list them under another name
            await self._identities.keep(wanted, info.index)
        check_identity(wanted, info.index)
        await self._resources.blobs.put_file(key, path, move=True)
        self._record_later(self._record_stored(wanted, expected, info))

    async def _record_stored(self, wanted: WantedArtifact, expected: ExpectedFile, info: ArtifactInfo) -> None:
        """Record that an artifact is stored, and store what it states about its own vulnerabilities."""
        try:
            async with self._resources.context(SYSTEM) as ctx:
                subject, fn = f"channel:{wanted.channel}", wanted.decision.fn
                await record(ctx, "artifact.stored", subject=subject, fn=fn, digest=expected.digest)
                if info.security is not None and expected.algorithm == "sha256":
                    digest = bytes.fromhex(expected.digest)
                    if await findings.store_curation(ctx, sha256=digest, fn=fn, document=info.security):
                        await record(ctx, "curation.found", subject=subject, fn=fn, sha256=expected.digest)
        except AntivenomError as error:
            logger.warning(
                "%s: its own statements on vulnerabilities are ignored: %s", wanted.decision.fn, error.message
            )

    async def _record_failure(self, wanted: WantedArtifact, error: UpstreamError) -> None:
        """Show the failure on the mirror until its next sync; record an event if trying again cannot help."""
        fn = wanted.decision.fn
        async with self._resources.context(SYSTEM) as ctx:
            mirror = await queries.find_mirror(ctx.session, wanted.channel, lock=True)
            if mirror is not None:
                mirror.last_error = f"{wanted.subdir}/{fn}: {error.message}"
            if error.permanent:
                subject = f"channel:{wanted.channel}"
                await record(ctx, "artifact.failed", subject=subject, fn=fn, code=error.code, error=error.message)


def expected_of(wanted: WantedArtifact) -> ExpectedFile:
    decision = wanted.decision
    return ExpectedFile(decision.fn, sha256=decision.sha256, md5=decision.md5, size=decision.size_bytes)


# -- active mirrors ---------------------------------------------------------------------------------------------------


async def fetch_artifacts(resources: Resources, channel: str, *, on_progress: OnProgress | None = None) -> int:
    """Store every artifact that a channel serves and that is not stored yet, and return how many were fetched.

    A second call after an interruption fetches only what is missing. A failure does not stop the others.

    Raises:
        UpstreamError: Some could not be fetched; the message has the first reason.
        StorageError: The store is full or refuses; the rest was not tried.
    """
    keys = await _index_keys(resources, channel)
    wanted = await asyncio.to_thread(lambda: list(_list_wanted(resources, channel, keys)))
    store = ArtifactStore(resources)
    try:
        fetched, failures = await _fetch_all(store, wanted, on_progress)
        await store.finish_recording()
    finally:
        await store.stop()
    if failures:
        raise UpstreamError(
            f"{len(failures)} of {len(wanted)} artifacts could not be fetched; first: {failures[0].message}",
            hint="the others are stored; these are fetched again later",
        )
    return fetched


async def _index_keys(resources: Resources, channel: str) -> dict[str, str]:
    async with resources.context(SYSTEM) as ctx:
        row = await find_channel(ctx.session, channel)
        publication = await find_publication(ctx.session, row.publication_id) if row else None
        return {subdir: blobs.index for subdir, blobs in publication.subdirs.items()} if publication else {}


def _list_wanted(resources: Resources, channel: str, keys: dict[str, str]) -> Iterator[WantedArtifact]:
    blobs = StoreBlobs(resources.blobs)
    for subdir, key in keys.items():
        index = PublicationIndex.open(blobs, key)
        for package in index.packages():
            for decision in index.records(package.name):
                if decision.action is not Action.stop:
                    yield WantedArtifact(channel, subdir, decision)


async def _fetch_all(
    store: ArtifactStore, wanted: list[WantedArtifact], on_progress: OnProgress | None
) -> tuple[int, list[AntivenomError]]:
    left = iter(wanted)
    failures: list[AntivenomError] = []
    done = fetched = 0

    async def fetch_some() -> None:
        nonlocal done, fetched
        for artifact in left:
            try:
                fetched += await store.fetch(artifact)
            except StorageError:
                raise
            except AntivenomError as error:
                failures.append(error)
            done += 1
            if on_progress is not None:
                on_progress("fetch artifacts", done, len(wanted))

    async with asyncio.TaskGroup() as group:
        for _ in range(FETCHES_AT_ONCE):
            group.create_task(fetch_some())
    return fetched, failures
