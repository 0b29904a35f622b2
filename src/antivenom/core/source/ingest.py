"""Turns an upstream's index into a source map. Nothing is filtered by policy here.

A source map is made from a whole document (`repodata.json`, `.zst`, `.bz2`), from an upstream's shards, or from nothing
(an empty subdir). What did not change since the previous source map is not read, compressed or stored again.

Of a key that is twice in one JSON object the last one counts, as for clients; of a file name in both sections the one
in `packages.conda` counts, and the other is set aside.

Source: CEP 16, 34, 36 and 47.
"""

from __future__ import annotations

import bz2
import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from antivenom.core.conda.shards import ShardIndex, decompress_bounded, read_index, read_shard
from antivenom.core.conda.specs import RecordSpecs, parse_record_spec
from antivenom.core.errors import UpstreamError
from antivenom.core.source.name_reader import RawRecords
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_builder import NameInput, SourceBuilder
from antivenom.core.source.source_map import SourceDocument, SourceMap, document_digest, load_source

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_UNKNOWN_KEY = bytes(32)


class UpstreamLimits(msgspec.Struct, frozen=True):
    """The most that is read of an upstream, in bytes after decompression."""

    document_bytes: int = 3 << 29  # 1.5 GiB; conda-forge's largest subdir is a quarter of it
    index_bytes: int = 256 << 20
    shard_bytes: int = 256 << 20


class Ingested(msgspec.Struct, frozen=True):
    """The result of an ingest. `source` is the key of the source map (the previous one when `unchanged`).

    `base_url`: the address below which the upstream keeps its artifacts, absolute or relative to the index (CEP 15); ""
    when that is beside the index, None when the document is the previous one, and so is the address.
    """

    source: str
    subdir: str
    records: int
    names: int
    changed: list[str]
    gone: list[str]
    set_aside: list[tuple[str, str]]
    set_aside_count: int
    unchanged: bool = False
    base_url: str | None = None


class ShardPlan(msgspec.Struct, frozen=True):
    """Which upstream shards to fetch: `changed` maps names to the hex sha256 of their shard."""

    changed: dict[str, str]
    gone: list[str]
    keys: dict[str, bytes]
    shards_base_url: str
    base_url: str

    @property
    def names(self) -> int:
        """The number of names that the upstream lists and the mirror's specs admit."""
        return len(self.keys)


class _Document(msgspec.Struct, kw_only=True):
    """An index document. Only the sections whose records can be judged are read; of the others, only presence."""

    packages: dict[str, Raw] | None = None
    packages_conda: dict[str, Raw] | None = msgspec.field(name="packages.conda", default=None)
    removed: Raw | UnsetType = UNSET
    info: Raw | UnsetType = UNSET
    signatures: dict[str, Raw] | None = None
    v3: Raw | UnsetType = UNSET
    packages_whl: Raw | UnsetType = msgspec.field(name="packages.whl", default=UNSET)


_MEMBERS = {field.encode_name for field in msgspec.structs.fields(_Document)} | {"repodata_version"}
_document_decoder = msgspec.json.Decoder(_Document)
_UNJUDGED = "its records cannot be judged yet, so none of them is served"


def ingest_monolith(
    blobs: IndexBlobs,
    document: bytes,
    *,
    subdir: str,
    now_ms: int,
    previous: str | None = None,
    specs: Sequence[str] = (),
    upstream_keys: Mapping[str, bytes] | None = None,
    limits: UpstreamLimits = UpstreamLimits(),
) -> Ingested:
    """Turn a whole index document into a source map.

    Args:
        document: `repodata.json` plain, zstd or bzip2 (recognized by content).
        now_ms: The server's clock; stamps records that this channel has not seen before.
        previous: Key of the last source map of this subdir.
        specs: Match specs; records that none of them matches are not in the mirror. Empty: all are.
        upstream_keys: name → sha256 of the upstream's shard, from an index that was the same before and after the
            document was fetched.

    Raises:
        UpstreamError: Not an index document, too large, or cut short.
        InvalidInputError: A wrong spec.
    """
    parsed_specs = RecordSpecs(map(parse_record_spec, specs))
    digest = document_digest(document)
    old = load_source(blobs, previous) if previous else None
    if old and previous and old.document_digest == digest and old.specs == list(specs) and not upstream_keys:
        return _unchanged(previous, old)
    with without_gc():
        parsed, set_aside = _decode_document(_decompress_document(document, limits))
        signed = frozenset(parsed.signatures or ())
        groups = _group(parsed, set_aside)
        removed = _removed_of(parsed)
        header = SourceDocument(_info_of(parsed), removed)
        base_url = _base_url_of(parsed)
        del parsed
        builder = SourceBuilder(blobs, subdir, now_ms, old, list(specs), parsed_specs, signed)
        keys = upstream_keys or {}

        def inputs(name: str) -> NameInput:
            packages, conda = groups.pop(name)
            return NameInput(name, packages, conda, (), keys.get(name, _UNKNOWN_KEY))

        names = sorted(groups) if not specs else sorted(n for n in groups if _admits(parsed_specs, n))
        removed_by_name = _by_name(removed)
        source, changed, gone = builder.build(names, inputs, removed_by_name, header, digest, set_aside)
    return msgspec.structs.replace(_ingested(source, builder.key, changed, gone), base_url=base_url)


