"""Package records: the facts that rules may look at, and the file names of artifacts.

Source: CEP 26 (names and file names), CEP 34/36 (fields), CEP 47 (indexed_timestamp).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from antivenom.core.errors import InvalidInputError

ARTIFACT_SUFFIXES = (".conda", ".tar.bz2")
# One path part: no separator, quote, scheme, query, blank or control character, no leading dot or dash; at most 255.
_PLAIN_FILENAME = re.compile(r"""[^\x00-\x20\x7f-\x9f/\\:?#"<>|.\-][^\x00-\x20\x7f-\x9f/\\:?#"<>|\ufffd]{0,254}""")
is_artifact_filename = re.compile(
    r"""[^\x00-\x20\x7f-\x9f/\\:?#"<>|.\-][^\x00-\x20\x7f-\x9f/\\:?#"<>|\ufffd]{0,247}(?:\.conda|\.tar\.bz2)"""
).fullmatch
_are_usual_filenames = re.compile(
    r"(?:[A-Za-z0-9_+!=~%][A-Za-z0-9_+!=~%.-]{0,240}\.(?:conda|tar\.bz2)\n)*+"
).fullmatch  # fmt: skip


class RecordFacts(msgspec.Struct, frozen=True, gc=False):
    """The facts of one package record that a policy may ask about. Times are milliseconds since 1970 UTC; 0 is absent.

    `license` is the text as written ("" when absent). `purls` are the record's own. `indexed_ms` is when this channel
    first listed the artifact (CEP 47); it is the base of cooldowns. `replaced_ms` is when this channel last saw another
    file under the record's file name; 0 is never.
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
    replaced_ms: int = 0


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
    raise InvalidInputError(
        f"{fn!r} is not the file name of a conda artifact", hint="NAME-VERSION-BUILD.conda or .tar.bz2"
    )


def name_in_filename(fn: str) -> str:
    """The package name in an artifact's file name, in lower case; what has fewer than three parts is no name."""
    return fn.rsplit("-", 2)[0].lower()


def are_artifact_filenames(fns: Sequence[str]) -> bool:
    """Whether all are artifact file names of usual characters; when False, ask `is_artifact_filename` for each."""
    text = "\n".join((*fns, ""))
    return _are_usual_filenames(text) is not None and text.count("\n") == len(fns)  # no name has a line end


def is_plain_filename(fn: str) -> bool:
    """Whether `fn` is one path part without separators, dot parts, quotes, control characters or a scheme."""
    return _PLAIN_FILENAME.fullmatch(fn) is not None and fn.isprintable()
