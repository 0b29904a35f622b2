"""Turns an upstream's index into a source map. Nothing is filtered by policy here.

A source map is made from a whole document (`repodata.json`, `.zst`, `.bz2`), from an upstream's shards, or from nothing
(an empty subdir). What did not change since the previous source map is not read, compressed or stored again.

Source: CEP 16, 34, 36 and 47.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from antivenom.core.conda.shards import read_index, read_shard
from antivenom.core.errors import UpstreamError
from antivenom.core.source.index_document import (
    UpstreamLimits,
    base_url_of,
    decode_document,
    decompress_document,
    group_filenames,
    group_records,
    info_of,
    removed_of,
)
from antivenom.core.source.name_reader import RawRecords
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_builder import SET_ASIDE_MAX, BuiltSource, NameInput, Selection, SourceBuilder
from antivenom.core.source.source_map import SourceDocument, SourceMap, document_digest, load_source

_UNKNOWN_KEY = bytes(32)


class Ingested(msgspec.Struct, frozen=True):
    """The result of an ingest. `source` is the key of the source map (the previous one when `unchanged`).

    `base_url`: the address below which the upstream keeps its artifacts, absolute or relative to the index (CEP 15); ""
    when that is beside the index, None when the document is the previous one, and so is the address. `vanished` and
    `replaced`: see `BuiltSource`.
    """

    source: str
    subdir: str
    records: int
    names: int
    changed: list[str]
    gone: list[str]
    set_aside: list[tuple[str, str]]
    set_aside_count: int
    notes: list[tuple[str, str]] = []
    notes_count: int = 0
    vanished: int = 0
    replaced: list[str] = []
    replaced_count: int = 0
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


def ingest_monolith(
    blobs: IndexBlobs,
    document: bytes,
    *,
    subdir: str,
    now_ms: int,
    previous: str | None = None,
    specs: Sequence[str] = (),
    asked: Sequence[str] | None = None,
    upstream_keys: Mapping[str, bytes] | None = None,
    limits: UpstreamLimits = UpstreamLimits(),
) -> Ingested:
    """Turn a whole index document into a source map.

    Args:
        document: `repodata.json` plain, zstd or bzip2 (recognized by content).
        now_ms: The server's clock; stamps records that this channel has not seen before.
        previous: Key of the last source map of this subdir.
        specs: Match specs; records that none of them matches are not in the mirror. Empty: all are.
        asked: Those of the mirror's settings, if others among `specs` are for dependencies.
        upstream_keys: name → sha256 of the upstream's shard, from an index that was the same before and after the
            document was fetched.

    Raises:
        UpstreamError: Not an index document, too large, or cut short.
        InvalidInputError: A wrong spec.
    """
    selection = Selection(specs, asked)
    digest = document_digest(document)
    old = load_source(blobs, previous) if previous else None
    if old and previous and old.document_digest == digest and selection.is_of(old) and not upstream_keys:
        return _unchanged(previous, old)
    with without_gc():
        parsed, set_aside = decode_document(decompress_document(document, limits))
        signed = frozenset(parsed.signatures or ())
        groups, renamed = group_records(parsed, set_aside)
        removed = removed_of(parsed)
        header = SourceDocument(info_of(parsed), removed)
        base_url = base_url_of(parsed)
        del parsed
        builder = SourceBuilder(blobs, subdir, now_ms, old, selection, signed)
        keys = upstream_keys or {}

        def inputs(name: str) -> NameInput:
            packages, conda = groups.pop(name)
            key = keys.get(name, _UNKNOWN_KEY)
            return NameInput(name, packages, conda, (), key, renamed=frozenset(renamed.get(name, ())))

        names = sorted(name for name in groups if selection.admits(name))
        built = builder.build(names, inputs, group_filenames(removed), header, digest, set_aside)
    return msgspec.structs.replace(_ingested(built), base_url=base_url)


def plan_shards(
    blobs: IndexBlobs,
    index: bytes,
    *,
    subdir: str,
    previous: str | None = None,
    specs: Sequence[str] = (),
    asked: Sequence[str] | None = None,
    limits: UpstreamLimits = UpstreamLimits(),
) -> ShardPlan:
    """Which shards of an upstream are new or changed, and which names are gone. Planning after applying is empty.

    Raises:
        UpstreamError: Not a shard index, or another subdir's.
    """
    parsed = read_index(index, limits.index_bytes)
    if parsed.info.subdir not in ("", subdir):
        raise UpstreamError(f"the shard index is of subdir {parsed.info.subdir!r:.80}, not {subdir!r}", permanent=True)
    selection = Selection(specs, asked)
    keys = {name: key for name, key in parsed.shards.items() if selection.admits(name)}
    old = load_source(blobs, previous) if previous else None
    known: dict[str, bytes] = {}
    if old and selection.has_rules_of(old):
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
    asked: Sequence[str] | None = None,
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
    selection = Selection(specs, asked)
    plan = plan_shards(blobs, index, subdir=subdir, previous=previous, specs=specs, asked=asked, limits=limits)
    old = load_source(blobs, previous) if previous else None
    if old and previous and not plan.changed and not plan.gone and selection.is_of(old):
        return msgspec.structs.replace(_unchanged(previous, old), base_url=plan.base_url)
    set_aside: list[tuple[str, str]] = []
    with without_gc():
        builder = SourceBuilder(blobs, subdir, now_ms, old, selection, frozenset())

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
        built = builder.build(sorted(plan.keys), inputs, {}, header, digest, set_aside)
    return msgspec.structs.replace(_ingested(built), base_url=plan.base_url)


def empty_source(blobs: IndexBlobs, *, subdir: str) -> Ingested:
    """The source map of a subdir without records (`noarch` must always exist)."""
    builder = SourceBuilder(blobs, subdir, 0, None, Selection(), frozenset())
    return _ingested(builder.build([], _no_input, {}, SourceDocument(), bytes(32), []))


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
    return msgspec.structs.replace(_ingested(BuiltSource(key, old, [], [], 0, [])), unchanged=True)


def _ingested(built: BuiltSource) -> Ingested:
    source = built.source
    return Ingested(
        built.key,
        source.subdir,
        source.records,
        len(source.names),
        built.changed,
        built.gone,
        source.set_aside,
        source.set_aside_count,
        source.notes,
        source.notes_count,
        built.vanished,
        built.replaced[:SET_ASIDE_MAX],
        len(built.replaced),
    )
