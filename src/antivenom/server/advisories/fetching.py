"""Get a feed's parts: the file, what changed since (OSV buckets), page after page (NVD). Network only, no database.

A feed comes in parts; each is stored in its own transaction together with the cursor from which to go on. So an
interruption loses at most one part, and never leaves half of one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec
from msgspec.structs import replace

from antivenom.core.errors import InvalidInputError, UpstreamError
from antivenom.core.feeds.entry import ID, SetAside, instant
from antivenom.server.adapters.http import OutboundClient
from antivenom.server.adapters.http_answers import Response
from antivenom.server.advisories.feed_state import FeedCursor
from antivenom.server.advisories.locations import Location
from antivenom.server.db.schedule import CLOCK_TOLERANCE

FILE_MAX_BYTES = 4 * 2**30  # packed
FILE_TIMEOUT_S = 3600.0
LIST_MAX_BYTES = 256 * 2**20  # modified_id.csv of every ecosystem has 40 MB
ENTRY_MAX_BYTES = 16 * 2**20
ENTRY_TIMEOUT_S = 60.0
ENTRIES_AT_ONCE = 8
INCREMENT_PART = 500  # entries stored in one transaction
INCREMENT_MAX = 5_000  # more changed entries than this and the whole archive is the cheaper way
WHOLE_EVERY = timedelta(days=7)  # increments do not show what disappeared; the whole archive does
NVD_PAGE = 2_000  # the API's maximum
NVD_PAGE_MAX_BYTES = 256 * 2**20
NVD_WINDOW = timedelta(days=120)  # the API's maximum for lastModStartDate to lastModEndDate
NVD_PAUSE_S = 6.0  # what NVD asks of clients without a key; other hosts are not slowed
NVD_HOST = "nvd.nist.gov"

Progress = Callable[[str, int, int], None]
"""(phase, done, total); a total of 0 is unknown."""


class _Validators(TypedDict):
    """What makes the next request for a file conditional."""

    etag: str | None
    last_modified: str | None
    sha256: str | None


@dataclass(slots=True)
class Part:
    """One fetched piece. `cursor` is stored with it; `is_snapshot`: it is the whole feed."""

    path: Path
    cursor: FeedCursor
    is_snapshot: bool = True
    may_be_empty: bool = False
    set_aside: list[SetAside] = field(default_factory=list)


class Fetcher:
    """Fetches one feed's parts into a folder, each when the one before was stored."""

    def __init__(
        self,
        outbound: OutboundClient,
        kind: str,
        location: Location,
        cursor: FeedCursor,
        folder: Path,
        now: datetime,
        progress: Progress,
    ) -> None:
        self._outbound = outbound
        self._kind = kind
        self._location = location
        self._url, self._basic_auth = location.request
        self._cursor = cursor
        self._folder = folder
        self._now = now
        self._progress = progress
        self.unchanged = ""  # why there were no parts

    async def parts(self) -> AsyncGenerator[Part, None]:
        """The parts that are new since the cursor; none when nothing changed.

        Raises:
            UpstreamError: The feed could not be had.
            InvalidInputError: It is not there, or not what it should be.
        """
        if self._location.is_path:
            source = self._local_parts()
        elif self._kind == "osv" and (base := bucket_of(self._url)):
            source = self._bucket_parts(base)
        elif self._kind == "nvd" and is_api(self._url):
            source = self._api_parts()
        else:
            source = self._file_parts(self._url, self._cursor, FeedCursor())
        async for part in source:
            yield part

    # -- a path on this machine -------------------------------------------------------------------------

    async def _local_parts(self) -> AsyncGenerator[Part, None]:
        path = Path(self._location.text)
        self._progress("look at the files", 0, 0)
        seen = await asyncio.to_thread(fingerprint, path)
        if seen == self._cursor.fingerprint:
            self.unchanged = "the file is as it was"
            return
        yield Part(path, FeedCursor(fingerprint=seen))

    # -- one file over http -----------------------------------------------------------------------------

    async def _file_parts(self, url: str, known: FeedCursor, cursor: FeedCursor) -> AsyncGenerator[Part, None]:
        """The file as one part, unless it is the `known` one; `cursor` is stored with it, and its validators."""
        to = self._folder / (Path(urlsplit(url).path).name or "feed")
        response = await self._get(
            url,
            max_bytes=FILE_MAX_BYTES,
            timeout_s=FILE_TIMEOUT_S,
            etag=known.etag,
            last_modified=known.last_modified,
            to=to,
            on_progress=lambda done, total: self._progress("download", done, total or 0),
        )
        if response.status == 304:
            self.unchanged = "304 Not Modified"
            return
        if response.status == 200 and response.sha256 == known.sha256:
            self.unchanged = "the same bytes as before"
            return
        self._check(response)
        yield Part(to, replace(cursor, **_validators(response)))

    async def _get(self, url: str, **options: Any) -> Response:
        return await self._outbound.get(url, basic_auth=self._basic_auth, **options)

    def _check(self, response: Response) -> None:
        if response.status == 200:
            return
        is_refused = response.status in (401, 403)
        raise UpstreamError(
            f"{response.url} answered {response.status}",
            permanent=response.status in (401, 403, 404, 410),
            hint="give credentials in the URL" if is_refused else "check the address; it will be tried again",
        )

    # -- an OSV bucket ----------------------------------------------------------------------------------

    async def _bucket_parts(self, base: str) -> AsyncGenerator[Part, None]:
        """Changed entries by `modified_id.csv`; the whole archive at first, weekly, and when very much changed."""
        listing = await self._get(
            f"{base}/modified_id.csv",
            max_bytes=LIST_MAX_BYTES,
            timeout_s=FILE_TIMEOUT_S,
            etag=self._cursor.list_etag,
            last_modified=self._cursor.list_last_modified,
        )
        through, whole_at = instant(self._cursor.through or ""), instant(self._cursor.whole_at or "")
        is_whole_due = through is None or whole_at is None or self._is_past(whole_at, WHOLE_EVERY)
        if listing.status == 304 and not is_whole_due:
            self.unchanged = "modified_id.csv: 304 Not Modified"
            return
        rows = parse_modified_ids(listing.body) if listing.status == 200 else []
        changed = [row for row in rows if through is None or row[0] >= through]
        if is_whole_due or listing.status != 200 or len(changed) > INCREMENT_MAX:
            newest = max((at for at, _ in rows), default=None)
            cursor = FeedCursor(whole_at=self._now.isoformat(), through=None if newest is None else newest.isoformat())
            known = FeedCursor() if is_whole_due else self._cursor
            whole = self._file_parts(f"{base}/all.zip", known, _with_listing(cursor, listing))
            async for part in self._whole_or_file(whole, may_be_file=listing.status != 200 and base == self._url):
                yield part
            return
        async for part in self._increment_parts(base, sorted(changed), listing):
            yield part

    async def _whole_or_file(
        self, whole: AsyncGenerator[Part, None], *, may_be_file: bool
    ) -> AsyncGenerator[Part, None]:
        """The archive of a bucket; of an address without a file name at which there is no bucket, its own file."""
        try:
            async for part in whole:
                yield part
        except UpstreamError as error:
            if not may_be_file or not error.permanent:
                raise
            async for part in self._file_parts(self._url, self._cursor, FeedCursor()):
                yield part

    def _is_past(self, at: datetime, age: timedelta) -> bool:
        """Whether an instant is longer ago than that, or lies in the future: the clock was set back since."""
        return self._now - at > age or at - self._now > CLOCK_TOLERANCE

    async def _increment_parts(
        self, base: str, changed: list[tuple[datetime, str]], listing: Response
    ) -> AsyncGenerator[Part, None]:
        """Oldest first, so that the cursor may stop after any part."""
        for start in range(0, len(changed), INCREMENT_PART):
            chosen = changed[start : start + INCREMENT_PART]
            is_last = start + INCREMENT_PART >= len(changed)
            folder = self._folder / f"increment-{start}"
            folder.mkdir()
            missing = await self._fetch_entries(base, [entry for _, entry in chosen], folder, start, len(changed))
            cursor = replace(self._cursor, through=chosen[-1][0].isoformat())
            cursor = _with_listing(cursor, listing) if is_last else cursor
            yield Part(folder, cursor, is_snapshot=False, may_be_empty=True, set_aside=missing)
            await asyncio.to_thread(shutil.rmtree, folder, True)

    async def _fetch_entries(self, base: str, ids: list[str], folder: Path, done: int, total: int) -> list[SetAside]:
        limit = asyncio.Semaphore(ENTRIES_AT_ONCE)
        missing: list[SetAside] = []
        fetched = 0

        async def fetch(number: int, entry: str) -> None:
            nonlocal fetched
            async with limit:
                url = f"{base}/{quote(entry)}.json"
                response = await self._get(url, max_bytes=ENTRY_MAX_BYTES, timeout_s=ENTRY_TIMEOUT_S)
            if response.status in (404, 410):
                missing.append(SetAside(entry, "modified_id.csv names it, but it is not there", entry))
            else:
                self._check(response)
                await asyncio.to_thread((folder / f"{number:06}.json").write_bytes, response.body)
            fetched += 1
            self._progress("download entries", done + fetched, total)

        async with asyncio.TaskGroup() as group:
            for number, entry in enumerate(ids):
                group.create_task(fetch(number, entry))
        return missing

    # -- the NVD API ------------------------------------------------------------------------------------

    async def _api_parts(self) -> AsyncGenerator[Part, None]:
        """Every page once, then what was modified since, in windows that the API accepts."""
        through = instant(self._cursor.through or "")
        if through is not None and through - self._now > CLOCK_TOLERANCE:
            self._cursor = FeedCursor()  # a clock that ran ahead cannot know what was modified since
        cursor = self._cursor
        if not cursor.through:
            cursor = replace(cursor, started=cursor.started or self._now.isoformat())
            async for part in self._pages({}, cursor):
                yield part
            cursor = FeedCursor(through=cursor.started)
        start = instant(cursor.through or "") or self._now
        while start < self._now:
            end = min(start + NVD_WINDOW, self._now)
            window = {"lastModStartDate": _nvd_time(start), "lastModEndDate": _nvd_time(end)}
            async for part in self._pages(window, FeedCursor(through=start.isoformat(), until=end.isoformat())):
                yield part
            start = end

    async def _pages(self, query: dict[str, str], cursor: FeedCursor) -> AsyncGenerator[Part, None]:
        """Pages from where an interrupted sync stopped; the last one moves the cursor on."""
        start = self._cursor.start_index if self._cursor.through == cursor.through else 0
        if start and self._cursor.until:
            query = {**query, "lastModEndDate": _nvd_time(instant(self._cursor.until) or self._now)}
            cursor = replace(cursor, until=self._cursor.until)
        done = FeedCursor(through=cursor.until or cursor.started)
        while True:
            url = _with_query(self._url, {**query, "resultsPerPage": str(NVD_PAGE), "startIndex": str(start)})
            response = await self._get(url, max_bytes=NVD_PAGE_MAX_BYTES, timeout_s=FILE_TIMEOUT_S)
            self._check(response)
            path = self._folder / "page.json"
            await asyncio.to_thread(path.write_bytes, response.body)
            count, total = page_counts(response.body, self._location.text)
            start += count
            is_last = start >= total or count == 0
            self._progress("download pages", start, total)
            part_cursor = done if is_last else replace(cursor, start_index=start)
            yield Part(path, part_cursor, is_snapshot=False, may_be_empty=total == 0 or not count)
            if is_last:
                self._cursor = done
                return
            if (urlsplit(url).hostname or "").endswith(NVD_HOST):
                await asyncio.sleep(NVD_PAUSE_S)


