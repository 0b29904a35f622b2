"""Where bytes are kept: a folder or an S3 bucket behind one small interface.

Blobs are immutable and keyed by content, so putting a key that exists does nothing. A put is done entirely or not at
all, and survives a power cut once it returns. What changes (which blob is current) is in PostgreSQL.
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
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from antivenom.core.errors import InvalidInputError, NotFoundError, StorageError

if TYPE_CHECKING:
    from antivenom.server.settings import Settings

KEY = re.compile(r"[a-z0-9_-]+(?:[/.][a-z0-9_-]+)*(?:\.[a-z0-9_-]+)*")
COPY_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _check_key(key: str) -> str:
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
        return ObjectStore(f"{location}?{urlencode({k: v for k, v in options.items() if v})}")

    @property
    @abstractmethod
    def url(self) -> str:
        """What `open` needs in another process; holds no secret."""

    @abstractmethod
    def put_sync(self, key: str, data: bytes) -> None:
        """Store bytes under a key; does nothing if the key is taken.

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
            NotFoundError: There is no such blob.
        """

    @abstractmethod
    def get_range_sync(self, key: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer when the blob ends before."""

    @abstractmethod
    def size_sync(self, key: str) -> int | None:
        """Bytes of a blob; None when there is none."""

    @abstractmethod
    def delete_sync(self, key: str) -> None:
        """Remove a blob; does nothing if there is none."""

    @abstractmethod
    def list_sync(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """(key, size in bytes, time stored in seconds since 1970) of every blob below `prefix`, in no order."""

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

    async def get_range(self, key: str, offset: int, length: int) -> bytes:
        return await asyncio.to_thread(self.get_range_sync, key, offset, length)

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
        raise NotFoundError(f"there is no blob {key!r}") from None
    except OSError as error:
        full = error.errno in _FULL
        raise StorageError(
            f"cannot store or read {key!r}: {error.strerror or error}",
            hint="free some space on the disk of the blob store"
            if full
            else "check the blob store's folder and its permissions",
        ) from error


class FolderStore(BlobStore):
    """Blobs as files. A new one is written beside its place, flushed to the disk, then linked into place at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def url(self) -> str:
        return str(self._folder)

    def local_path(self, key: str) -> Path | None:
        return self._folder / _check_key(key)

    def _place(self, key: str) -> Path:
        return self._folder / _check_key(key)

    def put_sync(self, key: str, data: bytes) -> None:
        self._put(key, lambda file: _write_all(file, data))

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
        """Link the file itself into place; False when it is on another disk."""
        place = self._place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        try:
            os.link(path, place)
        except FileExistsError:
            return True
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                return False
            raise
        _sync_folder(place.parent)
        return True

    def _put(self, key: str, write: Callable[[int], None]) -> None:
        place = self._place(key)
        with _storage_errors(key):
            if place.exists():
                return
            place.parent.mkdir(parents=True, exist_ok=True)
            partial = place.parent / f".partial-{secrets.token_hex(8)}"
            file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                try:
                    write(file)
                    os.fsync(file)
                finally:
                    os.close(file)
                with contextlib.suppress(FileExistsError):  # another process was first, with the same bytes
                    os.link(partial, place)
            finally:
                partial.unlink(missing_ok=True)
            _sync_folder(place.parent)

    def get_sync(self, key: str) -> bytes:
        with _storage_errors(key):
            return self._place(key).read_bytes()

    def get_range_sync(self, key: str, offset: int, length: int) -> bytes:
        with _storage_errors(key):
            file = os.open(self._place(key), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _read_range(file, offset, length)
            finally:
                os.close(file)

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
                    if not name.startswith(".partial-"):
                        yield path.relative_to(self._folder).as_posix(), facts.st_size, facts.st_mtime


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


# -- S3 ----------------------------------------------------------------------------------------------------------------


class ObjectStore(BlobStore):
    """Blobs as objects of a bucket. obstore is imported here so that a folder store starts without it."""

    def __init__(self, url: str) -> None:
        from obstore.store import S3Store

        location, _, query = url.partition("?")
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        options = dict(parse_qsl(query))
        config: dict[str, Any] = {"region": options.get("region", "us-east-1"), "virtual_hosted_style_request": False}
        client: dict[str, Any] = {"timeout": "120s", "connect_timeout": "10s"}
        if endpoint := options.get("endpoint"):
            config["endpoint"] = endpoint
            client["allow_http"] = endpoint.startswith("http://")
        else:
            config["virtual_hosted_style_request"] = True
        self._url = url
        self._store = S3Store(bucket, prefix=prefix or None, config=config, client_options=client)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        return self._url

    def local_path(self, key: str) -> Path | None:
        _check_key(key)
        return None

    def put_sync(self, key: str, data: bytes) -> None:
        self._put(key, data)

    def put_file_sync(self, key: str, path: Path, *, move: bool = False) -> None:
        self._put(key, path)
        if move:
            path.unlink(missing_ok=True)

    def _put(self, key: str, source: bytes | Path) -> None:
        # An object appears when its upload is complete, so looking first is enough: equal keys hold equal bytes.
        import obstore

        if self.size_sync(key) is None:
            with self._errors(key):
                obstore.put(self._store, key, source)

    def get_sync(self, key: str) -> bytes:
        import obstore

        with self._errors(key):
            return bytes(obstore.get(self._store, _check_key(key)).bytes())

    def get_range_sync(self, key: str, offset: int, length: int) -> bytes:
        import obstore

        if length <= 0:
            return b"" if self.size_sync(key) is not None else self.get_sync(key)
        try:
            with self._errors(key):
                return bytes(obstore.get_range(self._store, _check_key(key), start=offset, length=length))
        except StorageError:
            size = self.size_sync(key)  # S3 answers 416 for a range that begins at the end
            if size is None or offset < size:
                raise
            return b""

    def size_sync(self, key: str) -> int | None:
        import obstore

        try:
            with self._errors(key):
                return int(obstore.head(self._store, _check_key(key))["size"])
        except NotFoundError:
            return None

    def delete_sync(self, key: str) -> None:
        import obstore

        with contextlib.suppress(NotFoundError), self._errors(key):
            obstore.delete(self._store, _check_key(key))

    def check_sync(self) -> None:
        self.size_sync("readiness/asked")  # there is no such blob, and whoever says so is there

    def list_sync(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        import obstore

        with self._errors(prefix):
            for batch in obstore.list(self._store, prefix=prefix):
                for item in batch:
                    yield item["path"], item["size"], item["last_modified"].timestamp()

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError
        from obstore.exceptions import NotFoundError as ObjectNotFoundError

        try:
            yield
        except (FileNotFoundError, ObjectNotFoundError):
            raise NotFoundError(f"there is no blob {key!r}") from None
        except (BaseError, OSError) as error:
            reason = str(error).partition("\n")[0][:300]
            raise StorageError(
                f"the bucket refused {key!r}: {reason}",
                hint="check ANTIVENOM_BLOB_URL, ANTIVENOM_S3_ENDPOINT and the credentials",
            ) from None
