"""Package records: the facts of one that rules may look at, and the file names that carry them.

Source: CEP 26 (names and file names), CEP 34/36 (fields), CEP 47 (indexed_timestamp).
"""

from __future__ import annotations

import msgspec

from antivenom.core.errors import InvalidInputError

ARTIFACT_SUFFIXES = (".conda", ".tar.bz2")


class RecordFacts(msgspec.Struct, frozen=True, gc=False):
    """The facts of one package record that a policy may ask about. Times are milliseconds since 1970 UTC; 0 is absent.

    `license` is the text as written ("" when absent). `purls` are the record's own. `indexed_ms` is when this channel
    first listed the record (CEP 47); it is the base of cooldowns.
    """

    fn: str
    subdir: str
    name: str
    version: str
    build: str
    build_number: int = 0
    license: str = ""
    license_family: str = ""
    size_bytes: int = 0
    timestamp_ms: int = 0
    indexed_ms: int = 0
    noarch: str = ""
    purls: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    signed: bool = False


class ChannelFacts(msgspec.Struct, frozen=True):
    """The facts of a channel that a policy may ask about."""

    name: str
    is_mirror: bool
    upstream: str = ""


def split_filename(fn: str) -> tuple[str, str, str, str]:
    """Name, version, build and suffix of an artifact's file name.

    Raises:
        InvalidInputError: `fn` is not a bare artifact file name (path parts, unknown suffix, missing fields).

    Source: CEP 26.
    """
    for suffix in ARTIFACT_SUFFIXES:
        if fn.endswith(suffix):
            parts = fn[: -len(suffix)].rsplit("-", 2)
            if len(parts) == 3 and all(parts) and is_plain_filename(fn):
                return parts[0], parts[1], parts[2], suffix
    raise InvalidInputError(f"{fn!r} is not the file name of a conda artifact", hint="NAME-VERSION-BUILD.conda or .tar.bz2")


def is_plain_filename(fn: str) -> bool:
    """Whether `fn` is one path part without separators, dot parts, control characters or a scheme."""
    return (
        0 < len(fn) <= 255
        and fn.isprintable()
        and not any(c in fn for c in "/\\:?#\x00")
        and fn not in (".", "..")
        and not fn.startswith(".")
    )
