"""Keeps an advisory file current: `antivenom feed pull`.

Nothing is used before it is verified, and the file that is there stays in use until a better one takes its place at
once. So whatever happens, the old one is still good. Beside the file lie its state (`.state.json`: where it came from,
which keys are trusted), a lock, and what an interrupted download left.

Source: docs/reference/advisory-file.md; docs/adr/0026.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from antivenom_client.advisory_file import KNOWN_FORMATS, AdvisoryFile, UnusableFile
from antivenom_client.content import RowError, content_digest
from antivenom_client.delta import DeltaError, apply_deltas
from antivenom_client.ed25519 import KEY_BYTES
from antivenom_client.errors import ClientError
from antivenom_client.fetching import (
    DiskError,
    FetchError,
    Limits,
    Progress,
    check_url,
    disk_error,
    download,
    get_small,
)
from antivenom_client.manifest import (
    MANIFEST_MAX_BYTES,
    Blob,
    Delta,
    Manifest,
    ManifestError,
    fingerprint,
    has_rotated,
    read_document,
)

PLACE = "/advisories/manifest.json"
SIDECAR = ".manifest.json"
SPARE_BYTES = 16 << 20
LOCK_PATIENCE_S = 1_800.0
DELTAS_WORTH = 0.7  # of the whole file's size: above it, the whole file is fetched
CHUNK_BYTES = 1 << 20

Say = Callable[[str], None]


class PullError(ClientError):
    """The file could not be brought up to date; the one that is there was not touched."""


@dataclass(frozen=True)
class Trusted:
    """What is known of one address: the key that signs there (hex), and how far its manifests had come."""

    key: str
    sequence: int


@dataclass(frozen=True)
class State:
    """What is kept beside the file. `inode`, `size` and `mtime_ns` are those of the file that has `content`."""

    url: str = ""
    etag: str = ""
    content: str = ""
    made_at: str = ""
    pulled_at: float = 0.0
    inode: int = 0
    size: int = 0
    mtime_ns: int = 0
    trusted: dict[str, Trusted] = field(default_factory=dict)


@dataclass(frozen=True)
class Pulled:
    """What a pull did: `way` is "unchanged", "deltas" or "whole"; `received` counts the bytes that came."""

    way: str
    manifest_made_at: str
    key: str  # fingerprint
    received: int = 0
    deltas: int = 0


@dataclass(frozen=True)
class Wish:
    """How to pull.

    `url`: of a server, of a manifest, or the path of an exported file; "" for the one of the last time.
    `pin`: a key's fingerprint; "" trusts the key of the first time. `may_be_older`: go back in time.
    """

    url: str = ""
    token: str = ""
    pin: str = ""
    may_be_older: bool = False
    limits: Limits = field(default_factory=Limits)
    say: Say = print
    progress: Progress | None = None


def pull(path: Path, wish: Wish, *, now: float | None = None) -> Pulled:
    """Bring the advisory file at `path` up to date.

    Raises:
        PullError: It could not be; what was there still is.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path, wish.say):
            remove_leftovers(path)
            return _pull(path, wish, time.time() if now is None else now)
    except (FetchError, ManifestError, UnusableFile) as error:
        raise PullError(error.message, error.hint) from None
    except OSError as error:
        failed = disk_error(path, error)
        raise PullError(failed.message, failed.hint) from None


def _pull(path: Path, wish: Wish, now: float) -> Pulled:
    state = read_state(path)
    url = manifest_url(wish.url or state.url)
    if not url:
        raise PullError("no server is known to pull from", "give its address once: antivenom feed pull URL")
    is_here = is_as_left(path, state)
    etag = state.etag if url == state.url and url in state.trusted and is_here and not wish.pin else ""
    answer_etag, document = _get_manifest(url, etag, wish)
    if document is None:
        write_state(path, replace(state, pulled_at=now))
        return Pulled("unchanged", state.made_at, fingerprint(bytes.fromhex(state.trusted[url].key)))
    manifest = read_document(document)
    trusted = check_trust(manifest, url, state.trusted.get(url), wish)
    if manifest.file_format not in KNOWN_FORMATS:
        known = ", ".join(map(str, KNOWN_FORMATS))
        raise PullError(
            f"the server's advisory file has format {manifest.file_format}; this antivenom knows {known}",
            "update antivenom, then pull again",
        )
    done = _bring(path, url, manifest, state.content if is_here else _content_of(path), wish)
    facts = path.stat()
    write_state(
        path,
        State(
            url=url,
            etag=answer_etag,
            content=manifest.content,
            made_at=manifest.made_at,
            pulled_at=now,
            inode=facts.st_ino,
            size=facts.st_size,
            mtime_ns=facts.st_mtime_ns,
            trusted={**state.trusted, url: trusted},
        ),
    )
    return done


