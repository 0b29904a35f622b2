"""Checks one upstream record, strips absolute addresses, stamps it, and encodes it for the shard and the monolith.

The fast way decodes the text (JSON, or msgpack of an upstream's shard) into `FastRecord`, which has the fields of
CEP 34 and their types. What it refuses (an unknown field, an odd type) goes the careful way, through a dict. A record
that breaks a rule which a client relies on is *set aside* with a reason. Unknown fields pass through untouched.

Source: CEP 34 and 36 (fields), CEP 16 (digests are bytes in shards), CEP 47 (indexed_timestamp).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from antivenom.core.errors import InvalidInputError

INT_MAX = 2**63 - 1
EARLIEST_MS = 1262304000000  # 2010-01-01: conda itself is younger
_UNDATED_MS = 1483228800000  # 2017-01-01: about when conda-build began to write build times
_LATEST_SECONDS = 253402300799  # 9999-12-31: beyond it a timestamp is in milliseconds (conda's own rule)

_INSTANT_MAX = 253402300799999  # the last ms of year 9999
Count = Annotated[int, msgspec.Meta(ge=0, le=INT_MAX)]
Instant = Annotated[int, msgspec.Meta(ge=-_INSTANT_MAX, le=_INSTANT_MAX)]  # real channels hold negative ones
Word = Annotated[str, msgspec.Meta(min_length=1)]


class FastRecord(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False, kw_only=True):
    """A record as most channels write it, fields in alphabetical order. `depends` and `constrains` stay raw."""

    arch: str | UnsetType | None = UNSET
    build: Word
    build_number: Count
    constrains: Raw | UnsetType = UNSET
    depends: Raw | UnsetType = UNSET
    features: str | UnsetType | None = UNSET
    indexed_timestamp: Instant | UnsetType = UNSET
    license: str | UnsetType | None = UNSET
    license_family: str | UnsetType | None = UNSET
    md5: Any = UNSET  # hex in JSON, bytes in msgpack
    name: Word
    noarch: str | UnsetType | None = UNSET
    platform: str | UnsetType | None = UNSET
    python_site_packages_path: str | UnsetType | None = UNSET
    sha256: Any = UNSET
    size: Count | UnsetType = UNSET
    subdir: str | UnsetType = UNSET
    timestamp: Instant | UnsetType = UNSET
    track_features: str | list[str] | UnsetType = UNSET
    version: Word


class RecordSetAsideError(Exception):
    """A record is set aside (not mirrored); the message is the reason."""


class CarefulRecord(NamedTuple):
    """A record that went the careful way: as msgpack, as JSON text, and as values."""

    packed: bytes
    text: bytes
    json: dict[str, Any]


decode_fast = msgspec.json.Decoder(FastRecord).decode
decode_fast_packed = msgspec.msgpack.Decoder(FastRecord).decode
_decode_dict = msgspec.json.Decoder(dict[str, Any]).decode
_decode_packed_dict = msgspec.msgpack.Decoder(dict[str, Any]).decode
_encode_json = msgspec.json.Encoder().encode

_TEXT_FIELDS = ("license", "license_family", "features", "arch", "platform", "python_site_packages_path")
_COUNT_FIELDS = ("build_number", "size", "legacy_bz2_size")
_INSTANT_FIELDS = ("timestamp", "indexed_timestamp")
_ADDRESS_FIELDS = ("url", "base_url", "channel", "package_url")


def digest_bytes(text: object, size: int, field: str) -> bytes:
    """The digest in a hex text (JSON), in bytes (shard), or in an array of numbers (a shard of older rattler).

    Raises:
        RecordSetAsideError: Not `size` bytes.
    """
    if isinstance(text, bytes):
        value = text
    elif isinstance(text, str | list) and len(text) == (2 * size if isinstance(text, str) else size):
        try:
            value = bytes.fromhex(text) if isinstance(text, str) else bytes(text)
        except (ValueError, TypeError):
            value = b""
    else:
        value = b""
    if len(value) != size:
        raise RecordSetAsideError(f"{field} is not a digest of {size} bytes")
    return value


def seed_indexed(timestamp: object, now_ms: int) -> int:
    """When a record of a first sync counts as indexed (ms): its build time; now, if that lies in the future.

    A record without a build time is from before builders wrote one, so it was in the upstream long before this mirror.
    A cooldown that took it for new would withhold old packages, and all that need them, from a new mirror.

    Source: CEP 47 (what predates it may be seeded from `timestamp` or another signal); docs/adr/0012.
    """
    if not isinstance(timestamp, int) or timestamp <= 0:
        return min(_UNDATED_MS, now_ms)
    built_ms = timestamp if timestamp > _LATEST_SECONDS else timestamp * 1000
    return max(built_ms, EARLIEST_MS) if built_ms <= now_ms else now_ms


def read_careful(
    raw: Raw | bytes, indexed_ms: int | None, now_ms: int, *, first: bool, is_packed: bool = False
) -> CarefulRecord:
    """Check one record of any shape.

    Args:
        raw: Its JSON text, or its msgpack when `is_packed` (from an upstream shard; digests may be bytes).
        indexed_ms: What this channel listed for this file before; None when it is new.
        first: Whether this is the first sync of the subdir (the build time then seeds `indexed_timestamp`).

    Raises:
        RecordSetAsideError: The record breaks a rule that clients rely on.
    """
    record = _as_dict(raw, _decode_packed_dict if is_packed else _decode_dict)
    _check_types(record)
    for field in _ADDRESS_FIELDS:
        value = record.get(field)
        if value is not None and (not isinstance(value, str) or "://" in value or value.startswith(("/", "\\"))):
            del record[field]
    own = record.get("indexed_timestamp")
    record["indexed_timestamp"] = (
        indexed_ms or own or (seed_indexed(record.get("timestamp"), now_ms) if first else now_ms)
    )
    packed = dict(record)
    for field, size in (("md5", 16), ("sha256", 32)):
        if record.get(field) is not None:
            packed[field] = digest_bytes(record[field], size, field)
            record[field] = packed[field].hex()
        elif field in record:
            del record[field], packed[field]
    try:
        return CarefulRecord(msgspec.msgpack.encode(packed), _encode_json(record), record)
    except (TypeError, OverflowError, ValueError, UnicodeError, RecursionError) as error:
        raise RecordSetAsideError(f"cannot be encoded again: {error}") from None


def _as_dict(raw: Raw | bytes, decode: Callable[[Raw | bytes], dict[str, Any]]) -> dict[str, Any]:
    try:
        return decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordSetAsideError(f"is not a record: {error}") from None


def _check_types(record: dict[str, Any]) -> None:
    for field in ("name", "version", "build"):
        if not isinstance(record.get(field), str) or not record[field]:
            raise RecordSetAsideError(f"{field} is missing or not text")
    for field in _COUNT_FIELDS:
        value = record.get(field, 0)
        if value is None and field != "build_number":
            del record[field]
        elif isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT_MAX:
            raise RecordSetAsideError(f"{field} is not a count: {value!r:.40}")
    for field in _INSTANT_FIELDS:
        value = record.get(field, 0)
        if value is None:
            del record[field]
        elif isinstance(value, bool) or not isinstance(value, int) or abs(value) > _INSTANT_MAX:
            raise RecordSetAsideError(f"{field} is not an instant: {value!r:.40}")
    for field in _TEXT_FIELDS:
        if not isinstance(record.get(field), str | None):
            raise RecordSetAsideError(f"{field} is {type(record[field]).__name__}, not text")
    for field in ("depends", "constrains"):
        if field in record and not _is_texts(record[field]):
            raise RecordSetAsideError(f"{field} is not a list of texts")
    if not isinstance(record.get("noarch"), str | bool | None):
        raise RecordSetAsideError("noarch is neither text nor true")
    if not isinstance(record.get("subdir"), str | None):
        raise RecordSetAsideError("subdir is not text")


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def purls_of(record: dict[str, Any]) -> tuple[str, ...]:
    """The package URLs in the record's `purls` (CEP 63); others than texts are left out."""
    purls = record.get("purls")
    return tuple(p for p in purls if isinstance(p, str)) if isinstance(purls, list) else ()


def name_in_filename(fn: str) -> str:
    """The package name in an artifact's file name.

    Raises:
        RecordSetAsideError: The file name does not have three parts.
    """
    parts = fn.rsplit("-", 2)
    if len(parts) != 3 or not parts[0]:
        raise RecordSetAsideError("the file name is not NAME-VERSION-BUILD")
    return parts[0].lower()


__all__ = [
    "CarefulRecord",
    "FastRecord",
    "InvalidInputError",
    "RecordSetAsideError",
    "decode_fast",
    "digest_bytes",
    "name_in_filename",
]
