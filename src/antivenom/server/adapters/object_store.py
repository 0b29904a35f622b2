"""Blobs in a bucket of S3 or of a service that speaks its protocol."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from antivenom.core.errors import DamagedBlobError, MissingBlobError, NotFoundError, StorageError
from antivenom.server.adapters.blob_digests import hasher_of, is_digest_of
from antivenom.server.adapters.blobs import COPY_BYTES, BlobStore, check_bytes, check_key

ADDRESS = re.compile(r"https?://\S+")


class ObjectStore(BlobStore):
    """Blobs as objects of a bucket."""

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
        check_key(key)
        return None

    def put_sync(self, key: str, data: bytes) -> None:
        self._put(key, data)

    def put_file_sync(self, key: str, path: Path, *, move: bool = False) -> None:
        self._put(key, path)
        if move:
            path.unlink(missing_ok=True)

    def _put(self, key: str, source: bytes | Path) -> None:
        """Upload, unless the same bytes are there. An object appears when its upload is complete."""
        import obstore

        if isinstance(source, bytes) and self._has(key, source):
            return
        with self._errors(key):
            obstore.put(self._store, check_key(key), source)

    def _has(self, key: str, data: bytes) -> bool:
        """Whether just these bytes are stored. A small object's ETag is its md5; larger ones are read."""
        import obstore

        try:
            with self._errors(key):
                facts = obstore.head(self._store, check_key(key))
                if facts["size"] != len(data):
                    return False
                etag = (facts["e_tag"] or "").strip('"')
                if re.fullmatch(r"[0-9a-f]{32}", etag):
                    return etag == hashlib.md5(data, usedforsecurity=False).hexdigest()
                return bool(obstore.get(self._store, key).bytes() == data)
        except NotFoundError:
            return False

    def get_sync(self, key: str) -> bytes:
        import obstore

        with self._errors(key):
            data = bytes(obstore.get(self._store, check_key(key)).bytes())
        return check_bytes(key, data)

    def verify_sync(self, key: str) -> int:
        import obstore

        hasher, size = hasher_of(key), 0
        with self._errors(key):
            for chunk in obstore.get(self._store, check_key(key)).stream(min_chunk_size=COPY_BYTES):
                size += len(chunk)
                if hasher is not None:
                    hasher.update(chunk)
        if hasher is not None and not is_digest_of(key, hasher):
            raise DamagedBlobError(key)
        return size

    def get_range_sync(self, key: str, offset: int, length: int, *, checked: bool = True) -> bytes:
        del checked  # S3 checks what it stores, and reading the whole object for a part would be slow
        import obstore

        if length <= 0:
            return b"" if self.size_sync(key) is not None else self.get_sync(key)
        try:
            with self._errors(key):
                return bytes(obstore.get_range(self._store, check_key(key), start=offset, length=length))
        except StorageError:
            size = self.size_sync(key)  # S3 answers 416 for a range that begins at the end
            if size is None or offset < size:
                raise
            return b""

    def size_sync(self, key: str) -> int | None:
        import obstore

        try:
            with self._errors(key):
                return int(obstore.head(self._store, check_key(key))["size"])
        except NotFoundError:
            return None

    def delete_sync(self, key: str) -> None:
        import obstore

        with contextlib.suppress(NotFoundError), self._errors(key):
            obstore.delete(self._store, check_key(key))

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
            raise MissingBlobError(key) from None
        except (BaseError, OSError) as error:
            reason = ADDRESS.sub("its address", str(error).partition("\n")[0])[:300]
            raise StorageError(
                f"the bucket refused {key!r}: {reason}",
                hint="check ANTIVENOM_BLOB_URL, ANTIVENOM_S3_ENDPOINT and the credentials",
            ) from None
