"""One download that several readers follow while it arrives, and that is verified by its digest.

A reader gets the bytes as they arrive, but the last ones only after verification: nobody ever holds a complete file
that is not the promised one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

from antivenom.core.errors import DigestMismatchError, StorageError, UpstreamError
from antivenom.server.adapters.http_answers import Stream
from antivenom.server.adapters.scratch import lock_in_use

WHOLE_FIRST_BYTES = (
    1 << 20
)  # a file up to this size is verified before its first byte is sent, so that a failure is a clean error
HELD_BACK_BYTES = 1 << 16
READ_BYTES = 1 << 20
ATTEMPTS = 3
PAUSE_S = 0.5
FIRST_BYTE_S = 25.0  # a client waits this long for a first byte, then gets a 504

OpenStream = Callable[[], AbstractAsyncContextManager[Stream]]
StoreFile = Callable[[Path], Awaitable[None]]
"""Stores the verified file (and may move it away)."""


def _ignore() -> None:
    """Nobody wants to know."""


class ExpectedFile:
    """What the index promised of a file. `size` 0: unknown. At least one digest is given."""

    __slots__ = ("algorithm", "digest", "name", "size")

    def __init__(self, name: str, *, sha256: str, md5: str, size: int) -> None:
        self.name = name
        self.algorithm, self.digest = ("sha256", sha256) if sha256 else ("md5", md5)
        self.size = size
        if not self.digest:
            raise UpstreamError(
                f"the index gives no digest for {name}, so it cannot be verified and is not served", permanent=True
            )

    def hasher(self) -> hashlib._Hash:
        return hashlib.new(self.algorithm, usedforsecurity=self.algorithm != "md5")

    def check(self, size: int, digest: str) -> None:
        """Raise DigestMismatchError or UpstreamError unless both are as promised."""
        if digest != self.digest and self.algorithm == "sha256":
            raise DigestMismatchError(self.name, expected=self.digest, actual=digest)
        if digest != self.digest:
            raise UpstreamError(f"{self.name}: expected md5 {self.digest}, got {digest}", permanent=True)
        if self.size and size != self.size:
            raise UpstreamError(f"{self.name} has {size} bytes, the index says {self.size}", permanent=True)


class Download:
    """A file that is being downloaded. `run` fetches it once; any number of `read` calls follow it."""

    def __init__(self, expected: ExpectedFile, open_stream: OpenStream, store: StoreFile, folder: Path) -> None:
        self._expected = expected
        self._open_stream = open_stream
        self._store = store
        self._path = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        self._file = -1
        self._users = 0
        self._readers = 0
        self._is_storing = False
        self.on_left: Callable[[], None] = _ignore
        """Called when the last of those who wait for it has left."""
        self._received = 0
        self._sent = 0
        self._size = expected.size
        self._is_verified = False
        self._error: BaseException | None = None
        self._progressed = asyncio.Event()

    # -- writing -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fetch, verify and store the file; wake readers when it ends.

        Raises:
            UpstreamError: The upstream has no good copy (DigestMismatchError: it has another file).
            StorageError: It cannot be stored.
        """
        self._users += 1
        try:
            self._open_file()
            await self._fetch_with_retries()
            self._is_storing = True
            await self._store(self._path)
            self._is_verified = True
        except BaseException as error:
            self._error = error if isinstance(error, Exception) else UpstreamError("the server is stopping")
            raise
        finally:
            if self._file >= 0:
                self._path.unlink(missing_ok=True)
            self._wake_readers()
            self._close_if_unused()

    @property
    def has_begun(self) -> bool:
        """Whether it asks its upstream; before, it waits for its turn."""
        return self._file >= 0

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for it, and it is not about to be stored."""
        return not self._readers and not self._is_storing and not self.is_over

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Somebody waits for it while the block runs."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self.on_left()

    @property
    def is_over(self) -> bool:
        return self._is_verified or self._error is not None

    def _open_file(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            lock_in_use(self._file)
        except OSError as error:
            raise StorageError(f"cannot write to {self._path.parent}: {error.strerror}") from None

    async def _fetch_with_retries(self) -> None:
        """Try again after a failure that may pass, as long as no reader was given a byte of the failed attempt."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._fetch()
                return
            except UpstreamError as error:
                if error.permanent or self._sent or attempt == ATTEMPTS:
                    raise
            self._received = 0
            await asyncio.sleep(PAUSE_S * 2**attempt)

    async def _fetch(self) -> None:
        hasher = self._expected.hasher()
        async with self._open_stream() as stream:
            if stream.status != 200:
                raise UpstreamError(
                    f"the upstream answered {stream.status} for {self._expected.name}",
                    permanent=stream.status < 500 and stream.status not in (408, 425, 429),
                    hint="sync the mirror: its index may be out of date" if stream.status in (404, 410) else "",
                )
            self._check_length(stream.headers.get("content-length", ""))
            async for chunk in stream.chunks:
                hasher.update(chunk)
                self._write(chunk)
        if self._size and self._received < self._size:
            raise UpstreamError(f"{self._expected.name} ended after {self._received} of {self._size} bytes")
        self._expected.check(self._received, hasher.hexdigest())

    def _check_length(self, length: str) -> None:
        """Refuse a file of another length before a byte of it is sent."""
        if not length.isdigit():
            return
        if self._expected.size and int(length) != self._expected.size:
            raise UpstreamError(
                f"{self._expected.name} has {length} bytes upstream, the index says {self._expected.size}",
                permanent=True,
            )
        self._size = int(length)

    def _write(self, chunk: bytes) -> None:
        try:
            view, position = memoryview(chunk), self._received
            while view:
                written = os.pwrite(self._file, view, position)
                view, position = view[written:], position + written
        except OSError as error:
            raise StorageError(
                f"cannot write {self._expected.name}: {error.strerror}", hint="is the disk full?"
            ) from None
        self._received += len(chunk)
        self._wake_readers()

    def _wake_readers(self) -> None:
        self._progressed.set()
        self._progressed = asyncio.Event()

    def _close_if_unused(self) -> None:
        self._users -= 1
        if self._users <= 0 and self._file >= 0:
            os.close(self._file)
            self._file = -1

    # -- reading -------------------------------------------------------------------------------------------------------

    async def read(self, start: int, length: int) -> AsyncIterator[bytes]:
        """`length` bytes from `start` (-1: to the end) as they arrive; the last of the file only after verification.

        Raises:
            UpstreamError: The download failed; what was yielded until then is not the whole range.
        """
        if self.is_over:
            raise UpstreamError(f"the download of {self._expected.name} is over: ask again")
        self._users += 1
        self._readers += 1
        try:
            position, deadline = start, time.monotonic() + FIRST_BYTE_S
            while True:
                end = self._available()
                if length >= 0:
                    end = min(end, start + length)
                while position < end:
                    chunk = os.pread(self._file, min(READ_BYTES, end - position), position)
                    self._sent += len(chunk)
                    position += len(chunk)
                    deadline = float("inf")
                    yield chunk
                if self._is_verified or (length >= 0 and position >= start + length):
                    return
                if self._error is not None:
                    raise self._error
                if self._available() <= position:
                    await self._wait(deadline)
        finally:
            self._close_if_unused()
            self._readers -= 1
            if not self._readers:
                self.on_left()

    def _available(self) -> int:
        """How many bytes may be sent by now."""
        if self._is_verified:
            return self._received
        if self._size <= WHOLE_FIRST_BYTES:
            return 0
        return max(0, min(self._received, self._size - HELD_BACK_BYTES))

    async def _wait(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        try:
            await asyncio.wait_for(self._progressed.wait(), None if left_s == float("inf") else max(0.0, left_s))
        except TimeoutError:
            raise UpstreamError(
                f"the upstream sent nothing of {self._expected.name} in {FIRST_BYTE_S:g} s",
                hint="try again in a while",
                timed_out=True,
            ) from None
