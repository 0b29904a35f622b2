"""`run_exports.json`: what each served artifact adds to the requirements of what is built with it.

A record's own field `run_exports` counts first: clients that find one there look no further. The upstream's
`run_exports.json` has the others. A record that neither speaks of is not listed, and clients then look into the
artifact; an empty entry says that it exports nothing.

Source: CEP 12 (the document), CEP 21 (the field of records).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from antivenom.core.publication.publication_index import PublicationIndex
from antivenom.core.publication.served_records import ServedName, iterate_served
from antivenom.core.publication.upstream_documents import UpstreamRunExports
from antivenom.core.source.packs import IndexBlobs
from antivenom.core.source.source_map import NameFacts


class _Exports(msgspec.Struct):
    """Run exports as clients type them: lists of specs. They ignore what else is there."""

    weak: list[str] = []
    strong: list[str] = []
    noarch: list[str] = []
    weak_constrains: list[str] = []
    strong_constrains: list[str] = []


class _LooseExports(msgspec.Struct, omit_defaults=True):
    """Run exports as older builders write them: one spec without a list."""

    weak: list[str] | str | None = None
    strong: list[str] | str | None = None
    noarch: list[str] | str | None = None
    weak_constrains: list[str] | str | None = None
    strong_constrains: list[str] | str | None = None

    def to_exports(self) -> dict[str, list[str]]:
        """The same with a list for each kind that is not empty."""
        values = {kind: value for kind, value in msgspec.structs.asdict(self).items() if value}
        return {kind: [value] if isinstance(value, str) else value for kind, value in values.items()}


class _Entry(msgspec.Struct):
    run_exports: Raw | UnsetType = UNSET


_decode_entry = msgspec.json.Decoder(_Entry).decode
_decode_exports = msgspec.json.Decoder(_Exports).decode
_decode_loose = msgspec.json.Decoder(_LooseExports | list[str] | str | None).decode
_encode = msgspec.json.encode
_ODD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class NameExports(NamedTuple):
    """A served name and, by file name, the run exports (JSON) of those of its served records that are known."""

    served: ServedName
    by_fn: dict[str, bytes]


def derive_run_exports(blobs: IndexBlobs, published: PublicationIndex, upstream: UpstreamRunExports | None) -> bytes:
    """The document of one subdir."""
    sections: tuple[list[bytes], list[bytes]] = ([], [])
    for _, by_fn in iterate_run_exports(blobs, published, upstream):
        for fn, exports in by_fn.items():
            sections[fn.endswith(".conda")].append(b'%b:{"run_exports":%b}' % (_encode(fn), exports))
    info = _encode({"subdir": published.subdir, "version": 1})
    return b'{"info":%b,"packages":{%b},"packages.conda":{%b}}' % (info, b",".join(sections[0]), b",".join(sections[1]))


def iterate_run_exports(
    blobs: IndexBlobs, published: PublicationIndex, upstream: UpstreamRunExports | None
) -> Iterator[NameExports]:
    """Every served name with the run exports that are known."""
    checked = _CheckedExports()
    upstream = upstream or UpstreamRunExports()
    for served in iterate_served(blobs, published, texts_of=_states_exports):
        found: dict[str, bytes] = {}
        for position in served.positions:
            fn = served.facts.fns[position]
            own = checked.of_entry(served.texts.get(fn)) if served.facts.run_exports else None
            exports = own if own is not None else checked.of_entry(upstream.find(fn))
            if exports is not None:
                found[fn] = exports
        yield NameExports(served, found)


def _states_exports(facts: NameFacts) -> bool:
    return facts.run_exports


class _CheckedExports:
    """Run exports that clients can read. Builds of one name repeat them, so each distinct text is checked once."""

    def __init__(self) -> None:
        self._checked: dict[bytes, bytes | None] = {}

    def of_entry(self, entry: Raw | None) -> bytes | None:
        """The run exports of a record, or of an entry of an upstream's document; None when it has none to be read."""
        if entry is None:
            return None
        try:
            exports = _decode_entry(entry).run_exports
        except _ODD:
            return None
        return None if isinstance(exports, UnsetType) else self.of_text(bytes(exports))

    def of_text(self, text: bytes) -> bytes | None:
        """The text if clients can read it, or the same for them."""
        if text not in self._checked:
            self._checked[text] = readable_exports(text)
        return self._checked[text]


def readable_exports(text: bytes) -> bytes | None:
    """Run exports as clients read them; None for what cannot be meant as such."""
    try:
        _decode_exports(text)
        return text
    except _ODD:
        pass
    try:
        loose = _decode_loose(text)
    except _ODD:
        return None
    if isinstance(loose, _LooseExports):
        return _encode(loose.to_exports())
    return _encode({"weak": [loose] if isinstance(loose, str) else loose} if loose else {})
