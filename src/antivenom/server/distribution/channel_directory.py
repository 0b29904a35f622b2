"""Holds the publication that each channel serves, and follows changes: LISTEN for speed, a poll for certainty.

A `PublishedChannel` is immutable; the directory replaces it by the next. A request uses one of them, so it sees one
publication.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from antivenom.core.publication.client_documents import ChannelKeys, SubdirKeys
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.source.packs import IndexBlobs, Location
from antivenom.server.adapters.index_blobs import StoreBlobs
from antivenom.server.context import SYSTEM, Resources
from antivenom.server.distribution.queries import ChannelPointer, list_index_keys, list_pointers
from antivenom.server.distribution.superseded_files import SupersededFile
from antivenom.server.events.jobs import EventNotice
from antivenom.server.events.listen import listen

logger = logging.getLogger(__name__)

POLL_S = 2.0
REFRESH_AGAIN_S = 0.2  # an unknown channel is looked up at most this often
OPEN_INDEXES = 16  # open maps of superseded publications, for clients that still use their shard index
ABSENT_SHARDS = 4096


@dataclass(frozen=True, slots=True)
class PublishedSubdir:
    """One subdir of one publication."""

    name: str
    keys: SubdirKeys
    index: PublicationIndex


@dataclass(frozen=True, slots=True)
class PublishedChannel:
    """A channel as it is served at one moment. `publication_id` is None when it has published nothing."""

    channel_id: int
    name: str
    is_public: bool
    publication_id: int | None = None
    policy: str = ""
    last_modified: bytes = b""
    channeldata: str = ""
    subdirs: dict[str, PublishedSubdir] = field(default_factory=dict)

    def keys(self) -> ChannelKeys:
        """What the channel's documents are made of."""
        return ChannelKeys(tuple(subdir.keys for subdir in self.subdirs.values()), self.channeldata)


