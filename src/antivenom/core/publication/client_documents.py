"""Documents for older clients, derived from publication maps on demand: current_repodata, run_exports, channeldata.

Source: conda-index (which records current_repodata keeps), CEP 12 (run_exports.json), CEP 38 (channeldata.json).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import zstandard

from antivenom.core.conda.shards import shard_records
from antivenom.core.conda.specs import Dependency, latest_version, parse_dependency, version_order
from antivenom.core.errors import InvalidInputError
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.publication_map import NO_SHARD
from antivenom.core.source.packs import IndexBlobs, read_many

SUBDIR_FILES = frozenset(("current_repodata.json", "run_exports.json", "run_exports.json.zst"))
CHANNEL_FILES = frozenset(("channeldata.json",))
FORMAT = 1  # raise it when a document changes, or the store serves old ones
LEVEL = 6


def derived_keys(index_keys: Iterable[str]) -> set[str]:
    """The blobs of all documents that may have been derived from a publication with these maps, one for each subdir."""
    index_keys = list(index_keys)
    by_subdir = {document_key(fn, [key]) for fn in SUBDIR_FILES for key in index_keys}
    return by_subdir | {document_key(fn, index_keys) for fn in CHANNEL_FILES}


def document_key(fn: str, index_keys: list[str]) -> str:
    """The key of a document over these maps, whatever their order."""
    digest = hashlib.sha256("\n".join([str(FORMAT), fn, *sorted(index_keys)]).encode()).hexdigest()
    return f"derived/{digest}"


def derive_document(blobs: IndexBlobs, fn: str, maps: Sequence[PublicationIndex]) -> bytes:
    """The document with the file name `fn`, of one subdir's map or of all maps of a channel.

    Raises:
        InvalidInputError: No document of that name is derived.
    """
    if fn == "channeldata.json":
        return derive_channeldata(maps)
    if fn == "current_repodata.json":
        return derive_current(blobs, maps[0])
    if fn == "run_exports.json":
        return derive_run_exports(blobs, maps[0])
    if fn == "run_exports.json.zst":
        return zstandard.compress(derive_run_exports(blobs, maps[0]), LEVEL)
    raise InvalidInputError(f"{fn!r} is not a derived document")


def derive_current(blobs: IndexBlobs, published: PublicationIndex) -> bytes:
    """`current_repodata.json`: the newest builds of each name, and older ones that those need."""
    kept: dict[str, dict[str, Any]] = {}
    by_name = dict(_published_records(blobs, published))
    todo = [(name, list(_newest(records))) for name, records in by_name.items()]
    asked: set[str] = set()
    while todo:
        name, fns = todo.pop()
        for fn in fns:
            if fn in kept:
                continue
            kept[fn] = by_name[name][fn]
            for text in kept[fn].get("depends") or ():
                if text in asked:
                    continue
                asked.add(text)
                dependency = parse_dependency(text)
                records = by_name.get(dependency.name) if dependency else None
                if (
                    dependency is None
                    or not records
                    or any(_meets(dependency, r) for f, r in records.items() if f in kept)
                ):
                    continue
                meeting = {f: r for f, r in records.items() if _meets(dependency, r)}
                todo.append((dependency.name, list(_newest(meeting))))
    sections: dict[str, dict[str, Any]] = {"packages": {}, "packages.conda": {}}
    for fn in sorted(kept):
        sections["packages.conda" if fn.endswith(".conda") else "packages"][fn] = _jsonable(kept[fn])
    document = {"info": {"subdir": published.subdir}, **sections, "removed": [], "repodata_version": 1}
    return msgspec.json.encode(document)


def derive_run_exports(blobs: IndexBlobs, published: PublicationIndex) -> bytes:
    """`run_exports.json`: the run exports that records state; records without any are not listed."""
    sections: dict[str, dict[str, Any]] = {"packages": {}, "packages.conda": {}}
    for _, records in _published_records(blobs, published):
        for fn, record in records.items():
            exports = record.get("run_exports")
            if isinstance(exports, dict):
                section = sections["packages.conda" if fn.endswith(".conda") else "packages"]
                section[fn] = {"run_exports": exports}
    return msgspec.json.encode({"info": {"subdir": published.subdir, "version": 1}, **sections})


def derive_channeldata(published: Sequence[PublicationIndex]) -> bytes:
    """`channeldata.json`: one entry for each name of which any subdir publishes something."""
    packages: dict[str, dict[str, Any]] = {}
    for index in published:
        for summary in index.packages():
            if summary.records == summary.withheld:
                continue
            entry = packages.setdefault(summary.name, {"subdirs": [], "version": ""})
            entry["subdirs"].append(summary.subdir)
            entry["version"] = latest_version([v for v in (entry["version"], summary.latest) if v])
            if summary.licenses:
                entry.setdefault("license", summary.licenses[0])
    subdirs = sorted(index.subdir for index in published)
    return msgspec.json.encode(
        {"channeldata_version": 1, "packages": dict(sorted(packages.items())), "subdirs": subdirs}
    )


def _published_records(
    blobs: IndexBlobs, published: PublicationIndex
) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    shards = published.map.shards.to_list()
    present = [i for i in range(len(shards)) if published.map.shard_key(i) != NO_SHARD]
    for position, data in zip(present, read_many(blobs, [shards[i] for i in present]), strict=True):
        yield published.map.names[position], shard_records(data)


def _newest(records: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The builds with the highest build number of the highest version; `.conda` instead of the same `.tar.bz2`."""
    versions = {str(record["version"]) for record in records.values()}
    latest = latest_version(versions)
    order = version_order(latest)
    equal = {v for v in versions if v == latest or (order is not None and version_order(v) == order)}
    candidates = {fn: r for fn, r in records.items() if r["version"] in equal}
    number = max((r.get("build_number") or 0 for r in candidates.values()), default=0)
    for fn, record in candidates.items():
        twin = fn[: -len(".tar.bz2")] + ".conda" if fn.endswith(".tar.bz2") else ""
        if (record.get("build_number") or 0) == number and twin not in candidates:
            yield fn


def _meets(dependency: Dependency, record: dict[str, Any]) -> bool:
    return (
        dependency.admits_version(record["version"])
        and dependency.admits_build(record["build"])
        and dependency.admits_number(record.get("build_number") or 0)
    )


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    return value