def bucket_of(url: str) -> str:
    """The folder of an OSV bucket's URL (all.zip, modified_id.csv or the folder itself); "" for a single file."""
    parts = urlsplit(url)
    folder, _, last = parts.path.rpartition("/")
    if parts.query:
        return ""
    if last in ("all.zip", "modified_id.csv", ""):
        return urlunsplit((parts.scheme, parts.netloc, folder, "", ""))
    return "" if "." in last else url


def is_api(url: str) -> bool:
    """Whether a URL is NVD's API, not one of its files: its path ends in the API's version or in no file name."""
    last = urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1]
    return last == "2.0" or "." not in last


def fingerprint(path: Path) -> str:
    """What changes when a file, or anything in a directory, changes: names, sizes and times, hashed.

    Raises:
        InvalidInputError: It is not there or cannot be read.
    """
    try:
        found = path.stat()
        if not path.is_dir():
            return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"
        digest = hashlib.sha256()
        for folder, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                stat = Path(folder, name).lstat()
                digest.update(
                    f"{folder}/{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape")
                )
        return digest.hexdigest()
    except FileNotFoundError:
        raise InvalidInputError(f"there is no file {path}", hint="check the path on the server's machine") from None
    except OSError as error:
        raise InvalidInputError(
            f"cannot read {path}: {error.strerror or error}", hint="may the server's user read it?"
        ) from None