class ChannelDirectory:
    """The channels that this process serves."""

    def __init__(self, resources: Resources, on_event: Callable[[str, str], None]) -> None:
        self._resources = resources
        self._on_event = on_event
        self._blobs = StoreBlobs(resources.blobs)
        self._pointers: dict[str, ChannelPointer] = {}
        self._served: dict[bytes, PublishedChannel] = {}
        self._loading: dict[str, asyncio.Task[PublishedChannel]] = {}
        self._open: OrderedDict[str, PublicationIndex] = OrderedDict()
        self._absent: OrderedDict[tuple[int | None, str, bytes], None] = OrderedDict()
        self._wake = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._refreshed_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read the channels and start to follow their changes."""
        await self.refresh()
        self._tasks = [
            asyncio.create_task(self._poll()),
            asyncio.create_task(listen(self._resources.engine.url, self._handle_event)),
        ]

    async def stop(self) -> None:
        pending: set[asyncio.Task[Any]] = {*self._tasks, *self._loading.values()}
        while pending:  # wait_for of Python 3.11, which psycopg uses, loses a cancellation that races a result
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=0.5)

    def served(self, name: bytes) -> PublishedChannel | None:
        """The channel if it is in memory."""
        return self._served.get(name)

    async def find(self, name: str) -> PublishedChannel | None:
        """The channel as served now; None when there is no such channel."""
        if (found := self._served.get(name.encode())) is not None:
            return found
        if name not in self._pointers and time.monotonic() - self._refreshed_at > REFRESH_AGAIN_S:
            await self.refresh()
        pointer = self._pointers.get(name)
        return await self._load(pointer) if pointer else None

    async def refresh(self) -> None:
        """Read every channel's pointer. Loads and replaces the channels in memory whose pointer moved."""
        async with self._refreshing:
            async with self._resources.context(SYSTEM) as ctx:
                pointers = await list_pointers(ctx.session)
            self._refreshed_at = time.monotonic()
            self._pointers = {pointer.name: pointer for pointer in pointers}
            for name in list(self._served):
                if name.decode() not in self._pointers:
                    del self._served[name]
                    self._on_event("channel.deleted", f"channel:{name.decode()}")
            await asyncio.gather(*(self._follow(pointer) for pointer in pointers))

    async def _follow(self, pointer: ChannelPointer) -> None:
        served = self._served.get(pointer.name.encode())
        if served is None or _is_current(served, pointer):
            return
        try:
            await self._load(pointer)
        except Exception:
            logger.exception("publication %s of channel %s cannot be read", pointer.publication_id, pointer.name)

    async def _load(self, pointer: ChannelPointer) -> PublishedChannel:
        """Load a publication, once for all requests that wait for it, and serve it from then on."""
        key = f"{pointer.name}:{pointer.publication_id}:{pointer.is_public}"
        task = self._loading.get(key)
        if task is None:
            task = asyncio.create_task(self._open_channel(pointer))
            self._loading[key] = task
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        channel = await asyncio.shield(task)
        if self._pointers.get(pointer.name) == pointer:
            before = self._served.get(pointer.name.encode())
            self._served[pointer.name.encode()] = channel
            if before is not None and before.channel_id != channel.channel_id:
                self._on_event("channel.deleted", f"channel:{channel.name}")
            elif before is not None and before.is_public != channel.is_public:
                self._on_event("channel.privacy_changed", f"channel:{channel.name}")
        return channel

    async def _open_channel(self, pointer: ChannelPointer) -> PublishedChannel:
        channel = PublishedChannel(
            pointer.channel_id,
            pointer.name,
            pointer.is_public,
            pointer.publication_id,
            pointer.policy,
            http_date(pointer.published_at),
            pointer.channeldata,
        )
        for name, keys in pointer.subdirs.items():
            channel.subdirs[name] = PublishedSubdir(name, keys, await self._open_index(keys.index))
        return channel

    async def _open_index(self, key: str) -> PublicationIndex:
        if (index := self._open.get(key)) is None:
            index = await asyncio.to_thread(open_index, self._blobs, key)
            self._open[key] = index
            while len(self._open) > OPEN_INDEXES:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(key)
        return index

    async def find_shard(self, channel: PublishedChannel, subdir: str, sha256: bytes) -> Location | None:
        """The location of a shard of the served publication, or of any retained one."""
        if (published := channel.subdirs.get(subdir)) and (location := published.index.shard_location(sha256)):
            return location
        absent = (channel.publication_id, subdir, sha256)
        if absent in self._absent:
            return None
        for key in await self._retained_keys(channel, subdir):
            if location := (await self._open_index(key)).shard_location(sha256):
                return location
        self._absent[absent] = None
        if len(self._absent) > ABSENT_SHARDS:
            self._absent.popitem(last=False)
        return None

    async def find_superseded(self, channel: PublishedChannel, subdir: str, fn: str) -> SupersededFile | None:
        """The file in the newest retained publication that lists it."""
        for key in await self._retained_keys(channel, subdir):
            index = await self._open_index(key)
            if decision := await asyncio.to_thread(index.decision, fn):
                return SupersededFile(index, decision)
        return None

    async def _retained_keys(self, channel: PublishedChannel, subdir: str) -> list[str]:
        async with self._resources.context(SYSTEM) as ctx:
            keys = await list_index_keys(ctx.session, channel.channel_id, subdir)
        served = channel.subdirs[subdir].keys.index if subdir in channel.subdirs else ""
        return [key for key in keys if key != served]

    async def _poll(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            self._wake.clear()
            try:
                await self.refresh()
            except (SQLAlchemyError, OSError) as error:
                logger.warning(
                    "the database does not answer (%s); serving the last known publications", type(error).__name__
                )

    def _handle_event(self, event: EventNotice) -> None:
        """Look again after what any process committed; after a connection ("listening") anything may be missed."""
        if event.kind.partition(".")[0] in ("publication", "channel", "policy", "listening"):
            self._wake.set()
        self._on_event(event.kind, event.subject)


def open_index(blobs: IndexBlobs, key: str) -> PublicationIndex:
    """Open a map and build its table of shards, so that no request has to."""
    index = PublicationIndex.open(blobs, key)
    index.shard_location(bytes(32))
    return index


def _is_current(served: PublishedChannel, pointer: ChannelPointer) -> bool:
    return (served.channel_id, served.is_public, served.publication_id, served.policy) == (
        pointer.channel_id,
        pointer.is_public,
        pointer.publication_id,
        pointer.policy,
    )


def http_date(at: datetime | None) -> bytes:
    """A time in HTTP's format; b"" for None."""
    return format_datetime(at.astimezone(UTC), usegmt=True).encode() if at else b""
