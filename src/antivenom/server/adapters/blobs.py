"""Where bytes are kept: a folder or an S3 bucket behind one small interface.

Blobs are immutable and keyed by content, so putting a key that exists writes nothing, unless what is there is damaged.
A put is done entirely or not at all, and survives a power cut once it returns. What changes (which blob is current) is
in PostgreSQL. Bytes are checked against the digest in the key whenever a blob is read whole; a file of a folder also
when a process opens it for the first time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from antivenom.core.errors import DamagedBlobError, InvalidInputError, MissingBlobError, NotFoundError, StorageError
from antivenom.server.adapters.blob_digests import hasher_of, is_digest_of
from antivenom.server.adapters.scratch import YOUNG_S, Swept, is_left_over, lock_in_use

if TYPE_CHECKING:
    from antivenom.server.settings import Settings

KEY = re.compile(r"[a-z0-9_-]+(?:[/.][a-z0-9_-]+)*(?:\.[a-z0-9_-]+)*")
COPY_BYTES = 1 << 20
PARTIAL = ".partial-"  # what the names of files begin with that are not yet blobs
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_key(key: str) -> str:
    """The key, if it can be one."""
    if not KEY.fullmatch(key) or len(key) > 300:
        raise InvalidInputError(f"{key!r} cannot be the key of a blob")
    return key


class BlobStore(ABC):
    """A blob store. The `_sync` twins serve subprocesses; the others never block the event loop."""

    @staticmethod
    def open(url: str) -> BlobStore:
        """The store that `url` names: a folder, or `s3://BUCKET[/PREFIX][?endpoint=…&region=…]`.

        S3 credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or the machine's role.
        """
        if url.startswith("s3://"):
            from antivenom.server.adapters.object_store import ObjectStore

            return ObjectStore(url)
        return FolderStore(Path(url))

    @staticmethod
    def from_settings(settings: Settings) -> BlobStore:
        """The store of the settings; S3 credentials go to the environment, where subprocesses find them too."""
        location = settings.blob_location
        if not location.startswith("s3://"):
            return FolderStore(Path(location))
        if settings.s3_access_key_id:
            os.environ["AWS_ACCESS_KEY_ID"] = settings.s3_access_key_id
        if settings.s3_secret_access_key:
            os.environ["AWS_SECRET_ACCESS_KEY"] = settings.s3_secret_access_key
        options = {"endpoint": settings.s3_endpoint, "region": settings.s3_region}
        return BlobStore.open(f"{location}?{urlencode({k: v for k, v in options.items() if v})}")

    @property
    @abstractmethod
    def url(self) -> str:
        """What `open` needs in another process; holds no secret."""

    @abstractmethod
    def put_sync(self, key: str, data: bytes) -> None:
        """Store bytes under a key; writes nothing if they are there.

        Raises:
            StorageError: The store refused, such as for a full disk. Nothing is left behind.
        """

    @abstractmethod
    def put_file_sync(self, key: str, path: Path, *, move: bool = False) -> None:
        """Store a file's bytes. With `move` the file itself may become the blob; it is gone afterwards."""

    @abstractmethod
    def get_sync(self, key: str) -> bytes:
        """A blob's bytes.

        Raises:
            MissingBlobError: There is no such blob.
            DamagedBlobError: Its bytes have another digest than its key says.
        """

    @abstractmethod
    def get_range_sync(self, key: str, offset: int, length: int, *, checked: bool = True) -> bytes:
        """`length` bytes from `offset`; fewer when the blob ends before.

        A folder's file is checked as a whole the first time, unless the caller knows the digest of the range
        (`checked` False).

        Raises:
            MissingBlobError: There is no such blob.
            DamagedBlobError: It is damaged.
        """

    @abstractmethod
    def verify_sync(self, key: str) -> int:
        """Read a blob whole and compare it with the digest in its key; its size.

        Raises:
            MissingBlobError: There is no such blob.
            DamagedBlobError: Its bytes have another digest than its key says.
        """

    def check_opened_sync(self, key: str) -> int:
        """Check a blob as far as that is cheap; its size. A file of a folder is read once by each process.

        Raises:
            MissingBlobError: There is no such blob.
            DamagedBlobError: It is damaged.
        """
        size = self.size_sync(key)
        if size is None:
            raise MissingBlobError(key)
        return size

    @abstractmethod
    def size_sync(self, key: str) -> int | None:
        """Bytes of a blob; None when there is none."""

    @abstractmethod
    def delete_sync(self, key: str) -> None:
        """Remove a blob; does nothing if there is none."""

    @abstractmethod
    def list_sync(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """(key, size in bytes, time stored in seconds since 1970) of every blob below `prefix`, in no order."""

    def sweep_sync(self, *, young_s: float = YOUNG_S, dry_run: bool = False) -> Swept:
        """Remove what puts that were cut short left; an S3 service keeps such parts to itself, and by its own rules."""
        del young_s, dry_run
        return Swept()

    @abstractmethod
    def check_sync(self) -> None:
        """Ask whether the store answers.

        Raises:
            StorageError: It does not.
        """

    @abstractmethod
    def local_path(self, key: str) -> Path | None:
        """The file that holds a blob, for a folder store (it may not exist); None for S3."""

    async def put(self, key: str, data: bytes) -> None:
        await asyncio.to_thread(self.put_sync, key, data)

    async def put_file(self, key: str, path: Path, *, move: bool = False) -> None:
        await asyncio.to_thread(self.put_file_sync, key, path, move=move)

    async def get(self, key: str) -> bytes:
        return await asyncio.to_thread(self.get_sync, key)

    async def get_range(self, key: str, offset: int, length: int, *, checked: bool = True) -> bytes:
        return await asyncio.to_thread(self.get_range_sync, key, offset, length, checked=checked)

    async def check_opened(self, key: str) -> int:
        return await asyncio.to_thread(self.check_opened_sync, key)

    async def size(self, key: str) -> int | None:
        return await asyncio.to_thread(self.size_sync, key)

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self.delete_sync, key)