def export(path: Path, wish: Wish) -> Pulled:
    """Write a server's advisory file to `path`, verified, and its manifest beside it, to be pulled from elsewhere.

    Raises:
        PullError: It could not be had; what was there still is.
    """
    try:
        return _export(path, wish)
    except (FetchError, ManifestError, UnusableFile) as error:
        raise PullError(error.message, error.hint) from None
    except OSError as error:
        failed = disk_error(path, error)
        raise PullError(failed.message, failed.hint) from None


def _export(path: Path, wish: Wish) -> Pulled:
    url, new = manifest_url(wish.url), path.with_name(f".{path.name}.new")
    _, document = _get_manifest(url, "", wish)
    manifest = read_document(document or b"")
    check_trust(manifest, url, None, wish)
    try:
        received = make_whole(new, url, manifest, wish)
        _put(new, path)
        beside = path.with_name(path.name + SIDECAR)
        new.write_bytes(document or b"")
        os.replace(new, beside)
    finally:
        new.unlink(missing_ok=True)
    return Pulled("whole", manifest.made_at, fingerprint(manifest.key), received)


def _get_manifest(url: str, etag: str, wish: Wish) -> tuple[str, bytes | None]:
    """(ETag, document) of a manifest; no document when it is the one of the last time."""
    if is_path(url):
        with Path(url).open("rb") as file:
            return "", file.read(MANIFEST_MAX_BYTES)
    answer = get_small(url, token=wish.token, max_bytes=MANIFEST_MAX_BYTES, etag=etag, limits=wish.limits)
    return answer.etag, None if answer.status == 304 else answer.body


def manifest_url(url: str) -> str:
    """The address of the manifest: a server's own is enough, as is an exported file."""
    if not url:
        return ""
    if is_path(url):
        place = Path(url).expanduser().absolute()
        return str(place if place.name.endswith(".json") else place.with_name(place.name + SIDECAR))
    check_url(url)
    return url if urllib.parse.urlsplit(url).path.endswith(".json") else url.rstrip("/") + PLACE


def is_path(url: str) -> bool:
    return "://" not in url


def check_trust(manifest: Manifest, url: str, known: Trusted | None, wish: Wish) -> Trusted:
    """What to trust at this address from now on.

    Raises:
        PullError: Another key signed than the one that is trusted, or the manifest is older than one that was seen.
    """
    seen = fingerprint(manifest.key)
    if wish.pin and wish.pin not in (seen, seen.removeprefix("SHA256:")):
        raise PullError(f"the advisory file is signed with the key {seen}, not with {wish.pin}", "nothing was changed")
    if known is None and not wish.pin:
        wish.say(f"trusting the key {seen} of {url} from now on; compare it with: antivenom admin advisory-key")
    if known is not None and known.key != manifest.key.hex() and not wish.pin:
        old = fingerprint(bytes.fromhex(known.key))
        if not has_rotated(manifest.rotations, bytes.fromhex(known.key), manifest.key):
            raise PullError(
                f"the advisory file is signed with another key than before: {seen} instead of {old}",
                f"nothing was changed; ask who runs the server, and if it is right: antivenom feed pull --key {seen}",
            )
        wish.say(f"the key {old} was replaced by {seen}, which it signed")
    if known is not None and manifest.sequence < known.sequence and not wish.may_be_older:
        raise PullError(
            f"the server offers an older advisory file (of {manifest.made_at}) than it did before",
            "nothing was changed; if it was restored from a backup: antivenom feed pull --allow-older",
        )
    return Trusted(manifest.key.hex(), manifest.sequence)


