"""Fetching an upstream's index: sharded or whole, conditional, bounded, verified. No database, no decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from antivenom.core.errors import DigestMismatchError, UpstreamError
from antivenom.server.adapters.http import OutboundClient, Response
from antivenom.server.mirrors.subdir_state import SubdirState
from antivenom.server.mirrors.upstream_url import address_for_request, redact

INDEX_MAX_BYTES = 2_000_000_000  # a compressed index beyond this is refused (conda-forge linux-64: 60 MB)
SHARD_MAX_BYTES = 64_000_000
SHARD_INDEX_MAX_BYTES = 128_000_000
INDEX_TIMEOUT_S = 1800.0
SHARD_TIMEOUT_S = 60.0
SHARDS_AT_ONCE = 24
SHARDS_BY_MONOLITH = 500  # for more changed names, reading the whole index is cheaper
STANDARD_SUBDIRS = ("noarch", "linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")

SHARD_INDEX = "repodata_shards.msgpack.zst"
MONOLITHS = ("repodata.json.zst", "repodata.json")

OnProgress = Callable[[str, int, int], None]
"""(phase, done, total): bytes or shards; a total of 0 is unknown."""


@dataclass(slots=True)
class IndexFile:
    """One downloaded index file. `state` says which it is: what makes the next request conditional."""

    path: Path
    kind: Literal["shards", "zst", "json"]
    state: SubdirState


class UpstreamChannel:
    """One upstream channel, asked file by file through the guarded client."""

    def __init__(self, outbound: OutboundClient, url: str, auth: str, folder: Path) -> None:
        self._outbound = outbound
        self._url = url
        self._auth = auth
        self._folder = folder

    async def _get(self, path: str, **options: Any) -> Response:
        """The answer at a path below the channel or at an absolute URL. Another host gets no credentials."""
        url = path if "://" in path else f"{address_for_request(self._url, self._auth)}/{path}"
        is_own = urlsplit(url).netloc == urlsplit(self._url).netloc
        basic = self._auth.removeprefix("basic:").partition(":") if is_own and self._auth.startswith("basic:") else None
        return await self._outbound.get(url, basic_auth=(basic[0], basic[2]) if basic else None, **options)

    async def fetch_index(
        self, subdir: str, state: SubdirState, progress: OnProgress
    ) -> IndexFile | Literal["missing"] | None:
        """The subdir's index: sharded if the upstream has it, else whole; None when it has not changed.

        Raises:
            UpstreamError: The upstream failed; what was published before stays.
        """
        found = await self._fetch_file(subdir, SHARD_INDEX, "shards", state, progress)
        if found != "missing":
            return found
        return await self.fetch_monolith(subdir, state, progress)

    async def fetch_monolith(
        self, subdir: str, state: SubdirState, progress: OnProgress
    ) -> IndexFile | Literal["missing"] | None:
        """The subdir's whole index, compressed if the upstream has that."""
        for name in MONOLITHS:
            kind: Literal["zst", "json"] = "zst" if name.endswith(".zst") else "json"
            found = await self._fetch_file(subdir, name, kind, state, progress)
            if found != "missing":
                return found
        return "missing"

    async def _fetch_file(
        self,
        subdir: str,
        name: str,
        kind: Literal["shards", "zst", "json"],
        state: SubdirState,
        progress: OnProgress,
    ) -> IndexFile | Literal["missing"] | None:
        known = state if state.file == name else SubdirState()
        to = self._folder / f"{subdir}-{name}"
        response = await self._get(
            f"{subdir}/{name}",
            max_bytes=SHARD_INDEX_MAX_BYTES if kind == "shards" else INDEX_MAX_BYTES,
            timeout_s=INDEX_TIMEOUT_S,
            etag=known.etag,
            last_modified=known.last_modified,
            to=to,
            on_progress=lambda done, total: progress(f"download {subdir}/{name}", done, total or 0),
        )
        if response.status == 304 or (response.status == 200 and response.sha256 == known.sha256):
            return None
        if response.status in (404, 410) or (response.status == 403 and kind != "json"):
            return "missing"
        if response.status != 200:
            raise UpstreamError(
                f"{redact(self._url)}/{subdir}/{name} answered {response.status}",
                permanent=response.status in (401, 403),
                hint="give credentials in the upstream's URL"
                if response.status in (401, 403)
                else "it will be tried again",
            )
        return IndexFile(
            to,
            kind,
            SubdirState(
                file=name,
                etag=response.headers.get("etag"),
                last_modified=response.headers.get("last-modified"),
                sha256=response.sha256,
            ),
        )

    async def fetch_shards(
        self, subdir: str, base: str, wanted: Mapping[str, bytes], progress: OnProgress
    ) -> dict[str, bytes]:
        """The named shards' compressed bytes by name, each verified against its hash. `base` may be absolute (CEP 16).

        Raises:
            DigestMismatchError: A shard is not what the index promised.
            UpstreamError: A shard could not be fetched.
        """
        limit = asyncio.Semaphore(SHARDS_AT_ONCE)
        is_elsewhere = "://" in base or base.startswith("/")
        folder = urljoin(f"{self._url}/{subdir}/", base) if is_elsewhere else f"{subdir}/{base.removeprefix('./')}"
        shards: dict[str, bytes] = {}

        async def fetch(name: str, digest: bytes) -> None:
            async with limit:
                path = f"{folder}{digest.hex()}.msgpack.zst"
                response = await self._get(path, max_bytes=SHARD_MAX_BYTES, timeout_s=SHARD_TIMEOUT_S)
                if response.status != 200:
                    raise UpstreamError(f"{redact(self._url)}/{path} answered {response.status}")
                if response.sha256 != digest.hex():
                    raise DigestMismatchError(f"shard of {name}", expected=digest.hex(), actual=response.sha256)
                shards[name] = response.body
                progress(f"download {subdir} shards", len(shards), len(wanted))

        async with asyncio.TaskGroup() as group:
            for name, digest in wanted.items():
                group.create_task(fetch(name, digest))
        return shards
