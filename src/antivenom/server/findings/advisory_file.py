"""Makes the advisory file of what was compiled, and the delta from the one before. What takes CPU runs in a child."""

from __future__ import annotations

import gzip
import hashlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from antivenom import __version__
from antivenom.core import advisory_file
from antivenom.core.advisory_file import About, FeedDate
from antivenom.core.errors import LostBlobError
from antivenom.core.matching.match import MatchIndex
from antivenom.knowledge import built_in
from antivenom.server.adapters.blobs import BlobStore
from antivenom.server.adapters.cpu import without_cycles
from antivenom.server.adapters.scratch import scratch_folder
from antivenom.server.advisories import queries as advisories
from antivenom.server.advisory_files import service
from antivenom.server.advisory_files.models import AdvisoryFile
from antivenom.server.advisory_files.queries import newest_file
from antivenom.server.advisory_files.service import PREFIX, MadeFile
from antivenom.server.context import SYSTEM, Context, Resources
from antivenom.server.db.blob_guard import CheckHeld, blobs_in_use
from antivenom.server.findings import queries
from antivenom_client.advisory_file import FORMAT
from antivenom_client.content import content_digest
from antivenom_client.delta import DeltaError, apply_deltas, write_delta

COPY_BYTES = 1 << 20
PACKED_LEVEL = 6
LONG_S = 5.0  # who needs longer than that for a file
REST = 10  # does something else for so many times as long: some servers learn something every minute


async def make_newest(resources: Resources) -> bool:
    """Make the advisory file of the newest compiled knowledge, unless that was done; whether one was made."""
    async with blobs_in_use(resources.lock_engine) as check_held:
        return await _make_newest(resources, check_held)


async def _make_newest(resources: Resources, check_held: CheckHeld) -> bool:
    async with resources.context(SYSTEM) as ctx:
        knowledge = await queries.newest_compiled(ctx.session)
        last = await newest_file(ctx.session)
        if knowledge is None or knowledge.index_key is None:
            return False
        index_key = knowledge.index_key
        made_from = f"{index_key} {FORMAT} {__version__}"
        if last is not None and (last.made_from == made_from or _is_resting(last, ctx)):
            return False
        about, made_at = await _describe(ctx), ctx.now.replace(microsecond=0)
    before = (last.blob_key, last.content) if last is not None and last.blob_key else ("", "")
    with scratch_folder(resources.settings.scratch, "advisory-file") as folder:
        made = await resources.cpu.run(
            make_file,
            resources.blobs.url,
            index_key,
            made_from,
            about._replace(made_at=_text(made_at)),
            str(folder),
            *before,
        )
    async with resources.context(SYSTEM) as ctx:
        await check_held(ctx.session)
        await service.publish(ctx, made, made_at)
    return True


def _is_resting(last: AdvisoryFile, ctx: Context) -> bool:
    """Whether a file was made just now; the clock asks again. What was lost is made at once."""
    age = ctx.now - last.made_at
    rest = timedelta(seconds=last.took_s * REST if last.took_s > LONG_S else 0)
    return bool(last.made_from) and timedelta() <= age < rest


async def _describe(ctx: Context) -> About:
    feeds = await advisories.list_all_feeds(ctx.session)
    return About(
        "",
        __version__,
        tuple(
            FeedDate(f"{feed.kind} {feed.id}", feed.kind, _text(feed.last_success_at), feed.counts.entries or 0)
            for feed in feeds
            if feed.last_success_at is not None
        ),
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_file(
    store_url: str, index_key: str, made_from: str, about: About, folder: str, before_key: str, before: str
) -> MadeFile:
    """Make and store the file of an index, and the delta from the file before it. Runs in a child process."""
    began, store, place = time.monotonic(), BlobStore.open(store_url), Path(folder)
    new, packed = place / "new.db", place / "new.db.gz"
    with without_cycles():
        advisory_file.write(MatchIndex.load(store.get_sync(index_key), built_in()), new, about=about)
    content, unpacked_sha256 = content_digest(new), _sha256(new)
    with new.open("rb") as source, packed.open("wb") as file, gzip.GzipFile("", "wb", PACKED_LEVEL, file, 0) as to:
        while chunk := source.read(COPY_BYTES):
            to.write(chunk)
    size = packed.stat().st_size
    delta_key, delta_size, delta_unpacked = _make_delta(store, place, new, content, before_key, before)
    return MadeFile(
        made_from=made_from,
        file_format=FORMAT,
        content=content,
        blob_key=_store(store, packed),
        size=size,
        unpacked_size=new.stat().st_size,
        unpacked_sha256=unpacked_sha256,
        took_s=time.monotonic() - began,
        delta_key=delta_key,
        delta_size=delta_size,
        delta_unpacked_size=delta_unpacked,
    )


def _make_delta(
    store: BlobStore, place: Path, new: Path, content: str, before_key: str, before: str
) -> tuple[str, int, int]:
    """(key, size, unpacked size) of the delta; no key when there is nothing to go on from, or it would not be right."""
    if not before_key or before == content:
        return "", 0, 0
    old, delta = place / "old.db", place / "new.delta.gz"
    try:
        old.write_bytes(gzip.decompress(store.get_sync(before_key)))
        write_delta(old, new, delta, before=before, after=content)
        apply_deltas(old, [(delta, before, content)])
        if content_digest(old) != content:
            return "", 0, 0
    except (LostBlobError, DeltaError):
        return "", 0, 0
    with gzip.open(delta) as unpacked:
        unpacked_size = sum(map(len, iter(lambda: unpacked.read(COPY_BYTES), b"")))
    size = delta.stat().st_size
    return _store(store, delta), size, unpacked_size


def _store(store: BlobStore, path: Path) -> str:
    key = PREFIX + _sha256(path)
    store.put_file_sync(key, path, move=True)
    return key


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(COPY_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