def read_raw_records(document: bytes, limits: UpstreamLimits) -> dict[str, list[tuple[str, Raw]]]:
    """The undecoded records of a whole index document with their file names, by package name in lower case.

    Raises:
        UpstreamError: Not an index document, too large, or cut short.
    """
    parsed, set_aside = _decode_document(_decompress_document(document, limits))
    groups = _group(parsed, set_aside)
    return {
        name: [pair for section in sections for pair in zip(*section, strict=True)] for name, sections in groups.items()
    }


def plan_shards(
    blobs: IndexBlobs,
    index: bytes,
    *,
    subdir: str,
    previous: str | None = None,
    specs: Sequence[str] = (),
    limits: UpstreamLimits = UpstreamLimits(),
) -> ShardPlan:
    """Which shards of an upstream are new or changed, and which names are gone. Planning after applying is empty.

    Raises:
        UpstreamError: Not a shard index, or another subdir's.
    """
    parsed = read_index(index, limits.index_bytes)
    if parsed.info.subdir not in ("", subdir):
        raise UpstreamError(f"the shard index is of subdir {parsed.info.subdir!r:.80}, not {subdir!r}", permanent=True)
    keys = _admitted_keys(parsed, specs)
    old = load_source(blobs, previous) if previous else None
    known: dict[str, bytes] = {}
    if old and old.specs == list(specs):
        known = {name: old.upstream_key(i) for i, name in enumerate(old.names)}
    changed = {name: key.hex() for name, key in keys.items() if known.get(name) != key}
    gone = sorted(name for name in (old.names if old else ()) if name not in keys)
    return ShardPlan(changed, gone, keys, parsed.info.shards_base_url, parsed.info.base_url)


def ingest_shards(
    blobs: IndexBlobs,
    index: bytes,
    shards: Mapping[str, bytes],
    *,
    subdir: str,
    now_ms: int,
    previous: str | None = None,
    specs: Sequence[str] = (),
    limits: UpstreamLimits = UpstreamLimits(),
) -> Ingested:
    """Turn an upstream's shard index and its changed shards into a source map.

    Args:
        shards: hex sha256 → bytes of every shard that `plan_shards` named.

    Raises:
        UpstreamError: A shard is missing or has the wrong shape.
        DigestMismatchError: A shard's bytes are not the ones that the index names.
        InvalidInputError: A wrong spec.
    """
    parsed_specs = RecordSpecs(map(parse_record_spec, specs))
    plan = plan_shards(blobs, index, subdir=subdir, previous=previous, specs=specs, limits=limits)
    old = load_source(blobs, previous) if previous else None
    if old and previous and not plan.changed and not plan.gone:
        return msgspec.structs.replace(_unchanged(previous, old), base_url=plan.base_url)
    set_aside: list[tuple[str, str]] = []
    with without_gc():
        builder = SourceBuilder(blobs, subdir, now_ms, old, list(specs), parsed_specs, frozenset())

        def inputs(name: str) -> NameInput:
            key = plan.keys[name]
            if name not in plan.changed:
                return NameInput(name, None, None, (), key)
            data = shards.get(plan.changed[name])
            if data is None:
                raise UpstreamError(f"the shard of {name} ({key.hex()}) was not fetched")
            shard = read_shard(data, key, name, limits.shard_bytes)
            packages, conda = (RawRecords(list(s), list(s.values())) for s in (shard.packages, shard.packages_conda))
            return NameInput(name, packages, conda, tuple(shard.removed), key, is_packed=True)

        header = SourceDocument(old.document.info if old else b"{}", [])
        digest = document_digest(index)
        source, changed, gone = builder.build(sorted(plan.keys), inputs, {}, header, digest, set_aside)
    return msgspec.structs.replace(_ingested(source, builder.key, changed, gone), base_url=plan.base_url)


