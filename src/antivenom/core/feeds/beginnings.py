"""What a file begins with: its first line and first JSON object, and the formats that no feed comes in.

A page that asks to sign in, an archive that cannot be opened here, text in another encoding: whoever downloaded the
wrong thing is told what it is.
"""

from __future__ import annotations

import re

import msgspec

from antivenom.core.feeds.entry import Beginning, JsonObject
from antivenom.core.feeds.unpack import BYTE_ORDER_MARK

LOOKED_AT_BYTES = 64 * 1024
FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it, and give the folder or a zip or tar of it"),
    (b"Rar!\x1a\x07", "a RAR archive: unpack it, and give the folder or a zip or tar of it"),
    (b"\x1f\x9d", "a file packed with compress (.Z): unpack it, and pack it with gzip or zstd"),
    (b"\x04\x22\x4d\x18", "a file packed with lz4: unpack it, and pack it with gzip or zstd"),
    (b"LZIP", "a file packed with lzip: unpack it, and pack it with gzip or zstd"),
    (b"SQLite format 3\0", "an SQLite database: export its table as text"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xfe", "text in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16: save it as UTF-8"),
    (b"version https://git-lfs.", "a pointer of Git LFS and not the file: fetch it with git lfs pull"),
    (b"-----BEGIN PGP", "a signature, or a text in one"),
)
TEXTS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (
        re.compile(rb"<!doctype html|<html", re.IGNORECASE),
        "a web page: is the address that of the file, and may everybody read it?",
    ),
    (re.compile(rb"<\?xml|<rss|<[a-z]+:|<Error>"), "XML, which no feed comes in"),
    (
        re.compile(rb"---\s*$|%YAML|[A-Za-z_][\w-]{0,40}:(?:\s|$)|- [a-z_]+:\s", re.MULTILINE),
        "YAML: publishers of feeds have the same as JSON",
    ),
)
# Files that people have beside their feeds, and why they are none: (keys that only such a file has, what it is).
OTHER_FILES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"formulae", "meta"}), "a map of Homebrew formulae to distribution packages, which no conda name is in"),
    (frozenset({"packages", "info"}), "a conda channel's repodata"),
    (frozenset({"bomFormat"}), "a CycloneDX SBOM"),
    (frozenset({"spdxVersion"}), "an SPDX SBOM"),
    (frozenset({"document", "vulnerabilities"}), "a CSAF document"),
    (frozenset({"@context", "statements"}), "an OpenVEX document"),
    (frozenset({"CVE_data_type", "CVE_Items"}), "an NVD 1.1 file, a format that ended in 2023: use the 2.0 files"),
    (frozenset({"schemaVersion", "mediaType", "layers"}), "the manifest of an OCI image: pull what it names"),
    (frozenset({"message", "documentation_url"}), "an error of GitHub's API"),
    (
        frozenset({"ghsa_id", "vulnerabilities"}),
        "an answer of GitHub's API: its repository has the same in the OSV format",
    ),
    (frozenset({"SchemaVersion", "Results"}), "a report of trivy"),
    (frozenset({"matches", "descriptor"}), "a report of grype"),
    (frozenset({"results", "experimental_config"}), "a report of osv-scanner"),
)
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\Z)|[{}\[\],]', re.DOTALL)
CLOSING = {b"{": b"}", b"[": b"]"}


def name_format(head: bytes) -> str:
    """The words for a file of a format that no feed comes in; "" for any other."""
    for magic, words in FORMATS:
        if head.startswith(magic):
            return words
    text = head[:LOOKED_AT_BYTES].removeprefix(BYTE_ORDER_MARK).lstrip()
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith(b"#")), b"")
    return next((words for pattern, words in TEXTS if pattern.match(first)), "")


def name_other(entry: JsonObject) -> str:
    """The words for a file that begins with such an object and is no feed; "" for any other."""
    return next((words for own_keys, words in OTHER_FILES if own_keys <= entry.keys()), "")


def read_beginning(head: bytes) -> Beginning:
    """The first line, and the first JSON object of a document, of an array or of JSON lines ({} when there is none)."""
    trimmed = head.removeprefix(BYTE_ORDER_MARK).strip()
    first_line = trimmed.split(b"\n", 1)[0].strip()
    for candidate in (trimmed, first_line, _cut(trimmed[:LOOKED_AT_BYTES])):
        try:
            value = msgspec.json.decode(candidate)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue
        if isinstance(value, list):
            value = value[0] if value else {}
        return Beginning(first_line.decode("utf-8", "replace"), value if isinstance(value, dict) else {})
    return Beginning(first_line.decode("utf-8", "replace"), {})


def _cut(text: bytes) -> bytes:
    """The beginning of a longer JSON text as a text of its own: cut at its last comma, and closed."""
    opened: list[bytes] = []
    cut, closing = 0, b""
    for token in TOKEN.finditer(text):
        sign = token[0]
        if sign in CLOSING:
            opened.append(sign)
        elif sign in (b"}", b"]"):
            if not opened:
                break
            opened.pop()
        elif sign == b",":
            cut, closing = token.start(), b"".join(CLOSING[sign] for sign in reversed(opened))
    return text[:cut] + closing
