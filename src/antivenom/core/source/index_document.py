"""A whole index document: decompressed, decoded as far as its sections go, and its raw records grouped by name.

What JSON has no word for (NaN, Infinity) and half of a surrogate pair are read as conda reads them, with Python's
json: they set their record aside, not the document. Bytes that are not UTF-8 are replaced.

Of a key that is twice in one JSON object the last one counts, as for clients; of a file name in both sections the one
in `packages.conda` counts, and the other is set aside.
"""

from __future__ import annotations

import bz2
import json
import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from antivenom.core.conda.records import is_artifact_filename, name_in_filename
from antivenom.core.conda.shards import decompress_bounded
from antivenom.core.errors import UpstreamError
from antivenom.core.source.name_reader import RawRecords

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class UpstreamLimits(msgspec.Struct, frozen=True):
    """The most that is read of an upstream, in bytes after decompression."""

    document_bytes: int = 3 << 29  # 1.5 GiB; conda-forge's largest subdir is a quarter of it
    index_bytes: int = 256 << 20
    shard_bytes: int = 256 << 20


class IndexDocument(msgspec.Struct, kw_only=True):
    """An index document. Only the sections whose records can be judged are read; of the others, only presence."""

    packages: dict[str, Raw] | None = None
    packages_conda: dict[str, Raw] | None = msgspec.field(name="packages.conda", default=None)
    removed: Raw | UnsetType = UNSET
    info: Raw | UnsetType = UNSET
    signatures: dict[str, Raw] | None = None
    v3: Raw | UnsetType = UNSET
    packages_whl: Raw | UnsetType = msgspec.field(name="packages.whl", default=UNSET)


_MEMBERS = {field.encode_name for field in msgspec.structs.fields(IndexDocument)} | {"repodata_version"}
_decode = msgspec.json.Decoder(IndexDocument).decode
_NOT_JSON = (b"NaN", b"Infinity", b"\\ud", b"\\uD")
_MARK = b'"\\u0000not JSON: '
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?(?:NaN|Infinity)', re.DOTALL)
_UNJUDGED = "its records cannot be judged yet, so none of them is served"


def read_raw_records(document: bytes, limits: UpstreamLimits) -> dict[str, list[tuple[str, Raw]]]:
    """The undecoded records of a whole index document with their file names, by package name in lower case.

    Raises:
        UpstreamError: Not an index document, too large, or cut short.
    """
    parsed, set_aside = decode_document(decompress_document(document, limits))
    records = group_records(parsed, set_aside).records
    return {
        name: [pair for section in sections for pair in zip(*section, strict=True)]
        for name, sections in records.items()
    }


def decompress_document(document: bytes, limits: UpstreamLimits) -> bytes | bytearray:
    """The text of a document: plain, zstd or bzip2, recognized by content.

    Raises:
        UpstreamError: Too large, cut short or damaged.
    """
    if document.startswith(_ZSTD_MAGIC):
        return decompress_bounded(document, limits.document_bytes, "the index")
    if document.startswith(b"BZh"):
        return _decompress_bz2(document, limits.document_bytes)
    if len(document) > limits.document_bytes:
        raise UpstreamError(f"the index is larger than {limits.document_bytes >> 20} MiB", permanent=True)
    return document


def _decompress_bz2(document: bytes, limit_bytes: int) -> bytearray:
    out = bytearray()
    rest = document
    try:
        while rest:
            stream = bz2.BZ2Decompressor()
            piece = rest
            while not stream.eof:
                out += stream.decompress(piece, max_length=1 << 20)
                piece = b""
                if len(out) > limit_bytes:
                    raise UpstreamError(f"the index is larger than {limit_bytes >> 20} MiB", permanent=True)
                if stream.needs_input and not stream.eof:
                    raise UpstreamError("the index is cut short", hint="the next sync tries again")
            rest = stream.unused_data
    except (OSError, EOFError, ValueError) as error:
        raise UpstreamError(f"the index is not readable bzip2 data: {error}") from None
    return out


def decode_document(text: bytes | bytearray) -> tuple[IndexDocument, list[tuple[str, str]]]:
    """The document, and what is set aside of it already: (file name or section, reason).

    Raises:
        UpstreamError: Not an index document.
    """
    set_aside: list[tuple[str, str]] = []
    try:
        document = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        document = _decode_mended(text, error)
        set_aside += _take_marked(document)
    for section, value in (("v3", document.v3), ("packages.whl", document.packages_whl)):
        if value is not UNSET:
            set_aside.append((section, _UNJUDGED))
    if document.packages is None and document.packages_conda is None:
        _check_empty(text)
    return document, set_aside


def _check_empty(text: bytes | bytearray) -> None:
    """A document without records is one of an empty subdir, as for clients (`{}` is the shortest), unless it is about
    something else: then it is a refusal in JSON.

    Raises:
        UpstreamError: It has members, and none of an index.
    """
    members = set(msgspec.json.decode(text.decode(errors="replace"), type=dict[str, Raw]))
    if members and not members & _MEMBERS:
        named = ", ".join(sorted(members)[:5])
        raise UpstreamError(f"the index is JSON, but not repodata: it has {named:.200}", permanent=True)


def _decode_mended(text: bytes | bytearray, error: Exception) -> IndexDocument:
    """Decode a document with what is not JSON or not UTF-8; see the module.

    Raises:
        UpstreamError: It still cannot be read.
    """
    try:
        text.decode()
        mended = bytes(text)
    except UnicodeDecodeError:
        mended = text.decode(errors="replace").encode()
    if any(word in mended for word in _NOT_JSON):
        mended = _TOKEN.sub(_mark, mended)
    try:
        return _decode(mended)
    except (msgspec.DecodeError, RecursionError) as second:
        error = second
    raise UpstreamError(f"the index is not what repodata looks like: {error}", permanent=True) from None


