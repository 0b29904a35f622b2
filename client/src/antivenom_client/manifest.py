"""The signed manifest of an advisory file: which file is the newest, what it says, and from what deltas lead to it.

The document is JSON with the manifest's own text in it as a string, and the signature of exactly that text. So one
request gets both, and no second spelling of the JSON can be signed.

Source: docs/reference/advisory-file.md, "Manifest"; docs/adr/0026 (keys, rotation, sequence).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from antivenom_client.ed25519 import KEY_BYTES, SIGNATURE_BYTES, verify
from antivenom_client.errors import ClientError

FORMAT = 1
KNOWN_FORMATS = (1,)
MANIFEST_MAX_BYTES = 1 << 20
FILE_MAX_BYTES = 16 << 30
SIGNED = b"antivenom advisory manifest\n"
ROTATED = b"antivenom advisory key rotation\n"
"""What stands before the signed bytes, so that a signature of one kind is never one of another."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class ManifestError(ClientError):
    """The document is no manifest, or not one that may be trusted."""


@dataclass(frozen=True)
class Blob:
    """Something to download: an address relative to the manifest's, and what comes of it, packed and unpacked."""

    url: str
    sha256: str
    size: int
    unpacked_size: int


@dataclass(frozen=True)
class Delta:
    """A delta from one content digest to another."""

    before: str
    after: str
    blob: Blob


@dataclass(frozen=True)
class Rotation:
    """A key that vouches for the one that follows it. `signature` is over ROTATED + old + new."""

    old: bytes
    new: bytes
    signature: bytes


@dataclass(frozen=True)
class Manifest:
    """What a server has to offer. `content` is the content digest (content.py) of the newest file.

    `sequence` grows with every manifest, so that an older one is known as such. `deltas` follow each other: the last
    leads to `content`.
    """

    sequence: int
    made_at: str  # RFC 3339, UTC, whole seconds
    file_format: int
    content: str
    file: Blob
    unpacked_sha256: str
    key: bytes
    deltas: tuple[Delta, ...] = ()
    rotations: tuple[Rotation, ...] = ()

    def deltas_from(self, content: str) -> tuple[Delta, ...]:
        """The deltas that lead from this content to the newest; none when there is no way."""
        starts = [number for number, delta in enumerate(self.deltas) if delta.before == content]
        return self.deltas[starts[-1] :] if starts else ()


def fingerprint(key: bytes) -> str:
    """How people compare keys: SHA-256 in base64, as ssh writes it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def has_rotated(rotations: Iterable[Rotation], old: bytes, new: bytes) -> bool:
    """Whether a chain of signatures leads from one key to the other."""
    trusted = {old}
    for step in rotations:
        if step.old in trusted and verify(step.old, ROTATED + step.old + step.new, step.signature):
            trusted.add(step.new)
    return new in trusted


# -- as text -----------------------------------------------------------------------------------------------------------


def to_text(manifest: Manifest) -> str:
    """The manifest as the text that is signed."""
    return json.dumps(
        {
            "format": FORMAT,
            "sequence": manifest.sequence,
            "made_at": manifest.made_at,
            "file_format": manifest.file_format,
            "content": manifest.content,
            "file": {**_blob_fields(manifest.file), "unpacked_sha256": manifest.unpacked_sha256},
            "deltas": [
                {"before": delta.before, "after": delta.after, **_blob_fields(delta.blob)} for delta in manifest.deltas
            ],
            "key": _base64(manifest.key),
            "rotations": [
                {"old": _base64(step.old), "new": _base64(step.new), "signature": _base64(step.signature)}
                for step in manifest.rotations
            ],
        }
    )


def signed_bytes(text: str) -> bytes:
    """What the key signs."""
    return SIGNED + text.encode()


def to_document(text: str, signature: bytes) -> bytes:
    """The document that is served."""
    return json.dumps({"manifest": text, "signature": _base64(signature)}).encode() + b"\n"


def read_document(data: bytes) -> Manifest:
    """The manifest of a document, signed with the key that it names. Whether to trust that key is not asked here.

    Raises:
        ManifestError: It is none, of a newer format, or its signature is wrong.
    """
    try:
        document = json.loads(data.decode())
        text, signature = document["manifest"], _bytes(document["signature"], SIGNATURE_BYTES)
        signed, fields = signed_bytes(text), json.loads(text)
        format_ = _whole(fields["format"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ManifestError(
            f"this is no manifest of an advisory file{_seen(data)}", "is the address that of an Antivenom server?"
        ) from None
    if format_ not in KNOWN_FORMATS:
        known = ", ".join(map(str, KNOWN_FORMATS))
        raise ManifestError(
            f"the manifest has format {format_}; this antivenom knows {known}", "update antivenom, then pull again"
        )
    try:
        manifest = _manifest_of(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"the manifest lacks something, or holds what it may not: {error}") from None
    if not verify(manifest.key, signed, signature):
        raise ManifestError(
            "the manifest's signature is wrong: it was changed on its way",
            "nothing was changed; ask who runs the server",
        )
    return manifest


def _manifest_of(fields: dict[str, Any]) -> Manifest:
    deltas = tuple(Delta(_digest(entry["before"]), _digest(entry["after"]), _blob(entry)) for entry in fields["deltas"])
    content = _digest(fields["content"])
    ends = [*(delta.before for delta in deltas[1:]), content] if deltas else []
    if [delta.after for delta in deltas] != ends:
        raise ValueError("its deltas do not follow each other")
    made_at = fields["made_at"]
    if not isinstance(made_at, str) or not _TIME.fullmatch(made_at):
        raise ValueError("made_at is no time")
    return Manifest(
        sequence=_whole(fields["sequence"]),
        made_at=made_at,
        file_format=_whole(fields["file_format"]),
        content=content,
        file=_blob(fields["file"]),
        unpacked_sha256=_digest(fields["file"]["unpacked_sha256"]),
        key=_bytes(fields["key"], KEY_BYTES),
        deltas=deltas,
        rotations=tuple(
            Rotation(
                _bytes(step["old"], KEY_BYTES),
                _bytes(step["new"], KEY_BYTES),
                _bytes(step["signature"], SIGNATURE_BYTES),
            )
            for step in fields["rotations"]
        ),
    )


def _seen(data: bytes) -> str:
    """What the data seems to be instead."""
    start = data.lstrip()[:200].lower()
    return ": it is a web page" if start.startswith((b"<!doctype", b"<html")) else ""


def _blob_fields(blob: Blob) -> dict[str, Any]:
    return {"url": blob.url, "sha256": blob.sha256, "size": blob.size, "unpacked_size": blob.unpacked_size}


def _blob(fields: dict[str, Any]) -> Blob:
    url = fields["url"]
    if not isinstance(url, str) or not url or len(url) > 2_000 or not url.isprintable():
        raise ValueError("an address is none")
    return Blob(url, _digest(fields["sha256"]), _size(fields["size"]), _size(fields["unpacked_size"]))


def _size(value: object) -> int:
    if (size := _whole(value)) > FILE_MAX_BYTES:
        raise ValueError("a size is larger than any can be")
    return size


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{value!r:.40} is no whole number")
    return value


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError(f"{value!r:.40} is no SHA-256")
    return value


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(value: object, length: int) -> bytes:
    if not isinstance(value, str):
        raise TypeError("a key or signature is no text")
    try:
        data = base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("a key or signature is not base64") from None
    if len(data) != length:
        raise ValueError("a key or signature has the wrong length")
    return data