# -- a folder ----------------------------------------------------------------------------------------------------------


@contextmanager
def _storage_errors(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise MissingBlobError(key) from None
    except OSError as error:
        full = error.errno in _FULL
        raise StorageError(
            f"cannot store or read {key!r}: {error.strerror or error}",
            hint="free some space on the disk of the blob store"
            if full
            else "check the blob store's folder and its permissions",
        ) from error


_Identity = tuple[int, int, int]  # inode, time of the last change in ns, size
VERIFIED_KEPT = 200_000


class FolderStore(BlobStore):
    """Blobs as files. A new one is written beside its place, flushed to the disk, then renamed into place at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The files that this process has read whole and found right. Stores of one folder share it.
        self._verified = _VERIFIED.setdefault(str(folder), {})

    @property
    def url(self) -> str:
        return str(self._folder)

    def local_path(self, key: str) -> Path | None:
        return self._folder / check_key(key)

    def _place(self, key: str) -> Path:
        return self._folder / check_key(key)

    def put_sync(self, key: str, data: bytes) -> None:
        if not self._has(key, data):
            self._put(key, lambda file: _write_all(file, data))

    def _has(self, key: str, data: bytes) -> bool:
        """Whether just these bytes are stored."""
        place = self._place(key)
        try:
            with _storage_errors(key), place.open("rb", buffering=0) as file:
                facts = os.fstat(file.fileno())
                if facts.st_size != len(data):
                    return False
                if self._verified.get(key) != _identity(facts):
                    view = memoryview(data)
                    for start in range(0, len(data), COPY_BYTES):
                        if file.read(COPY_BYTES) != view[start : start + COPY_BYTES]:
                            return False
                    self._verified[key] = _identity(facts)
        except NotFoundError:
            return False
        return True

    def put_file_sync(self, key: str, path: Path, *, move: bool = False) -> None:
        def copy(target: int) -> None:
            with path.open("rb") as source:
                while block := source.read(COPY_BYTES):
                    _write_all(target, block)

        with _storage_errors(key):
            if not move or not self._adopt(key, path):
                self._put(key, copy)
            if move:
                path.unlink(missing_ok=True)

    def _adopt(self, key: str, path: Path) -> bool:
        """Rename the file itself into place; False when it is on another disk."""
        place = self._place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        try:
            path.rename(place)
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP):
                return False
            raise
        _sync_folder(place.parent)
        self._note_verified(key)  # its caller knows what it stores
        return True

    def _put(self, key: str, write: Callable[[int], None]) -> None:
        place = self._place(key)
        with _storage_errors(key):
            place.parent.mkdir(parents=True, exist_ok=True)
            partial = place.parent / f"{PARTIAL}{secrets.token_hex(8)}"
            file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                try:
                    lock_in_use(file)
                    write(file)
                    os.fsync(file)
                finally:
                    os.close(file)
                partial.rename(place)
            finally:
                partial.unlink(missing_ok=True)
            _sync_folder(place.parent)
            self._note_verified(key)

    def _note_verified(self, key: str) -> None:
        if len(self._verified) >= VERIFIED_KEPT:
            self._verified.clear()
        with contextlib.suppress(OSError):
            self._verified[key] = _identity(self._place(key).stat())

    def get_sync(self, key: str) -> bytes:
        with _storage_errors(key):
            data = self._place(key).read_bytes()
        return check_bytes(key, data)

    def get_range_sync(self, key: str, offset: int, length: int, *, checked: bool = True) -> bytes:
        with _storage_errors(key):
            file = os.open(self._place(key), os.O_RDONLY | os.O_CLOEXEC)
            try:
                if checked:
                    self._check_file(key, file)
                return _read_range(file, offset, length)
            finally:
                os.close(file)

    async def check_opened(self, key: str) -> int:
        with _storage_errors(key):
            facts = self._place(key).stat()
        if self._verified.get(key) == _identity(facts):
            return facts.st_size
        return await asyncio.get_running_loop().run_in_executor(_READERS, self.check_opened_sync, key)

    def verify_sync(self, key: str) -> int:
        self._verified.pop(key, None)
        return self.check_opened_sync(key)

    def check_opened_sync(self, key: str) -> int:
        with _storage_errors(key):
            file = os.open(self._place(key), os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._check_file(key, file)
                return os.fstat(file).st_size
            finally:
                os.close(file)

    def _check_file(self, key: str, file: int) -> None:
        """Compare a file with the digest in its key, unless this process has done so since the file changed."""
        identity = _identity(os.fstat(file))
        if self._verified.get(key) == identity or (hasher := hasher_of(key)) is None:
            return
        position = 0
        while block := os.pread(file, COPY_BYTES, position):
            hasher.update(block)
            position += len(block)
        if not is_digest_of(key, hasher):
            raise DamagedBlobError(key)
        if len(self._verified) >= VERIFIED_KEPT:
            self._verified.clear()
        self._verified[key] = identity

    def size_sync(self, key: str) -> int | None:
        try:
            with _storage_errors(key):
                return self._place(key).stat().st_size
        except NotFoundError:
            return None

    def delete_sync(self, key: str) -> None:
        with _storage_errors(key):
            self._place(key).unlink(missing_ok=True)

    def check_sync(self) -> None:
        if not self._folder.is_dir():
            raise StorageError(f"the blob store's folder {self._folder} is not there")

    def list_sync(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        for folder, _, names in os.walk(self._folder / prefix):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    facts = path.stat()
                    if not name.startswith(PARTIAL):
                        yield path.relative_to(self._folder).as_posix(), facts.st_size, facts.st_mtime

    def sweep_sync(self, *, young_s: float = YOUNG_S, dry_run: bool = False) -> Swept:
        swept = Swept()
        for path in self._folder.rglob(f"{PARTIAL}*"):
            if is_left_over(path, young_s=young_s):
                swept = swept.plus(Swept(1, path.stat().st_size))
                if not dry_run:
                    path.unlink(missing_ok=True)
        return swept


_READERS = ThreadPoolExecutor(2, thread_name_prefix="check-blob")  # large files do not take every thread
_VERIFIED: dict[str, dict[str, _Identity]] = {}


def _identity(facts: os.stat_result) -> _Identity:
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def check_bytes(key: str, data: bytes) -> bytes:
    """The bytes, if the key does not promise others."""
    if (hasher := hasher_of(key)) is not None:
        hasher.update(data)
        if not is_digest_of(key, hasher):
            raise DamagedBlobError(key)
    return data


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _read_range(file: int, offset: int, length: int) -> bytes:
    """Exactly `length` bytes if the file has them: os.pread may return fewer above 2 GB or on some file systems."""
    data = os.pread(file, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    while (missing := length - sum(map(len, parts))) and (
        more := os.pread(file, missing, offset + sum(map(len, parts)))
    ):
        parts.append(more)
    return b"".join(parts)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
