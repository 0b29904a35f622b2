"""The advisory file that this server publishes: what it is, who may read it, its keys."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from antivenom.core.errors import NotFoundError
from antivenom.server.advisory_files import queries
from antivenom.server.advisory_files.models import AdvisoryFile
from antivenom.server.advisory_files.signing import add_key, rotations_of, sign, signing_keys
from antivenom.server.context import Context
from antivenom.server.events.jobs import defer
from antivenom.server.events.service import record
from antivenom.server.members.authorization import require
from antivenom_client.manifest import Blob, Delta, Manifest, fingerprint

SUBJECT = "advisory-file"
MAKE = "findings.make_advisory_file"
PREFIX = "knowledge/"
FILE_SUFFIX, DELTA_SUFFIX = ".db.gz", ".delta.gz"


class MadeFile(msgspec.Struct, frozen=True):
    """A file that was made and stored, and the delta from the one before (`delta_key` "" for none)."""

    made_from: str
    file_format: int
    content: str
    blob_key: str
    size: int
    unpacked_size: int
    unpacked_sha256: str
    took_s: float
    delta_key: str = ""
    delta_size: int = 0
    delta_unpacked_size: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """The advisory file that is served now."""

    made_at: datetime
    content: str
    size: int
    unpacked_size: int
    deltas: int
    sequence: int


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A key that signs, or did until another followed it."""

    fingerprint: str
    since: datetime


async def describe(ctx: Context) -> Published | None:
    """The advisory file that is served now; None before the first is made."""
    require(ctx, "advisories:read", subject=SUBJECT)
    files = await queries.list_files(ctx.session)
    if not files:
        return None
    newest = files[0]
    return Published(
        newest.made_at,
        newest.content,
        newest.size,
        newest.unpacked_size,
        len(chain_of(files)),
        newest.sequence,
    )


async def show_keys(ctx: Context) -> list[KeyFacts]:
    """The keys, from the first to the one that signs."""
    require(ctx, "advisories:read", subject=SUBJECT)
    return [KeyFacts(fingerprint(key.public), key.created_at) for key in await signing_keys(ctx)]


async def rotate_key(ctx: Context) -> str:
    """Sign with a new key from now on, which the old one vouches for; its fingerprint."""
    require(ctx, "settings:manage", subject=SUBJECT)
    keys = await signing_keys(ctx)
    fresh = await add_key(ctx, keys[-1])
    old, new = fingerprint(keys[-1].public), fingerprint(fresh.public)
    await record(ctx, "advisory_file.key_rotated", subject=SUBJECT, old=old, new=new)
    await sign_again(ctx)
    return new


# -- reading -----------------------------------------------------------------------------------------------------------


def require_reader(ctx: Context) -> None:
    """Return if the actor may have the advisory file: everybody where the setting says so.

    Raises:
        UnauthenticatedError: It needs a sign-in.
        ForbiddenError: The actor's role does not suffice.
    """
    if not ctx.resources.settings.advisory_file_public:
        require(ctx, "advisories:read", subject=SUBJECT)


async def read_manifest(ctx: Context) -> bytes:
    """The signed manifest.

    Raises:
        NotFoundError: No file was made yet.
    """
    require_reader(ctx)
    newest = await queries.newest_file(ctx.session)
    if newest is None or not newest.document:
        raise NotFoundError("this server has not made an advisory file yet", hint="add a feed, then wait a minute")
    return newest.document


async def find_blob(ctx: Context, name: str) -> str:
    """The blob of a file or delta that a manifest names.

    Raises:
        NotFoundError: There is none: a newer file may have taken its place.
    """
    require_reader(ctx)
    digest = name.removesuffix(FILE_SUFFIX).removesuffix(DELTA_SUFFIX)
    key = PREFIX + digest
    if digest == name or not await queries.find_blob(ctx.session, key):
        raise NotFoundError("there is no such advisory file", hint="read the manifest again: a newer file was made")
    return key


# -- publishing --------------------------------------------------------------------------------------------------------


async def publish(ctx: Context, made: MadeFile, made_at: datetime) -> None:
    """Serve a file that was made from now on; of older ones their deltas are left."""
    newest = await queries.newest_file(ctx.session)
    row = AdvisoryFile(
        **msgspec.to_builtins(made),
        sequence=_next_sequence(newest, ctx.now),
        made_at=made_at,
        document=b"",
    )
    ctx.session.add(row)
    await ctx.session.flush()
    files = await queries.list_files(ctx.session)
    for older in files[queries.FILES_KEPT :]:
        older.blob_key = ""
    await queries.forget_files(ctx.session, [older.id for older in files[queries.DELTAS_KEPT :]])
    await sign_again(ctx, is_new=True)


async def sign_again(ctx: Context, *, is_new: bool = False) -> None:
    """Sign the manifest of the newest file again, as what it offers or the key changed."""
    files = await queries.list_files(ctx.session)
    if not files or not files[0].blob_key:
        return
    keys = await signing_keys(ctx)
    newest = files[0]
    if not is_new:
        newest.sequence = _next_sequence(newest, ctx.now)
    chain = chain_of(files)
    for row in files[1:]:
        row.document = b""
        if row not in chain:
            row.delta_key = ""
    manifest = Manifest(
        sequence=newest.sequence,
        made_at=newest.made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        file_format=newest.file_format,
        content=newest.content,
        file=_blob(newest.blob_key, FILE_SUFFIX, newest.size, newest.unpacked_size),
        unpacked_sha256=newest.unpacked_sha256,
        key=keys[-1].public,
        deltas=_deltas(files, chain),
        rotations=rotations_of(keys),
    )
    newest.document = sign(manifest, keys[-1])


def chain_of(files: Sequence[AdvisoryFile]) -> list[AdvisoryFile]:
    """The rows whose deltas lead to the newest file one after another, the newest first.

    Ends where one is missing, and where all together are as large as the file itself: nobody would fetch more.
    """
    chain: list[AdvisoryFile] = []
    total = 0
    for row, _before in itertools.pairwise(files):
        total += row.delta_size
        if not row.delta_key or total > files[0].size:
            break
        chain.append(row)
    return chain


def _deltas(files: Sequence[AdvisoryFile], chain: Sequence[AdvisoryFile]) -> tuple[Delta, ...]:
    """The deltas of a chain, the oldest first."""
    pairs = list(zip(chain, files[1:], strict=False))
    return tuple(
        Delta(
            before.content,
            row.content,
            _blob(row.delta_key, DELTA_SUFFIX, row.delta_size, row.delta_unpacked_size),
        )
        for row, before in reversed(pairs)
    )


def _blob(key: str, suffix: str, size: int, unpacked_size: int) -> Blob:
    digest = key.removeprefix(PREFIX)
    return Blob(f"files/{digest}{suffix}", digest, size, unpacked_size)


def _next_sequence(newest: AdvisoryFile | None, now: datetime) -> int:
    """Higher than all before, and by the clock: after a restore from a backup it still is."""
    return max(newest.sequence + 1 if newest else 0, int(now.timestamp()))


async def make_again(ctx: Context, lost: Iterable[str]) -> None:
    """Make what was lost of advisory files again."""
    await queries.forget_blobs(ctx.session, lost)
    await sign_again(ctx)
    await request_file(ctx)


async def request_file(ctx: Context) -> None:
    """Ask for the advisory file to be made of what is compiled, if it is not."""
    await defer(ctx, MAKE, lock=MAKE, queueing_lock=MAKE)
