"""`current_repodata.json`: what older conda clients try first, since it is small.

For each name it has every build of the newest version. Where a kept build asks for something that no kept build of
that name meets, it also has the builds of the newest version that meets it. Where all that is kept of a name may have
features, it also has the newest build without any: who turns features off finds one.

What was added for a dependency adds nothing in its turn: a client that needs more reads `repodata.json`.

Source: conda-index 0.13, whose documents tests/e2e/test_conda_index.py compares with ours field by field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cmp_to_key
from typing import NamedTuple

import msgspec
from msgspec import Raw

from antivenom.core.conda.specs import (
    Dependency,
    compare_versions,
    is_same_release,
    latest_version,
    parse_dependency,
)
from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.served_records import ServedName, all_texts, iterate_served, without_twins
from antivenom.core.source.packs import IndexBlobs


class _Features(msgspec.Struct):
    track_features: str | list[str] | None = None
    features: str | list[str] | None = None

    def __bool__(self) -> bool:
        return bool(self.track_features or self.features)


class _Md5(msgspec.Struct):
    md5: str = ""


class _Build(NamedTuple):
    """A served build, as far as a dependency looks at it."""

    fn: str
    version: str
    build: str
    build_number: int
    timestamp: int


_decode_features = msgspec.json.Decoder(_Features).decode
_decode_md5 = msgspec.json.Decoder(_Md5).decode
_encode = msgspec.json.encode


def derive_current(blobs: IndexBlobs, published: PublicationIndex) -> bytes:
    """The document of one subdir."""
    newest, asked = _select_newest(blobs, published)
    kept = {name: {build.fn for build in builds} for name, builds in newest.items()}
    unmet = _unmet(newest, asked)
    for served in iterate_served(blobs, published, wants=unmet.__contains__):
        builds = _builds(served)
        for dependency in unmet[served.facts.name]:
            kept[served.facts.name] |= {build.fn for build in _meeting(dependency, builds)}
    sections: tuple[list[bytes], list[bytes]] = ([], [])
    for served in iterate_served(blobs, published, texts_of=all_texts):
        for fn, text in _texts(served, kept[served.facts.name]):
            sections[fn.endswith(".conda")].append(b"%b:%b" % (_encode(fn), text))
    document = published.map.document
    info = msgspec.json.decode(document.info, type=dict[str, object]) | {"subdir": published.subdir}
    return b'{"info":%b,"packages":{%b},"packages.conda":{%b},"removed":%b,"repodata_version":1}' % (
        _encode(info), b",".join(sections[0]), b",".join(sections[1]), _encode(document.removed),
    )  # fmt: skip


def _select_newest(blobs: IndexBlobs, published: PublicationIndex) -> tuple[dict[str, list[_Build]], set[str]]:
    """The builds of each name's newest version, and what they depend on."""
    newest: dict[str, list[_Build]] = {}
    asked: set[str] = set()
    for served in iterate_served(blobs, published, with_depends=True):
        facts, depends = served.facts, served.depends
        positions = without_twins(facts, served.positions)
        versions = dict.fromkeys(map(served.version_at, positions))
        latest = latest_version(versions)
        same = {version for version in versions if is_same_release(version, latest)}
        positions = [p for p in positions if served.version_at(p) in same]
        newest[facts.name] = _builds(served, positions)
        if depends is not None:
            for number in {depends.depends_of[p] for p in positions}:
                asked.update([depends.dependencies[i] for i in depends.depends[number]])
    return newest, asked


def _builds(served: ServedName, positions: Sequence[int] | None = None) -> list[_Build]:
    facts = served.facts
    if positions is None:
        positions = without_twins(facts, served.positions)
    return [
        _Build(facts.fns[p], served.version_at(p), facts.builds[p], facts.build_numbers[p], facts.timestamps[p])
        for p in positions
    ]


def _unmet(newest: dict[str, list[_Build]], asked: Iterable[str]) -> dict[str, list[Dependency]]:
    """The dependencies that no newest build of their name meets, by name."""
    found: dict[str, list[Dependency]] = {}
    for text in asked:
        dependency = parse_dependency(text)
        builds = newest.get(dependency.name) if dependency else None
        if dependency and builds and not any(_meets(dependency, build) for build in builds):
            found.setdefault(dependency.name, []).append(dependency)
    return found


def _meeting(dependency: Dependency, builds: Sequence[_Build]) -> Iterator[_Build]:
    """Every build of the newest version of which one build meets a dependency."""
    latest = latest_version(dict.fromkeys(build.version for build in builds if _meets(dependency, build)))
    return (build for build in builds if latest and is_same_release(build.version, latest))


def _meets(dependency: Dependency, build: _Build) -> bool:
    return (
        dependency.admits_version(build.version)
        and dependency.admits_build(build.build)
        and dependency.admits_number(build.build_number)
    )


def _texts(served: ServedName, kept: set[str]) -> Iterator[tuple[str, Raw | bytes]]:
    """The kept records of one name as JSON, and one without features where a kept one has some."""
    texts = served.texts
    if any(_may_have_features(texts[fn]) and _decode_features(texts[fn]) for fn in kept):
        kept = kept | _newest_without_features(served)
    for fn in sorted(kept):
        twin = texts.get(f"{fn[: -len('.conda')]}.tar.bz2") if fn.endswith(".conda") else None
        yield fn, texts[fn] if twin is None else _with_legacy_md5(texts[fn], _decode_md5(twin).md5)


def _may_have_features(text: Raw) -> bool:
    return b'features"' in bytes(text)


def _newest_without_features(served: ServedName) -> set[str]:
    """The first build without features from the newest version down; empty when all have some."""
    builds = sorted(_builds(served), key=_BY_AGE, reverse=True)
    newest = next((b.fn for b in builds if not _decode_features(served.texts[b.fn])), None)
    return {newest} if newest else set()


def _compare(one: _Build, other: _Build) -> int:
    """Conda's order of builds: version, build number, time, build text."""
    order = compare_versions(one.version, other.version)
    mine, theirs = (*one[3:], one.build), (*other[3:], other.build)
    return order or (mine > theirs) - (mine < theirs)


_BY_AGE = cmp_to_key(_compare)


def _with_legacy_md5(text: Raw, md5: str) -> bytes:
    """A record that also names the md5 of the `.tar.bz2` beside it, unless it does already."""
    if not md5 or b'"legacy_bz2_md5"' in bytes(text):
        return bytes(text)
    return b'{"legacy_bz2_md5":%b,%b' % (_encode(md5), bytes(text)[1:])
