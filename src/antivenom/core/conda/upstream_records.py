"""Checks one upstream record, strips addresses, stamps it, and encodes it for the shard and the monolith.

The fast way decodes the text (JSON, or msgpack of an upstream's shard) into `FastRecord`, which has the fields of
CEP 34 and their types. What it refuses (an unknown field, an odd type) goes the careful way, through a dict. A record
that some client cannot read is *set aside* with a reason. Unknown fields pass through untouched.

msgpack has no integer beyond 64 bits. Such a one, which only an unknown field can hold, is decimal text in the shard:
a number with a fraction would be another number, and without the field nobody would see that there was one. JSON
documents have the integer itself.

Source: CEP 34 and 36 (fields), CEP 16 (digests are bytes in shards), CEP 47 (indexed_timestamp); what clients read:
core/conda/record_fields.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from antivenom.core.conda.record_fields import INT_MAX, LATEST_MS, LATEST_SECONDS, find_unreadable, timestamp_ms

EARLIEST_MS = 1262304000000  # 2010-01-01: conda itself is younger
_UNDATED_MS = 1483228800000  # 2017-01-01: about when conda-build began to write build times

Count = Annotated[int, msgspec.Meta(ge=0, le=INT_MAX)]
Milliseconds = Annotated[int, msgspec.Meta(gt=LATEST_SECONDS, le=LATEST_MS)]  # others go the careful way
Word = Annotated[str, msgspec.Meta(min_length=1)]


class FastRecord(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False, kw_only=True):
    """A record as most channels write it, fields in alphabetical order. `depends` and `constrains` stay raw."""

    arch: str | UnsetType | None = UNSET
    build: Word
    build_number: Count
    constrains: Raw | UnsetType = UNSET
    depends: Raw | UnsetType = UNSET
    features: str | UnsetType = UNSET
    indexed_timestamp: int | UnsetType = UNSET
    license: str | UnsetType | None = UNSET
    license_family: str | UnsetType | None = UNSET
    md5: Any = UNSET  # hex in JSON, bytes in msgpack
    name: Word
    noarch: Literal["python", "generic"] | UnsetType | None = UNSET
    platform: str | UnsetType | None = UNSET
    python_site_packages_path: str | UnsetType | None = UNSET
    sha256: Any = UNSET
    size: Count | UnsetType = UNSET
    subdir: str | UnsetType = UNSET
    timestamp: Milliseconds | UnsetType = UNSET
    track_features: str | list[str] | UnsetType = UNSET
    version: Word


class RecordSetAsideError(Exception):
    """A record is set aside (not mirrored); the message is the reason."""


class CarefulRecord(NamedTuple):
    """A record that went the careful way: as msgpack, as JSON text, and as values; and what was put in order."""

    packed: bytes
    text: bytes
    json: dict[str, Any]
    note: str


class Digests(NamedTuple):
    """The digests of an artifact; b"" where its record states none."""

    sha256: bytes
    md5: bytes


Stamp = Callable[[Digests, object, object], int]
"""Since when a record counts as indexed (ms): of its digests, and what it says of indexed_timestamp and timestamp."""

decode_fast = msgspec.json.Decoder(FastRecord).decode
decode_fast_packed = msgspec.msgpack.Decoder(FastRecord).decode
_decode_dict = msgspec.json.Decoder(dict[str, Any]).decode
_decode_packed_dict = msgspec.msgpack.Decoder(dict[str, Any]).decode
_encode_json = msgspec.json.Encoder().encode

_ADDRESS_FIELDS = ("url", "urls", "base_url", "package_url", "schannel", "package_tarball_full_path")
_FILENAME_FIELDS = ("fn", "filename")
_DIGEST_BYTES = {"sha256": 32, "md5": 16, "legacy_bz2_md5": 16}
_PACKED_MIN, _PACKED_MAX = -(2**63), 2**64 - 1


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


def seed_indexed(indexed: object, timestamp: object, now_ms: int) -> int:
    """When a record of a first sync counts as indexed (ms): as the upstream says, but not before it was built.

    What lies in the future counts as now. A record with neither is from before builders wrote a time, so it was in the
    upstream long before this mirror. A cooldown that took it for new would withhold old packages, and all that need
    them, from a new mirror.

    Source: CEP 47 (what predates it may be seeded from `timestamp` or another signal); docs/adr/0012.
    """
    said = indexed if isinstance(indexed, int) and indexed > 0 else 0
    seed = max(said, timestamp_ms(timestamp)) or _UNDATED_MS
    return min(max(seed, EARLIEST_MS), now_ms)


def read_careful(raw: Raw | bytes, fn: str, subdir: str, stamp: Stamp, *, is_packed: bool = False) -> CarefulRecord:
    """Check one record of any shape, and put in order what has only one right value.

    Args:
        raw: Its JSON text, or its msgpack when `is_packed` (from an upstream shard; digests may be bytes).

    Raises:
        RecordSetAsideError: Some client cannot read it.
    """
    record = _as_dict(raw, _decode_packed_dict if is_packed else _decode_dict)
    if reason := find_unreadable(record):
        raise RecordSetAsideError(reason)
    for field in [field for field in _ADDRESS_FIELDS if field in record]:
        del record[field]
    for field in [field for field in _FILENAME_FIELDS if record.get(field, fn) != fn]:
        del record[field]
    if not _is_channel_name(record.get("channel", "")):
        del record["channel"]
    for field in ("size", "legacy_bz2_size", "timestamp"):
        if record.get(field, 0) is None:
            del record[field]
    own_subdir = record.get("subdir")
    note = "" if own_subdir == subdir else f"its subdir is {own_subdir!r:.40}; it is served with {subdir}"
    record["subdir"] = subdir
    record.setdefault("depends", [])
    digests = _take_digests(record)
    record["indexed_timestamp"] = stamp(digests, record.get("indexed_timestamp"), record.get("timestamp"))
    try:
        packed = {field: _packable(value) for field, value in record.items()}
        packed |= {field: value for field, value in zip(Digests._fields, digests, strict=True) if value}
        return CarefulRecord(msgspec.msgpack.encode(packed), _encode_json(record), record, note)
    except (TypeError, OverflowError, ValueError, UnicodeError, RecursionError) as error:
        raise RecordSetAsideError(f"cannot be encoded again: {error}") from None


def _as_dict(raw: Raw | bytes, decode: Callable[[Raw | bytes], dict[str, Any]]) -> dict[str, Any]:
    try:
        return decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordSetAsideError(f"is not a record: {error}") from None


def _is_channel_name(value: object) -> bool:
    return isinstance(value, str) and "://" not in value and not value.startswith(("/", "\\"))


def _take_digests(record: dict[str, Any]) -> Digests:
    """The digests of a record, which are written in hex; one that is null is taken out.

    Raises:
        RecordSetAsideError: One is none, or there is neither of sha256 and md5: nobody can check what is downloaded.
    """
    found = {}
    for field, size in _DIGEST_BYTES.items():
        if record.get(field) is not None:
            found[field] = digest_bytes(record[field], size, field)
            record[field] = found[field].hex()
        else:
            record.pop(field, None)
    if "sha256" not in found and "md5" not in found:
        raise RecordSetAsideError("has no digest: neither sha256 nor md5")
    return Digests(found.get("sha256", b""), found.get("md5", b""))


def _packable(value: Any) -> Any:
    """A value as msgpack can hold it.

    Raises:
        ValueError: A number that JSON has no word for.
    """
    if isinstance(value, int):
        return value if _PACKED_MIN <= value <= _PACKED_MAX else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not JSON")
    if isinstance(value, list):
        return [_packable(item) for item in value]
    if isinstance(value, dict):
        return {key: _packable(item) for key, item in value.items()}
    return value


def purls_of(record: dict[str, Any]) -> tuple[str, ...]:
    """The package URLs in the record's `purls` (CEP 63)."""
    return tuple(record.get("purls") or ())


def check_filename(fn: str) -> None:
    """Check that an artifact's file name has three parts.

    Raises:
        RecordSetAsideError: It does not.
    """
    parts = fn.rsplit("-", 2)
    if len(parts) != 3 or not parts[0]:
        raise RecordSetAsideError("the file name is not NAME-VERSION-BUILD")