# -- the file ----------------------------------------------------------------------------------------------------------


def _bring(path: Path, url: str, manifest: Manifest, content: str, wish: Wish) -> Pulled:
    """Put the file of the manifest into place, by deltas from `content` where that is less."""
    key = fingerprint(manifest.key)
    if content == manifest.content:
        return Pulled("unchanged", manifest.made_at, key)
    new = path.with_name(f".{path.name}.new")
    try:
        deltas = () if is_path(url) or not content else manifest.deltas_from(content)
        received = sum(delta.blob.size for delta in deltas)
        if deltas and received < manifest.file.size * DELTAS_WORTH:
            try:
                _apply(path, new, url, deltas, manifest, wish)
                _put(new, path)
                return Pulled("deltas", manifest.made_at, key, received, len(deltas))
            except DiskError:
                raise
            except (DeltaError, FetchError, UnusableFile) as error:
                wish.say(f"the changes alone cannot be used ({error}); getting the whole file")
                new.unlink(missing_ok=True)
        received = make_whole(new, url, manifest, wish)
        _put(new, path)
        return Pulled("whole", manifest.made_at, key, received)
    finally:
        new.unlink(missing_ok=True)


def _put(new: Path, path: Path) -> None:
    """Let a file take its place at once, in a form that survives a power cut."""
    AdvisoryFile.open(new).close()
    with new.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(new, path)
    sync_folder(path.parent)


def _apply(path: Path, new: Path, url: str, deltas: tuple[Delta, ...], manifest: Manifest, wish: Wish) -> None:
    check_space(new.parent, path.stat().st_size + 2 * sum(delta.blob.unpacked_size for delta in deltas))
    parts = []
    try:
        for delta in deltas:  # those that came are removed even if the next one does not come
            parts.append(_fetch(new, url, delta.blob, wish))  # noqa: PERF401
        shutil.copyfile(path, new)
        apply_deltas(new, [(part, delta.before, delta.after) for part, delta in zip(parts, deltas, strict=True)])
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    if _content_of(new) != manifest.content:
        raise DeltaError("they do not make what the server signed")


def make_whole(new: Path, url: str, manifest: Manifest, wish: Wish) -> int:
    """Make the manifest's file at `new`, verified; how many bytes came.

    Raises:
        FetchError: It cannot be had, or is not what was signed.
    """
    blob = manifest.file
    if is_path(url):
        source = Path(url.removesuffix(SIDECAR))
        check_space(new.parent, blob.unpacked_size)
        with source.open("rb") as file:
            _copy_checked(iter(lambda: file.read(CHUNK_BYTES), b""), new, blob.unpacked_size, manifest.unpacked_sha256)
        return blob.unpacked_size
    check_space(new.parent, blob.size + blob.unpacked_size)
    packed = _fetch(new, url, blob, wish)
    with packed.open("rb") as file:
        try:
            _copy_checked(_unpack(file), new, blob.unpacked_size, manifest.unpacked_sha256)
        except zlib.error as error:
            raise FetchError(f"the advisory file cannot be unpacked: {error}") from None
    packed.unlink(missing_ok=True)
    return blob.size


def _fetch(new: Path, url: str, blob: Blob, wish: Wish) -> Path:
    """A blob as a file beside `new`; its name is its digest, so that the next pull goes on where this one stopped."""
    part = new.with_name(f".{new.name.strip('.').removesuffix('.new')}.{blob.sha256[:32]}.part")
    address = urllib.parse.urljoin(url, blob.url)
    check_url(address)
    token = wish.token if urllib.parse.urlsplit(address).netloc == urllib.parse.urlsplit(url).netloc else ""
    download(address, part, size=blob.size, sha256=blob.sha256, token=token, limits=wish.limits, progress=wish.progress)
    return part


