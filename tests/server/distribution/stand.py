"""Channel files without a database: publications of small channels, and the pointers to them that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from antivenom.core.errors import UnauthenticatedError
from antivenom.core.publication.client_documents import SubdirKeys
from antivenom.core.publication.publication_map import Decision
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.context import ANONYMOUS, Actor
from antivenom.server.distribution import actor_cache, channel_directory
from antivenom.server.distribution.channel_files import ChannelFiles, WantedArtifact
from antivenom.server.distribution.queries import ChannelPointer
from antivenom.server.events.jobs import EventNotice
from antivenom.server.web.answers import Answer, Content, RequestHeaders
from antivenom.server.web.problems import explain_to_client
from tests.core.index_samples import MemoryBlobs, channel, publish_all, record, stop

PUBLISHED_AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
DATABASE = "postgresql://nowhere/"
READER, NOBODY = "av-reader", "av-nobody"
RECORDS = [record("alpha"), record("alpha", "2.0"), record("beta", depends=["alpha"])]


class StoredBlobs(MemoryBlobs):
    """Blobs that are stored where the server reads them, too."""

    def __init__(self, store: BlobStore) -> None:
        super().__init__()
        self._store = store

    def put(self, key: str, data: bytes) -> None:
        super().put(key, data)
        self._store.put_sync(key, data)


class Stand:
    """One process that serves. `artifacts`: bytes by file name. `asked`: the artifacts that it asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = BlobStore.open(str(folder))
        self.pointers: dict[str, ChannelPointer] = {}
        self.retained: list[str] = []
        self.superseded: tuple[Decision, str] | None = None
        self.artifacts: dict[str, bytes] = {}
        self.asked: list[WantedArtifact] = []
        self.reads = 0
        self.before_reading: Callable[[], Any] = lambda: None
        self._blobs = StoredBlobs(self.store)
        self._last_id = 0
        self._notices: asyncio.Queue[EventNotice] = asyncio.Queue()
        monkeypatch.setattr(channel_directory, "list_pointers", self._list_pointers)
        monkeypatch.setattr(channel_directory, "list_index_keys", self._list_index_keys)
        monkeypatch.setattr(channel_directory, "listen", self._listen)
        monkeypatch.setattr(channel_directory, "POLL_S", 3600.0)
        monkeypatch.setattr(actor_cache, "authenticate", self._authenticate)
        resources: Any = SimpleNamespace(
            blobs=self.store,
            context=self._context,
            cpu=SimpleNamespace(run=self._run),
            engine=SimpleNamespace(url=DATABASE),
        )
        self.files = ChannelFiles(resources, open_artifact=self._open, explain=explain_to_client)
        monkeypatch.setattr(self.files._judge, "judge", self._judge)

    # -- what a test does ----------------------------------------------------------------------------------------------

    def publish(
        self, name: str = "main", *banned: str, public: bool = True, channel_id: int = 1, **subdirs: Any
    ) -> ChannelPointer:
        """Publish a channel anew, without the file names and names that are banned; its pointer moves there."""
        self._last_id += 1
        made = publish_all(self._blobs, channel(self._blobs, **subdirs or {"noarch": RECORDS}), stop(*banned))
        keys = {subdir: SubdirKeys(of.publication, "", "") for subdir, of in made.subdirs.items()}
        pointer = ChannelPointer(
            channel_id, name, public, self._last_id, PUBLISHED_AT, keys, "", f"policy-{self._last_id}"
        )
        self.pointers[name] = pointer
        return pointer

    def create(self, name: str, *, public: bool = True) -> None:
        """A channel that has published nothing."""
        self.pointers[name] = ChannelPointer(7, name, public, None, None, {}, "", "")

    async def refresh(self) -> None:
        await self.files._directory.refresh()

    def announce(self, kind: str, subject: str = "channel:main") -> None:
        self._notices.put_nowait(EventNotice(kind, subject))

    def announce_now(self, kind: str, subject: str) -> None:
        self.files._directory._handle_event(EventNotice(kind, subject))

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """The answer of the slow path, with all its bytes."""
        request = RequestHeaders(**{name: value.encode() for name, value in headers.items()})
        answer = await self.files.respond(method, path.encode(), request)
        if answer.file is not None:
            whole = answer.file.path.read_bytes()
            answer.body = whole[answer.file.offset : answer.file.offset + answer.file.length]
        elif answer.stream is not None:
            answer.body = b"".join([chunk async for chunk in answer.stream])
        return answer

    def hot(self, path: str, **headers: str) -> tuple[bytes, bytes] | None:
        """What is answered from memory alone."""
        request = RequestHeaders(**{name: value.encode() for name, value in headers.items()})
        return self.files.answer_from_cache(path.encode(), request)

    # -- what it is asked ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _context(self, _actor: Actor) -> AsyncIterator[Any]:
        yield SimpleNamespace(session=None)

    async def _list_pointers(self, _session: Any) -> list[ChannelPointer]:
        self.reads += 1
        found = list(self.pointers.values())
        await asyncio.sleep(0)
        self.before_reading()
        return found

    async def _list_index_keys(self, _session: Any, channel_id: int, subdir: str) -> list[str]:
        return list(self.retained) if (channel_id, subdir) == (1, "noarch") else []

    async def _listen(self, url: str, handle: Callable[[EventNotice], None]) -> None:
        assert url == DATABASE
        while True:
            handle(await self._notices.get())

    async def _authenticate(self, _resources: Any, *, token: str | None, authorization: str | None) -> Actor:
        given = token or (authorization or "").removeprefix("Bearer ")
        if not given:  # what everyone may do is looked up too: a role may be granted to everyone
            return ANONYMOUS
        if given not in (READER, NOBODY):
            raise UnauthenticatedError("wrong")
        return Actor("token", given, "member" if given == READER else "none")

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(function, *arguments)

    async def _open(self, wanted: WantedArtifact) -> Content | None:
        self.asked.append(wanted)
        body = self.artifacts.get(wanted.decision.fn)
        return None if body is None else Content(b'"artifact"', b"application/zip", b"unset", len(body), body=body)

    async def _judge(self, channel_id: int, superseded: Any, listed: Any) -> tuple[Decision, str] | None:
        assert (channel_id, superseded.then.fn) == (1, "alpha-1.0-0.conda")
        assert superseded.index.decision("alpha-1.0-0.conda") == superseded.then
        served = self.files._directory.served(b"main")
        assert served is not None
        assert listed is (served.subdirs["noarch"].index if "noarch" in served.subdirs else None)
        return self.superseded
