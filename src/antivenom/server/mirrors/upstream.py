"""Fetching an upstream's index: sharded or whole, conditional, bounded, verified. No database, no decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from antivenom.core.conda.other_content import describe_other_content
from antivenom.core.errors import DigestMismatchError, UpstreamError
from antivenom.server.adapters.http import OutboundClient
from antivenom.server.adapters.http_answers import Response, Stream
from antivenom.server.adapters.stored_urls import RequestUrl, request_url
from antivenom.server.mirrors.subdir_state import SubdirState, UpstreamFile

INDEX_MAX_BYTES = 2_000_000_000  # a compressed index beyond this is refused (conda-forge linux-64: 60 MB)
SHARD_MAX_BYTES = 64_000_000
SHARD_INDEX_MAX_BYTES = 128_000_000
INDEX_TIMEOUT_S = 1800.0
SHARD_TIMEOUT_S = 60.0
SHARDS_AT_ONCE = 24

SHARD_INDEX = "repodata_shards.msgpack.zst"
REPODATA = "repodata.json"
MONOLITHS = ("repodata.json.zst", REPODATA)
HEAD_BYTES = 1024
HEAD_TIMEOUT_S = 60.0

OnProgress = Callable[[str, int, int], None]
"""(phase, done, total): bytes or shards; a total of 0 is unknown."""


@dataclass(slots=True)
class IndexFile:
    """One downloaded index file. `state` says which it is: what makes the next request conditional."""

    path: Path
    state: SubdirState


@dataclass(slots=True)
class OtherFile:
    """A downloaded file that is no index."""

    path: Path
    file: UpstreamFile


class NotServedError(UpstreamError):
    """The upstream answers, but with no index: it refuses, or sends something else."""


class NotAnIndexError(NotServedError):
    """The upstream answers 200 with something else, such as a page for people."""


@dataclass(frozen=True, slots=True)
class Newer:
    """A file that is newer than another one; `size_bytes` 0: unknown."""

    by_s: float
    size_bytes: int


class UpstreamChannel:
    """One upstream channel, asked file by file through the guarded client."""

    def __init__(self, outbound: OutboundClient, url: str, auth: str, folder: Path) -> None:
        self._outbound = outbound
        self._url = url
        self._auth = auth
        self._folder = folder
        self._kept: dict[tuple[str, str], IndexFile] = {}
        self._kept_shards: dict[bytes, bytes] = {}

    async def _get(self, path: str, **options: Any) -> Response:
        url, basic = self._locate(path)
        return await self._outbound.get(url, basic_auth=basic, **options)

    def _locate(self, path: str) -> RequestUrl:
        """The URL of a path below the channel, or an absolute one, which gets no credentials of another host."""
        asked, basic_auth = request_url(self._url, self._auth)
        if "://" not in path:
            return RequestUrl(f"{asked}/{path}", basic_auth)
        return RequestUrl(path, basic_auth if urlsplit(path)[:2] == urlsplit(asked)[:2] else None)

    async def keep_file(
        self, subdir: str, name: str, state: SubdirState, progress: OnProgress
    ) -> IndexFile | Literal["missing"] | None:
        """As `fetch_file`, which then gives what was fetched here, once, without a request."""
        found = await self.fetch_file(subdir, name, state, progress)
        if isinstance(found, IndexFile):
            self._kept[subdir, name] = found
        return found

    async def fetch_file(
        self, subdir: str, name: str, state: SubdirState, progress: OnProgress
    ) -> IndexFile | Literal["missing"] | None:
        """One of the subdir's index files; None when it is the one that `state` speaks of.

        Raises:
            UpstreamError: It could not be had (NotAnIndexError: something else was sent in its place).
        """
        if kept := self._kept.pop((subdir, name), None):
            return kept
        known = state if state.file == name else SubdirState()
        to = self._folder / f"{subdir}-{name}"
        response = await self._get(
            f"{subdir}/{name}",
            max_bytes=SHARD_INDEX_MAX_BYTES if name == SHARD_INDEX else INDEX_MAX_BYTES,
            timeout_s=INDEX_TIMEOUT_S,
            etag=known.etag,
            last_modified=known.last_modified,
            to=to,
            on_progress=lambda done, total: progress(f"download {subdir}/{name}", done, total or 0),
        )
        if response.status == 304 or (response.status == 200 and response.sha256 == known.sha256):
            return None
        if response.status in (404, 410) or (response.status == 403 and name != REPODATA):
            return "missing"
        address = f"{self._url}/{subdir}/{name}"
        if response.status in (401, 403):
            hint = "give credentials in the upstream's URL"
            raise NotServedError(f"{address} answered {response.status}", permanent=True, hint=hint)
        if response.status != 200:
            raise UpstreamError(f"{address} answered {response.status}", hint="it will be tried again")
        if wrong := describe_other_content(_head(to)):
            raise NotAnIndexError(
                f"{address} is {wrong}, not an index",
                hint="open the address in a browser: it may want a sign-in, or not be a conda channel",
            )
        return IndexFile(
            to,
            SubdirState(file=name, etag=response.etag, last_modified=response.last_modified, sha256=response.sha256),
        )

    async def fetch_other(
        self, path: str, known: UpstreamFile, max_bytes: int
    ) -> OtherFile | Literal["missing"] | None:
        """A JSON file of the channel that is no index; None when it is the one that `known` speaks of.

        Raises:
            UpstreamError: It could not be had.
        """
        to = self._folder / path.replace("/", "-")
        response = await self._get(
            path,
            max_bytes=max_bytes,
            timeout_s=INDEX_TIMEOUT_S,
            etag=known.etag,
            last_modified=known.last_modified,
            to=to,
        )
        if response.status == 304 or (response.status == 200 and response.sha256 == known.sha256):
            return None
        if response.status in (401, 403, 404, 410) or (response.status == 200 and describe_other_content(_head(to))):
            return "missing"
        if response.status != 200:
            raise UpstreamError(f"{self._url}/{path} answered {response.status}")
        return OtherFile(
            to,
            UpstreamFile(
                name=path.rpartition("/")[2],
                etag=response.etag,
                last_modified=response.last_modified,
                sha256=response.sha256,
                size_bytes=response.size_bytes,
            ),
        )

    async def has_subdir(self, subdir: str) -> bool | None:
        """Whether the upstream has an index for the subdir; None when it could not be asked.

        Only heads of answers are read. What needs a sign-in or is a page for people is not there.
        """
        is_certain = True
        for name in (REPODATA, SHARD_INDEX, MONOLITHS[0]):
            try:
                async with self._stream(f"{subdir}/{name}", {}) as stream:
                    if stream.status == 200:
                        head = await anext(aiter(stream.chunks), b"")
                        if not describe_other_content(head):
                            return True
                    is_certain &= stream.status < 500 and stream.status not in (408, 425, 429)
            except UpstreamError:
                is_certain = False
        return False if is_certain else None

    async def find_newer_json(self, subdir: str, last_modified: str | None) -> Newer | None:
        """How much newer the subdir's repodata.json is than a file of that date; None when it is not, or nobody knows.

        Only the head of the answer is read.
        """
        than = _instant(last_modified)
        if than is None or last_modified is None:
            return None
        try:
            async with self._stream(f"{subdir}/{REPODATA}", {"If-Modified-Since": last_modified}) as stream:
                at = _instant(stream.headers.get("last-modified")) if stream.status == 200 else None
                length = stream.headers.get("content-length", "")
        except UpstreamError:
            return None
        if at is None or at <= than:
            return None
        return Newer((at - than).total_seconds(), int(length) if length.isdigit() else 0)

    def _stream(self, path: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Stream]:
        url, basic = self._locate(path)
        return self._outbound.stream(
            url, max_bytes=INDEX_MAX_BYTES, timeout_s=HEAD_TIMEOUT_S, basic_auth=basic, headers=headers
        )

    async def fetch_shards(
        self, subdir: str, base: str, wanted: Mapping[str, bytes], progress: OnProgress, *, keep: bool = False
    ) -> dict[str, bytes]:
        """The named shards' compressed bytes by name, each verified against its hash. `base` may be absolute (CEP 16).

        With `keep`, asking for them again makes no request.

        Raises:
            DigestMismatchError: A shard is not what the index promised.
            UpstreamError: A shard could not be fetched.
        """
        limit = asyncio.Semaphore(SHARDS_AT_ONCE)
        if base and not base.endswith("/"):
            base += "/"  # older rattler left it out, and meant it
        is_elsewhere = "://" in base or base.startswith("/")
        folder = urljoin(f"{self._url}/{subdir}/", base) if is_elsewhere else f"{subdir}/{base.removeprefix('./')}"
        shards = {name: self._kept_shards[key] for name, key in wanted.items() if key in self._kept_shards}

        async def fetch(name: str, digest: bytes) -> None:
            async with limit:
                path = f"{folder}{digest.hex()}.msgpack.zst"
                response = await self._get(path, max_bytes=SHARD_MAX_BYTES, timeout_s=SHARD_TIMEOUT_S)
                if response.status != 200:
                    raise UpstreamError(f"{response.url} answered {response.status}")
                if response.sha256 != digest.hex():
                    if wrong := describe_other_content(response.body):
                        raise NotAnIndexError(f"{response.url} is {wrong}, not the shard of {name}")
                    raise DigestMismatchError(
                        f"{response.url}, the shard of {name}", expected=digest.hex(), actual=response.sha256
                    )
                shards[name] = response.body
                progress(f"download {subdir} shards", len(shards), len(wanted))

        try:
            async with asyncio.TaskGroup() as group:
                for name, digest in wanted.items():
                    if name not in shards:
                        group.create_task(fetch(name, digest))
        except* UpstreamError as failed:
            raise _first_of(failed) from None
        if keep:
            self._kept_shards |= {wanted[name]: data for name, data in shards.items()}
        return shards


def _first_of(failed: BaseExceptionGroup[Any]) -> BaseException:
    first = failed.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _instant(text: str | None) -> datetime | None:
    """The instant of an HTTP date; None of anything else."""
    try:
        at = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
