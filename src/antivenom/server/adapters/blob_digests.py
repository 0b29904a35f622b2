"""Checks a blob's bytes against the digest that its key names.

Keys of derived documents, and of the whole indexes of earlier releases (`monolith/…`), name what they were made from,
not their bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Protocol


class Hasher(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


_ALGORITHMS: dict[str, Callable[[], Hasher]] = {
    "index": lambda: hashlib.blake2b(digest_size=32),
    "pack": lambda: hashlib.blake2b(digest_size=32),
    "repodata": lambda: hashlib.blake2b(digest_size=32),
    "document": lambda: hashlib.blake2b(digest_size=32),
    "artifact": hashlib.sha256,
    "artifact/md5": lambda: hashlib.md5(usedforsecurity=False),
    "knowledge": hashlib.sha256,
    "upstream": hashlib.sha256,
}
_KEY = re.compile(r"(artifact/md5|[a-z]+)(?:/[0-9a-f]{2})?/([0-9a-f]{64}|(?<=md5/)[0-9a-f]{32})")


def hasher_of(key: str) -> Hasher | None:
    """A hash to feed with the blob's bytes; None when the key names no digest of them."""
    match = _KEY.fullmatch(key)
    make = _ALGORITHMS.get(match[1]) if match else None
    return make() if make else None


def is_digest_of(key: str, hasher: Hasher) -> bool:
    """Whether the key ends in the digest of what the hash was fed with."""
    return key.endswith(f"/{hasher.hexdigest()}")


def artifact_key(sha256: str, md5: str) -> str:
    """The key of an artifact with these digests (hex). Without a sha256 it has a folder of its own."""
    return f"artifact/{sha256[:2]}/{sha256}" if sha256 else f"artifact/md5/{md5}"