def _unpack(file: BinaryIO) -> Iterator[bytes]:
    """The unpacked bytes of a gzip file, a bounded piece at a time."""
    unpacker = zlib.decompressobj(wbits=31)
    while chunk := file.read(CHUNK_BYTES):
        while chunk:
            yield unpacker.decompress(chunk, CHUNK_BYTES)
            chunk = unpacker.unconsumed_tail
    if not unpacker.eof or unpacker.unused_data:
        raise zlib.error("it is not one whole gzip member")


def _copy_checked(pieces: Iterator[bytes], to: Path, size: int, sha256: str) -> None:
    hasher, count = hashlib.sha256(), 0
    with to.open("wb") as file:
        for piece in pieces:
            count += len(piece)
            if count > size:
                break
            hasher.update(piece)
            file.write(piece)
    if count != size or hasher.hexdigest() != sha256:
        to.unlink(missing_ok=True)
        raise FetchError("the advisory file is not the one that was signed", "nothing was changed; pull again later")


def check_space(folder: Path, needed: int) -> None:
    """Return if so many bytes fit.

    Raises:
        DiskError: They do not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise DiskError(
            f"{folder} has {free >> 20:,} MiB free, and {(needed + SPARE_BYTES) >> 20:,} MiB are needed",
            "free some space, or name another place with ANTIVENOM_ADVISORIES",
        )


def _content_of(path: Path) -> str:
    """The content digest of a file; "" when there is none, or it is damaged."""
    try:
        return content_digest(path)
    except (OSError, sqlite3.Error, RowError):
        return ""


# -- what lies beside it -----------------------------------------------------------------------------------------------


def state_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.state.json")


def read_state(path: Path) -> State:
    """What was left at the last pull; an empty one when there is none, or it cannot be read."""
    try:
        fields: dict[str, Any] = json.loads(state_path(path).read_bytes())
        trusted = {url: Trusted(str(t["key"]), int(t["sequence"])) for url, t in fields.pop("trusted").items()}
        if any(len(bytes.fromhex(found.key)) != KEY_BYTES for found in trusted.values()):
            return State()
        known = {name: value for name, value in fields.items() if name in State.__dataclass_fields__}  # of any release
        state = State(**known, trusted=trusted)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return State()
    kinds = {"url": str, "etag": str, "content": str, "made_at": str, "inode": int, "size": int, "mtime_ns": int}
    is_right = all(isinstance(getattr(state, name), kind) for name, kind in kinds.items())
    return state if is_right and isinstance(state.pulled_at, (int, float)) else State()


def write_state(path: Path, state: State) -> None:
    """Keep it, whole or not at all."""
    place = state_path(path)
    partial = place.with_name(f".{place.name}.new")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(asdict(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, place)


def is_as_left(path: Path, state: State) -> bool:
    """Whether the file is the one of the last pull, by what the file system says of it."""
    try:
        facts = path.stat()
    except OSError:
        return False
    return (facts.st_ino, facts.st_size, facts.st_mtime_ns) == (state.inode, state.size, state.mtime_ns)


def remove_leftovers(path: Path) -> None:
    """Remove what killed pulls left, but for downloads that can be gone on with and are not a week old."""
    for left in path.parent.glob(f".{path.name}.*"):
        is_part = left.name.endswith(".part")
        with contextlib.suppress(OSError):
            if left.name.endswith(".new") or (is_part and time.time() - left.stat().st_mtime > 7 * 86_400):
                left.unlink()


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def locked(path: Path, say: Say, *, patience_s: float = LOCK_PATIENCE_S) -> Iterator[None]:
    """Let one process alone pull into `path`; others wait for it.

    Raises:
        PullError: It took longer than `patience_s`.
    """
    until, has_told = time.monotonic() + patience_s, False
    with path.with_name(f".{path.name}.lock").open("a+b") as file:
        while not _try_lock(file):
            if time.monotonic() > until:
                raise PullError(f"another pull into {path} does not end", "end it, then pull again")
            if not has_told:
                say("another pull is running; waiting for it")
                has_told = True
            time.sleep(0.1)
        yield  # closing the file unlocks it


def _try_lock(file: BinaryIO) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