def parse_modified_ids(table: bytes) -> list[tuple[datetime, str]]:
    """(modified, id) of every usable row of `modified_id.csv`; the id may begin with its ecosystem's folder.

    Source: OSV "Data dumps": rows `<RFC 3339 date>,<id>`, newest first.
    """
    found: list[tuple[datetime, str]] = []
    for line in table.decode("utf-8", "replace").splitlines():
        date, _, entry = line.strip().partition(",")
        at = instant(date)
        if at is not None and ID.fullmatch(entry) and ".." not in entry:
            found.append((at, entry))
    return found


def page_counts(body: bytes, name: str) -> tuple[int, int]:
    """(entries on the page, entries in all) of an NVD API page.

    Raises:
        InvalidInputError: It is no such page.
    """
    try:
        page = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        entries = msgspec.json.decode(page["vulnerabilities"], type=list[msgspec.Raw])
        total = msgspec.json.decode(page["totalResults"], type=int)
    except (msgspec.DecodeError, KeyError, RecursionError, UnicodeDecodeError):
        raise InvalidInputError(
            f"{name} does not answer like the NVD API 2.0", hint="for a file, give a URL that ends in its name"
        ) from None
    return len(entries), total


def _validators(response: Response) -> _Validators:
    return {
        "etag": response.etag,
        "last_modified": response.last_modified,
        "sha256": response.sha256,
    }


def _with_listing(cursor: FeedCursor, listing: Response) -> FeedCursor:
    """The cursor with the validators of a listing that was answered whole."""
    if listing.status != 200:
        return cursor
    found = _validators(listing)
    return replace(
        cursor, list_etag=found["etag"], list_last_modified=found["last_modified"], list_sha256=found["sha256"]
    )


def _with_query(url: str, query: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    merged = {**dict(parse_qsl(parts.query)), **query}
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(merged), ""))


def _nvd_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
