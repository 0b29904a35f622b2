"""What an artifact's own `info/index.json` says, compared with what the channel's index says of it.

Name, version, build and subdir make a package what it is: an artifact that calls itself something else is not the one
that was listed. In all else the channel's index counts: its repairs of dependencies are newer than the artifact.

Source: CEP 34 (the fields); conda-index (patch instructions change any other field of a record).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

TEXT_MAX_CHARACTERS = 500
LIST_MAX = 1_000
LISTS = ("depends", "constrains")
VALUES = ("build_number", "license")


class ArtifactIndex(msgspec.Struct, frozen=True, array_like=True):
    """What an artifact says it is; "" and None for what it does not say."""

    name: str = ""
    version: str = ""
    build: str = ""
    subdir: str = ""
    build_number: int | None = None
    license: str = ""
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()


class FieldDifference(msgspec.Struct, frozen=True):
    """A field in which the channel's index and the artifact differ, with what only one of them has."""

    field: str
    index: tuple[str, ...]
    artifact: tuple[str, ...]


def parse_artifact_index(document: bytes) -> ArtifactIndex | None:
    """What an `info/index.json` says; None when it is no JSON object. A field of another type counts as absent."""
    try:
        found = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    number = found.get("build_number")
    return ArtifactIndex(
        _text(found.get("name")),
        _text(found.get("version")),
        _text(found.get("build")),
        _text(found.get("subdir")),
        number if isinstance(number, int) and 0 <= number < 1 << 63 else None,
        _text(found.get("license")),
        _texts(found.get("depends")),
        _texts(found.get("constrains")),
    )


def _text(value: Any) -> str:
    return value[:TEXT_MAX_CHARACTERS] if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in value[:LIST_MAX] if _text(item)) if isinstance(value, list) else ()


def describe_mismatch(said: ArtifactIndex, *, name: str, version: str, build: str, subdir: str) -> str:
    """What an artifact calls itself and the index does not call it, in words; "" when they agree.

    What the artifact does not say agrees with anything. A version may be URL-quoted:
    docs/dev/measurements.md (Odd records).
    """
    pairs = [
        ("name", said.name.lower(), name.lower()),
        ("version", unquote(said.version), unquote(version)),
        ("build", said.build, build),
        ("subdir", said.subdir, subdir),
    ]
    wrong = [
        f"{field} {own!r} where the index says {listed!r}" for field, own, listed in pairs if own not in ("", listed)
    ]
    return "; ".join(wrong)


def list_differences(said: ArtifactIndex, record: Mapping[str, Any]) -> list[FieldDifference]:
    """The other fields in which an artifact differs from its record in the channel's index."""
    found = []
    for field in LISTS:
        own, listed = set(getattr(said, field)), set(_texts(record.get(field)))
        if own != listed:
            found.append(FieldDifference(field, tuple(sorted(listed - own)), tuple(sorted(own - listed))))
    for field in VALUES:
        mine, theirs = getattr(said, field), record.get(field)
        if mine not in (None, "", theirs):
            found.append(FieldDifference(field, () if theirs is None else (str(theirs),), (str(mine),)))
    return found