def _mark(token: re.Match[bytes]) -> bytes:
    """A text that stands for what is not JSON; other tokens as they are."""
    found = token[0]
    if not found.startswith(b'"'):
        return _MARK + found + b'"'
    if b"\\ud" not in found and b"\\uD" not in found:
        return found
    try:
        json.loads(found).encode()
    except UnicodeEncodeError:
        return _MARK + b'half of a surrogate pair"'
    except ValueError:  # some other fault: the decoder names it
        pass
    return found


def _take_marked(document: IndexDocument) -> list[tuple[str, str]]:
    """Take the records with marks out of a document; (file name, reason) of each."""
    taken: list[tuple[str, str]] = []
    for section in (document.packages, document.packages_conda):
        for fn, raw in list((section or {}).items()):
            if (at := bytes(raw).find(_MARK)) >= 0:
                what = bytes(raw)[at + len(_MARK) :].split(b'"', 1)[0].decode()
                taken.append((fn, f"holds {what}, which is not JSON"))
                del (section or {})[fn]
    return taken


def info_of(document: IndexDocument) -> bytes:
    """The upstream's `info` without addresses (we serve our own); `channel_relations` only when relative (CEP 42)."""
    try:
        info = msgspec.json.decode(document.info, type=dict[str, Any]) if isinstance(document.info, Raw) else {}
    except (msgspec.DecodeError, RecursionError):
        info = {}
    for field in ("base_url", "shards_base_url", "repodata_revisions"):
        info.pop(field, None)
    if "://" in str(info.get("channel_relations", "")):
        del info["channel_relations"]
    return msgspec.json.encode(info)


def base_url_of(document: IndexDocument) -> str:
    """Where the upstream keeps its artifacts (CEP 15); "" when that is beside the index."""
    try:
        info = msgspec.json.decode(document.info, type=dict[str, Any]) if isinstance(document.info, Raw) else {}
    except (msgspec.DecodeError, RecursionError):
        return ""
    base_url = info.get("base_url")
    return base_url if isinstance(base_url, str) else ""


def removed_of(document: IndexDocument) -> list[str]:
    """The file names that the upstream says it removed."""
    if not isinstance(document.removed, Raw):
        return []
    try:
        removed = msgspec.json.decode(document.removed, type=list[str])
    except (msgspec.DecodeError, RecursionError):
        return []
    return sorted({fn for fn in removed if "/" not in fn})


def group_filenames(fns: Iterable[str]) -> dict[str, list[str]]:
    """File names by the package name in them, in lower case."""
    names: dict[str, list[str]] = {}
    for fn in fns:
        names.setdefault(name_in_filename(fn), []).append(fn)
    return names


class Grouped(NamedTuple):
    """Raw records by section and name (lower case), and file names that have another name than their record."""

    records: dict[str, tuple[RawRecords, RawRecords]]
    renamed: dict[str, list[str]]


class _Named(msgspec.Struct):
    name: str


_decode_named = msgspec.json.Decoder(_Named).decode


def group_records(document: IndexDocument, set_aside: list[tuple[str, str]]) -> Grouped:
    """Group a document's records by their names, as conda lists them; empties the document.

    A record whose name cannot be read, or is none, stays under the name in its file name, and is set aside later.
    """
    found = Grouped({}, {})
    packages, conda = document.packages or {}, document.packages_conda or {}
    for fn in [fn for fn in packages if fn in conda]:
        set_aside.append((fn, "is listed in both sections; the one in packages.conda counts"))
        del packages[fn]
    for section, rows in ((0, packages), (1, conda)):
        fns, raws = list(rows), list(rows.values())
        rows.clear()
        end = 0
        for name, run in groupby([fn.rsplit("-", 2)[0] for fn in fns]):  # documents are sorted: a name is one run
            start, end = end, end + len(list(run))
            some = RawRecords(fns[start:end], raws[start:end])
            if not _are_all_named(name, some.raws):
                some = _take_renamed(name.lower(), some, section, found)
            if some.fns:
                _group_of(found, name.lower())[section].extend(*some)
    return found


def _group_of(found: Grouped, name: str) -> tuple[RawRecords, RawRecords]:
    group = found.records.get(name)
    if group is None:
        group = found.records[name] = (RawRecords([], []), RawRecords([], []))
    return group


def _are_all_named(name: str, raws: list[Raw]) -> bool:
    """Whether all records have a name: a search in their text, for decoding each costs ten times as much.

    May be wrong when the text stands in other places too; then the records' reader finds the other name.
    """
    text = b"".join(raws)  # a Raw is a buffer
    encoded = name.encode()
    return text.count(b'"name":"%b"' % encoded) == len(raws) or text.count(b'"name": "%b"' % encoded) == len(raws)


def _take_renamed(name: str, rows: RawRecords, section: int, found: Grouped) -> RawRecords:
    """Put records with other names in their own groups; those that are left."""
    left = RawRecords([], [])
    for fn, raw in zip(*rows, strict=True):
        own = _name_of(raw) or name
        if own == name or fn.count("-") < 2:
            left.extend([fn], [raw])
            continue
        _group_of(found, own)[section].extend([fn], [raw])
        found.renamed.setdefault(own, []).append(fn)
    return left


def _name_of(raw: Raw) -> str:
    """The name that a record states, in lower case; "" when it is none that can be served."""
    try:
        name = _decode_named(raw).name.lower()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return name if is_artifact_filename(f"{name}-0-0.conda") else ""
