"""Serves the built-in channel `antivenom` at `/antivenom/`: our own conda packages, for everybody.

They are files beside the code, which `make packages` makes, and no rows: nothing that a server does can change them.
Where they were not built, the channel is empty. Source: docs/adr/0027.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from antivenom.core.errors import NotFoundError
from antivenom.server.channels.service import BUILT_IN
from antivenom.server.distribution.client_documents import EMPTY_SUBDIR
from antivenom.server.web.answers import JSON, ZSTD, Content, FilePart
from antivenom.server.web.content_response import ContentResponse

PACKAGES: Final = Path(__file__).resolve().parents[1] / "packages"
ARTIFACT: Final = b"application/octet-stream"
INDEX: Final = b"public, max-age=60, must-revalidate"
IMMUTABLE: Final = b"public, max-age=31536000, immutable"
SUBDIR: Final = r"[a-z0-9]+(?:-[a-z0-9]+)?"
_FILE = re.compile(
    rf"{SUBDIR}/(?:repodata\.json(?:\.zst)?|repodata_shards\.msgpack\.zst|(shards/[0-9a-f]{{64}}\.msgpack\.zst)|[\w.+!-]+\.conda)",
    re.ASCII,
)


class OwnPackage(msgspec.Struct, frozen=True):
    """One of our packages, as the index lists it."""

    name: str
    version: str
    subdir: str


class _Index(msgspec.Struct):
    packages: dict[str, OwnPackage] = msgspec.field(name="packages.conda")


async def serve_file(request: Request) -> Response:
    """One file of the channel. Raises NotFoundError for all but the index, shards and packages."""
    path = request.path_params["path"]
    content = await asyncio.to_thread(find_content, PACKAGES, path)
    if content is None:
        raise NotFoundError(
            f"the built-in channel {BUILT_IN!r} has no file {path!r}",
            hint="its packages are noarch, or for the platform of the server that built them",
        )
    return ContentResponse(content)


def find_content(folder: Path, path: str) -> Content | None:
    """The content of a path below the channel, from a folder of packages; None when it has no such file.

    `noarch` has an index even if nothing was built: clients require it.
    """
    match = _FILE.fullmatch(path)
    if match is None:
        return None
    file = folder / path
    try:
        found = file.stat()
        digest = _digest(file, (found.st_mtime_ns, found.st_size))
    except OSError:
        subdir, _, fn = path.partition("/")
        empty = EMPTY_SUBDIR.get(fn) if subdir == "noarch" else None
        return None if empty is None else _empty(fn, empty)
    kept = IMMUTABLE if match[1] else INDEX  # a package that is built again has the same name
    part = FilePart(file, 0, found.st_size)
    return Content(f'"{digest}"'.encode(), content_type(path), kept, found.st_size, file=part)


def _empty(fn: str, body: bytes) -> Content:
    etag = f'"{hashlib.sha256(body).hexdigest()}"'.encode()
    return Content(etag, content_type(fn), INDEX, len(body), body=body)


def content_type(path: str) -> bytes:
    if path.endswith(".conda"):
        return ARTIFACT
    return ZSTD if path.endswith(".zst") else JSON


@lru_cache(maxsize=100)
def _digest(file: Path, _changed: tuple[int, int]) -> str:
    """The sha256 of a file, read again when its time or size is another."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def list_packages() -> list[OwnPackage]:
    """What the channel has, by name; nothing where it was not built or its index cannot be read."""
    return sorted(_read_indexes(PACKAGES.glob("*/repodata.json")), key=lambda package: (package.name, package.subdir))


def _read_indexes(files: Iterable[Path]) -> list[OwnPackage]:
    found: list[OwnPackage] = []
    for file in files:
        try:
            found.extend(msgspec.json.decode(file.read_bytes(), type=_Index).packages.values())
        except (OSError, msgspec.MsgspecError):
            continue
    return found


routes = [Route(f"/{BUILT_IN}/{{path:path}}", serve_file)]