def empty_source(blobs: IndexBlobs, *, subdir: str) -> Ingested:
    """The source map of a subdir without records (`noarch` must always exist)."""
    builder = SourceBuilder(blobs, subdir, 0, None, [], RecordSpecs(()), frozenset())
    source, changed, gone = builder.build([], _no_input, {}, SourceDocument(), bytes(32), [])
    return _ingested(source, builder.key, changed, gone)


def _no_input(name: str) -> NameInput:
    raise UpstreamError(f"nothing is known of {name}")


@contextmanager
def without_gc() -> Iterator[None]:
    """Switch the cyclic collector off: it costs more than the work itself.

    Source: docs/dev/measurements.md (Garbage collection).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _unchanged(key: str, old: SourceMap) -> Ingested:
    return Ingested(
        key, old.subdir, old.records, len(old.names), [], [], old.set_aside, old.set_aside_count, unchanged=True
    )


def _ingested(source: SourceMap, key: str, changed: list[str], gone: list[str]) -> Ingested:
    return Ingested(
        key, source.subdir, source.records, len(source.names), changed, gone, source.set_aside, source.set_aside_count
    )


def _decompress_document(document: bytes, limits: UpstreamLimits) -> bytes | bytearray:
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


def _decode_document(text: bytes | bytearray) -> tuple[_Document, list[tuple[str, str]]]:
    try:
        document = _document_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        document = _decode_mended(text, error)
    set_aside: list[tuple[str, str]] = []
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


def _decode_mended(text: bytes | bytearray, error: Exception) -> _Document:
    """Decode a document with bytes that are not UTF-8. Replaces these; their records are set aside later."""
    try:
        text.decode()
    except UnicodeDecodeError:
        try:
            return _document_decoder.decode(text.decode(errors="replace").encode())
        except (msgspec.DecodeError, RecursionError) as second:
            error = second
    raise UpstreamError(f"the index is not what repodata looks like: {error}", permanent=True) from None


def _info_of(document: _Document) -> bytes:
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


def _base_url_of(document: _Document) -> str:
    try:
        info = msgspec.json.decode(document.info, type=dict[str, Any]) if isinstance(document.info, Raw) else {}
    except (msgspec.DecodeError, RecursionError):
        return ""
    base_url = info.get("base_url")
    return base_url if isinstance(base_url, str) else ""


def _removed_of(document: _Document) -> list[str]:
    if not isinstance(document.removed, Raw):
        return []
    try:
        removed = msgspec.json.decode(document.removed, type=list[str])
    except (msgspec.DecodeError, RecursionError):
        return []
    return sorted({fn for fn in removed if "/" not in fn})


def _by_name(fns: Iterable[str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for fn in fns:
        names.setdefault(fn.rsplit("-", 2)[0].lower(), []).append(fn)
    return names


def _group(document: _Document, set_aside: list[tuple[str, str]]) -> dict[str, tuple[RawRecords, RawRecords]]:
    """Records by name (lower case, from the file name) and section."""
    groups: dict[str, tuple[RawRecords, RawRecords]] = {}
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
            group = groups.get(name)
            if group is None:
                group = groups[name] = (RawRecords([], []), RawRecords([], []))
            group[section].extend(fns[start:end], raws[start:end])
    for name in [n for n in groups if n != n.lower()]:
        both = groups.setdefault(name.lower(), (RawRecords([], []), RawRecords([], [])))
        for section, odd in enumerate(groups.pop(name)):
            both[section].extend(*odd)
    return groups


def _admits(specs: RecordSpecs, name: str) -> bool:
    return bool(specs.of_name(name))


def _admitted_keys(index: ShardIndex, specs: Sequence[str]) -> dict[str, bytes]:
    if not specs:
        return index.shards
    parsed = RecordSpecs(map(parse_record_spec, specs))
    return {name: key for name, key in index.shards.items() if _admits(parsed, name)}
